"""Projects of eleven shapes are deployed with just an inventory, and their sockets work from outside."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Any

import pytest
from lab_host import PATIENCE, LabHost
from sites import PROJECTS, Site, Sites
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection


def said(websocket: ClientConnection, text: str) -> dict[str, Any]:
    """Wait until a message reaches a socket, and return it."""
    while True:
        came = json.loads(websocket.recv(10))
        if came["text"] == text:
            return came


def talk(site: Site, text: str, path: str = "", **options: Any) -> dict[str, Any]:
    """Send a message over a new socket, and return it when it comes back."""
    with site.open(path, **options) as websocket:
        websocket.send(text)
        return said(websocket, text)


def refusal(site: Site, **options: Any) -> int:
    """Return the status that refuses a handshake, or 101 if it is not refused."""
    try:
        site.open(**options).close()
    except InvalidStatus as error:
        return error.response.status_code
    return 101


@pytest.mark.parametrize("name", PROJECTS)
def test_message_reaches_all_sockets(sites: Sites, name: str) -> None:
    site = sites[name]
    with site.open() as one, site.open() as other:
        one.send("hello")
        assert said(one, "hello")["kept"] == said(other, "hello")["kept"] > 0
    assert site.about()["debug"] is False


def test_windows_lists_and_old_versions(sites: Sites) -> None:
    site = sites["tutorial"]
    assert "For Windows only, and left out: twisted-iocpsupport, pywin32." in site.told
    assert "For older Pythons only, and left out on newer ones: backports.zoneinfo." in site.told
    assert "The project installs daphne 3.0.2, which is vulnerable" in site.told
    assert "settings have no STATIC_ROOT" in site.told
    assert site.about()["django"] == "3.2.25" and site.about()["settings"] == "deployed_settings"


def test_messages_survive_a_deploy(sites: Sites) -> None:
    """Both those that were committed and those that came over sockets."""
    site = sites.settled("tutorial")
    kept = talk(site, "written on the host")["kept"]
    release = site.host.run("readlink -f /srv/tutorial/live/code")
    with sqlite3.connect(site.folder / "db.sqlite3") as database:
        database.execute("DELETE FROM chat_message")
    with (site.folder / "mysite" / "__init__.py").open("a") as file:
        file.write("# another release\n")
    assert site.changed(site.play("playbooks/deploy.yml"))[0] > 0
    assert site.host.run("readlink -f /srv/tutorial/live/code") != release
    assert talk(site, "after the deploy")["kept"] == kept + 1
    for text in ("committed", "written on the host", "after the deploy"):
        assert text in texts(site)


def test_inventory_by_inspection(sites: Sites) -> None:
    """For a project with names from a compose file, requirements above the backend, and no server among them."""
    site = sites.settled("compose")
    assert site.variables["release_requirements"] == ["../requirements.txt"]
    assert "The project's requirements do not include daphne, so daphne==" in site.told
    assert site.host.run("getent hosts redis").split()[0] == "127.0.0.1"
    assert "NOPERM" in site.host.run("redis-cli config get port"), "everybody on the host may do all with Redis"
    status, _, body = site.request("/static/chat/chat.js")
    assert (status, body) == (200, "// found by whitenoise\n")
    assert site.changed(site.play())[0] == 0, "a second run changes something"


def test_what_inspection_finds_out(sites: Sites) -> None:
    """About files above the code, databases, plain HTTP, and a worker whose broker is in the code."""
    site = sites["guesses"]
    assert site.about()["asgi"] is False, "not by gunicorn"
    assert site.variables["release_shared_paths"] == ["db.sqlite3", "logs.sqlite3"]
    assert site.host.run("stat --format=%a /srv/guesses/live/code/../config.yaml").strip() == "640"
    said = site.manage("shell", "--command", "from mysite.celery import app; print(app.control.ping(timeout=5))")
    assert "pong" in said, site.host.run("guesses-generations logs mailer || true")


def test_settings_of_a_file(sites: Sites) -> None:
    site = sites["letters"]
    assert site.about()["word"] == "from the file"
    place = "$(readlink -f /srv/letters/live/code)/.env"
    assert site.host.run(f"stat --format='%a %U %G' {place}").strip() == "640 root letters"
    secret = site.host.run(f"grep ^SECRET_KEY= {place}").strip().partition("=")[2]
    assert len(secret) == 40 and secret not in site.told
    assert "poetry.lock is beside pyproject.toml, so its versions are installed" in site.told


def test_packages_without_a_file_and_a_database_that_was_copied(sites: Sites) -> None:
    """From a private index, too: one has no wheel, and the host has what it takes to build it."""
    site = sites["bare"]
    assert site.about()["word"] == "private"
    assert "pkgconf" in site.host.run("apt-mark showmanual").split()
    assert sites.index.password not in site.told
    holders = site.host.run("grep -rlF %s /etc /home /root /srv /tmp /var/log || true", sites.index.password)
    assert holders == "", f"the index's password was left in {holders}"
    assert site.about()["django"].startswith("5.1.")
    assert "copied" in texts(site)
    assert site.host.run("stat --format='%a %U' /srv/bare/shared/db.sqlite3").strip() == "640 bare"


def test_tag_and_submodule_by_a_deploy_key(sites: Sites) -> None:
    site = sites["tagged"]
    served = "journalctl --no-pager --identifier=sshd --identifier=sshd-session | grep 'Accepted publickey for git'"
    assert site.host.run(served)
    refused = site.play("playbooks/deploy.yml", "-e", "release_deploy_key=", "-e", "release_version=main")
    assert refused.returncode and "set release_deploy_key" in refused.stdout, refused.stdout
    secret = site.folder.with_name("tagged-key").read_text().splitlines()[3]  # every key has the same first line
    assert secret not in site.told and secret not in refused.stdout
    assert site.host.run("grep -rlF %s /etc /home /root /srv /tmp /var/log || true", secret) == ""
    assert site.about()["word"] == "v1.2"
    assert site.host.run("ls -A /srv/tagged/live/code/chat").split().count("consumers.py") == 1


def test_versions_of_a_lock_and_uvicorn(sites: Sites) -> None:
    site = sites["quick"]
    assert site.about()["django"] == "5.2.1"
    assert "so websockets was added" in site.told
    live = json.loads(site.host.run("cat /srv/quick/live/generation.json"))
    assert len(live["instances"]) > 1, "a message reaches no other process"
    process = site.host.run(f"systemctl show --property=MainPID --value {live['unit']}@{live['instances'][0]}").strip()
    assert "uvicorn" in site.host.run(f"tr '\\0' ' ' </proc/{process}/cmdline")


def test_production_settings_and_extra(sites: Sites) -> None:
    site = sites["split"]
    assert site.about()["word"] == "production, from above"
    assert "The project installs daphne 4.0.0, which is vulnerable" in site.told


def asked(host: LabHost, query: str, database: str = "shop") -> str:
    """Query a host's PostgreSQL as a user who may see everything."""
    psql = "runuser --user postgres -- psql --no-align --tuples-only --dbname %s --command %s"
    return host.run(psql, database, query).strip()


