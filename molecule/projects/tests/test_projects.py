"""Projects of ten shapes are deployed by an inventory alone, and their sockets work from outside."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest
from sites import PROJECTS, Site, Sites
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection


def said(websocket: ClientConnection, text: str) -> dict[str, Any]:
    """Wait until a message comes to a socket, and return it."""
    while True:
        came = json.loads(websocket.recv(10))
        if came["text"] == text:
            return came


def talk(site: Site, text: str, path: str = "", **options: Any) -> dict[str, Any]:
    """Send a message over a new socket, and return it as it comes back."""
    with site.open(path, **options) as websocket:
        websocket.send(text)
        return said(websocket, text)


def refusal(site: Site, **options: Any) -> int:
    """Return the status with which a handshake is refused, or 101 where it is not."""
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
    assert "The project brings daphne 3.0.2, whose vulnerabilities" in site.told
    assert "settings have no STATIC_ROOT" in site.told
    assert site.about()["django"] == "3.2.25" and site.about()["settings"] == "deployed_settings"


def test_messages_survive_a_deploy(sites: Sites) -> None:
    """Those that were committed, and those that came over sockets."""
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
    command = "from chat.models import Message; print(list(Message.objects.values_list('text', flat=True)))"
    texts = site.manage("shell", "--command", command)
    for text in ("committed", "written on the host", "after the deploy"):
        assert text in texts


def test_inventory_by_inspection(sites: Sites) -> None:
    """Of a project with names of a compose file, requirements above the backend, and no server among them."""
    site = sites.settled("compose")
    assert site.variables["release_requirements"] == ["../requirements.txt"]
    assert "The project's requirements bring no daphne, so daphne==" in site.told
    assert site.host.run("getent hosts redis").split()[0] == "127.0.0.1"
    assert "NOPERM" in site.host.run("redis-cli config get port"), "everybody on the host may do all with Redis"
    status, _, body = site.request("/static/chat/chat.js")
    assert (status, body) == (200, "// found by whitenoise\n")
    assert site.changed(site.play())[0] == 0, "a second run changes something"


def test_settings_of_a_file(sites: Sites) -> None:
    site = sites["letters"]
    assert site.about()["word"] == "from the file"
    place = "$(readlink -f /srv/letters/live/code)/.env"
    assert site.host.run(f"stat --format='%a %U %G' {place}").strip() == "640 root letters"
    secret = site.host.run(f"grep ^SECRET_KEY= {place}").strip().partition("=")[2]
    assert len(secret) == 40 and secret not in site.told
    assert "poetry.lock is beside pyproject.toml, so its versions are installed" in site.told


def test_packages_without_a_file(sites: Sites) -> None:
    assert sites["bare"].about()["django"].startswith("5.1.")


def test_tag_and_submodule(sites: Sites) -> None:
    site = sites["tagged"]
    assert site.about()["word"] == "v1.2"
    assert site.host.run("ls -A /srv/tagged/live/code/chat").split().count("consumers.py") == 1


def test_versions_of_a_lock_and_uvicorn(sites: Sites) -> None:
    site = sites["quick"]
    assert site.about()["django"] == "5.2.1"
    assert "so websockets was installed beside it" in site.told
    live = json.loads(site.host.run("cat /srv/quick/live/generation.json"))
    assert len(live["instances"]) > 1, "a message reaches no other process"
    process = site.host.run(f"systemctl show --property=MainPID --value {live['unit']}@{live['instances'][0]}").strip()
    assert "uvicorn" in site.host.run(f"tr '\\0' ' ' </proc/{process}/cmdline")


def test_production_settings_and_extra(sites: Sites) -> None:
    site = sites["split"]
    assert site.about()["word"] == "production"
    assert "The project brings daphne 4.0.0, whose vulnerabilities" in site.told


def test_postgresql_gunicorn_and_uploads(sites: Sites) -> None:
    site = sites.settled("shop")
    kept = talk(site, "into PostgreSQL")["kept"]
    query = "runuser --user postgres -- psql --no-align --tuples-only --dbname shop --command %s"
    assert site.host.run(query, "SELECT count(*) FROM chat_message").strip() == str(kept)
    assert site.host.run(query, "SELECT tableowner FROM pg_tables WHERE tablename = 'chat_message'").strip() == "shop"
    assert site.variables["vault_postgresql_password"].split()[0] not in site.told
    assert site.about()["asgi"] is False
    status, _, body = site.request("/upload/a.txt", "POST", "text")
    assert (status, json.loads(body)["url"]) == (200, "/media/a.txt")
    status, headers, body = site.request("/media/a.txt")
    assert (status, body, headers["x-content-type-options"]) == (200, "text", "nosniff")
    assert site.changed(site.play())[0] == 0, "a second run changes something"


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
