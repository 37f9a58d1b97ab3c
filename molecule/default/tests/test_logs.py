"""Logs show who came and what happened, but never the token they used."""

from __future__ import annotations

import contextlib
import json
import re
import time
import uuid

import pytest
from lab_host import NO_SOCKET, LabHost
from websockets.exceptions import InvalidStatus

ACCESS_LOG = "/var/log/nginx/dashboard.access.log"


def logged_line(lab: LabHost, agent: str) -> str:
    """Return a request's line in the access log, by its User-Agent; nginx writes it when the request is over."""
    for _ in range(1200):
        if found := lab.host.run("grep --fixed-strings %s %s", agent, ACCESS_LOG).stdout.strip():
            return found
        time.sleep(0.05)
    return pytest.fail(f"{ACCESS_LOG} does not show the request of {agent}")


def holders(lab: LabHost, canary: str) -> list[str]:
    """Return which log files contain a text, and "journal" if the journal does."""
    lab.run("journalctl --sync")
    command = "grep --recursive --exclude-dir=journal --files-with-matches --fixed-strings -e %s /var/log"
    found = lab.host.run(command, canary).stdout.split()
    in_journal = lab.host.run("journalctl --no-pager --output=cat | grep --quiet --fixed-strings -e %s", canary).rc == 0
    return found + ["journal"] * in_journal


def test_search_finds_what_is_there(lab: LabHost) -> None:
    """The search that the other tests rely on finds a text in a log file and in the journal."""
    agent = f"agent-{uuid.uuid4().hex}"
    lab.get("/", User_Agent=agent)
    lab.run("echo %s | systemd-cat --identifier=test", agent)
    logged_line(lab, agent)
    assert holders(lab, agent) == [ACCESS_LOG, "journal"]


@pytest.mark.parametrize("case", ["good", "bad", "referer", "page", "oversized", "no process"])
def test_token_is_in_no_log(lab: LabHost, case: str) -> None:
    """However a request with a token ends, the access log shows its path and status, and no log shows the token."""
    agent, canary = f"agent-{uuid.uuid4().hex}", uuid.uuid4().hex
    # Minting a token takes a second, and only one of the cases needs a valid one.
    token = lab.token(f"canary-{canary}") if case == "good" else f"eyJhbGciOiJIUzI1NiJ9.eyJz{canary}.{canary[::-1]}"
    with contextlib.ExitStack() as stack:
        if case == "good":
            with lab.connect(token, user_agent_header=agent):
                pass
            expected = ("/ws/dashboard/", 101)
        elif case == "bad":
            assert lab.refusal(token, user_agent_header=agent) == 403
            expected = ("/ws/dashboard/", 403)
        elif case == "referer":
            page = f"http://localhost/?token={token}"
            assert lab.refusal(None, user_agent_header=agent, additional_headers={"Referer": page}) == 403
            expected = ("/ws/dashboard/", 403)
        elif case == "page":
            assert lab.get(f"/missing/?token={token}", User_Agent=agent)[0] == 404
            expected = ("/missing/", 404)
        elif case == "oversized":
            status, _, _ = lab.get(f"/ws/dashboard/?token={token}", User_Agent=agent, X_Large="x" * 40_000)
            assert status == 431
            expected = ()  # nginx gives up before it has read the User-Agent
        else:
            stack.enter_context(lab.upstream(NO_SOCKET))
            assert lab.refusal(token, user_agent_header=agent) == 502
            expected = ("/ws/dashboard/", 502)
        if expected:
            entry = json.loads(logged_line(lab, agent))
            assert (entry["path"], entry["status"]) == expected, "the access log shows another path or status"
    # The part that names the user would be a leak too: it is the token without its signature.
    for part in (token, *re.split(r"\.", token)[1:]):
        assert not (found := holders(lab, part)), f"{found} hold the token of a request ({case}), or a part of it"


def test_token_is_not_logged_when_files_run_out(lab: LabHost) -> None:
    """If nginx cannot open another file, it logs that, but without the line of the request that it could not serve."""
    token, refused = lab.token(f"canary-{uuid.uuid4().hex}"), 0
    # A socket takes two files. With one of the two limits it is the second that fails, when the request is fully known.
    for limit in (32, 33):
        edits = ("/^worker_rlimit_nofile/d", f"1i worker_rlimit_nofile {limit};")
        with lab.nginx_edited("/etc/nginx/nginx.conf", *edits), contextlib.ExitStack() as stack:
            try:
                for _ in range(40):
                    stack.enter_context(lab.connect(token, open_timeout=2))
            except InvalidStatus as error:
                refused += error.response.status_code == 500
            except (OSError, TimeoutError):
                pass
    assert refused, "nginx did not run out of files, so nothing is proven"
    assert not (found := holders(lab, token)), f"{found} hold the token of a request that nginx had no file for"


def test_logs_are_not_everybody_s(lab: LabHost) -> None:
    """They contain users' addresses, so their modes are those of Debian's own logs, before and after each rotation."""
    shown = lab.run("stat --format='%a %U:%G %n' /var/log/nginx/*.log").splitlines()
    assert len(shown) == 3 and all(line.startswith("640 www-data:adm ") for line in shown), shown
    assert "create 0640 www-data adm" in lab.run("cat /etc/logrotate.d/nginx")