def texts(site: Site) -> str:
    """Return all messages that a project has stored, as its own process finds them."""
    command = "from chat.models import Message; print(list(Message.objects.values_list('text', flat=True)))"
    return site.manage("shell", "--command", command)


def upload(site: Site) -> None:
    """Let the project store a file, and nginx serve it."""
    status, _, body = site.request("/upload/a.txt", "POST", "text")
    assert (status, json.loads(body)["url"]) == (200, "/media/a.txt")
    status, headers, body = site.request("/media/a.txt")
    assert (status, body, headers["x-content-type-options"]) == (200, "text", "nosniff")


def test_uploads_to_a_folder_of_the_code(sites: Sites) -> None:
    """The folder is taken over with what was committed in it, and belongs to no release."""
    site = sites["split"]
    assert site.request("/media/logo.txt")[::2] == (200, "committed")
    upload(site)
    assert sorted(site.host.run("ls /srv/split/shared/media").split()) == ["a.txt", "logo.txt"]


def test_postgresql_of_another_host_gunicorn_and_uploads(sites: Sites) -> None:
    site, database = sites.settled("shop"), sites.hosts["projects-1"]
    kept = talk(site, "into PostgreSQL")["kept"]
    assert asked(database, "SELECT count(*) FROM chat_message") == str(kept)
    assert asked(database, "SELECT tableowner FROM pg_tables WHERE tablename = 'chat_message'") == "shop"
    assert site.variables["vault_postgresql_password"].split()[0] not in site.told
    assert site.about()["asgi"] is False
    upload(site)
    assert site.changed(site.play())[0] == 0, "a second run changes something"


def test_database_that_is_killed_comes_back(sites: Sites) -> None:
    """Debian's unit would leave it down."""
    site, database = sites.settled("shop"), sites.hosts["projects-1"]
    postmaster = "cat /run/postgresql/*-main.pid"
    before = database.run(postmaster)
    database.run(f"kill -KILL $({postmaster})")
    ready, deadline = f"pg_isready --quiet && {postmaster}", time.monotonic() + PATIENCE
    while database.host.run(ready).stdout in ("", before) or site.request("/")[0] != 200:
        assert time.monotonic() < deadline, "the database is not there after it was killed"
        time.sleep(0.5)
    assert talk(site, "after it was killed")["kept"]


def test_token_subprotocol_and_two_paths_below_a_path(sites: Sites) -> None:
    site = sites["tokens"]
    with site.open() as websocket:
        assert websocket.subprotocol == "chat.v1"
    for path in ("/ws/chat/", "/live/chat/"):
        came = talk(site, "hello", path + "?token={token}")
        assert (came["path"], came["user"]) == (f"/team{path}", "proof")
    assert refusal(site, token="no.such.token") == 403
    assert site.about()["path"] == "/team/" and site.request("/")[0] == 404


def test_session_and_origin(sites: Sites) -> None:
    site = sites["members"]
    assert talk(site, "hello")["user"] == "proof"
    assert refusal(site, token="nosuchsession") == 403
    assert refusal(site, origin="https://foreign.invalid") == 403


def test_doctor_knows_what_a_project_has_beside_its_sockets(sites: Sites) -> None:
    """Its database, gunicorn, and what its releases share: broken, and then healthy again."""
    site, database, other = sites.settled("shop"), sites.hosts["projects-1"], sites.settled("split")
    units = site.host.run("systemctl list-units --plain --no-legend 'shop-wsgi@*' | cut -d' ' -f1").split()
    site.host.run("systemctl stop " + " ".join(units))
    database.run("systemctl stop postgresql")
    site.host.run("mv /srv/split/shared/media /srv/split/shared/away")
    try:
        verdict, noticed = site.diagnosis()
        assert {verdict, *noticed} >= {"W119_WSGI_DOWN", "W513_DATABASE"}, (verdict, noticed)
        verdict, noticed = other.diagnosis()
        assert {verdict, *noticed} >= {"W120_SHARED_PATH"}, (verdict, noticed)
    finally:
        site.host.run("mv /srv/split/shared/away /srv/split/shared/media")
        database.run("systemctl start postgresql")
        site.host.run("systemctl start " + " ".join(units))
    assert site.diagnosis() == ("OK", {"W407_ORIGIN_UNCHECKED"})


def test_project_is_removed_with_its_database(sites: Sites) -> None:
    """The last of these tests: nothing of it is left on either host, and others have not noticed."""
    site, database = sites.settled("shop"), sites.hosts["projects-1"]
    others = [sites[name] for name in ("quick", "tokens", "letters")]
    opened = [other.open() for other in others]
    site.changed(site.play("playbooks/remove.yml", "--extra-vars", "remove_data=true"))
    found = "SELECT (SELECT count(*) FROM {} WHERE {} = 'shop')"
    assert asked(database, found.format("pg_database", "datname"), "postgres") == "0"
    assert asked(database, found.format("pg_roles", "rolname"), "postgres") == "0"
    assert "shop" not in database.run("cat /etc/postgresql/*/main/pg_hba.conf")
    left = "find /srv /etc /usr/local /run /var/log/nginx -name '*shop*' -not -path '*/ssl/*' 2>/dev/null || true"
    assert site.host.run(left) == ""
    for other, websocket in zip(others, opened, strict=True):
        with websocket:
            websocket.send("still here")
            said(websocket, "still here")
        assert other.about()["debug"] is False
