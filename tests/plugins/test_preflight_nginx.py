"""Sites and settings that a host's nginx has already are not dropped without a word."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks.nginx import (
    nginx_conf_of_others,
    nginx_header_buffers,
    nginx_redacted_parameters,
    nginx_sites_aside,
)
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView

PACKAGED = "nginx_packaged=aaa bbb \n"


def told(answer: str, installs: bool = True, **variables: Any) -> list[tuple[str, str]]:
    """What both checks say of a host that gave this answer."""
    host = HostView("app1", {PROBE: {"stdout": answer}, **variables}, {}, Templar(), installs)
    return [(one.fault, one.fix) for look in (nginx_sites_aside, nginx_conf_of_others) for one in look(host)]


@pytest.mark.parametrize("conf", ["nginx_conf=ours\n", "nginx_conf=aaa\n", ""])
def test_what_debian_brings_is_replaced(conf: str) -> None:
    """Its own nginx.conf and its example site, as long as nobody has touched them."""
    assert told(PACKAGED + conf + "nginx_aside:default=bbb\n") == []


def test_sites_without_conf_are_named() -> None:
    """Debian's own, too, once somebody has made something of it; with what to type."""
    sites = "nginx_aside:default=ccc\nnginx_aside:example.org=ddd\n"
    ((fault, fix),) = told(PACKAGED + "nginx_conf=ours\n" + sites)
    assert "default and example.org" in fault and "end in .conf" in fault
    assert "mv /etc/nginx/sites-enabled/example.org /etc/nginx/sites-enabled/example.org.conf" in fix


def test_somebodys_nginx_conf_is_kept() -> None:
    """With what is in it that this bundle's has not, and both ways on."""
    ((fault, fix),) = told(PACKAGED + "nginx_conf=eee\nnginx_blocks=stream mail \n")
    assert "neither Debian's nor this bundle's (it has blocks stream and mail)" in fault
    assert "nginx_conf_template" in fix and "nginx.conf.before" in fix


@pytest.mark.parametrize("given", [{"installs": False}, {"nginx_conf_template": "/my/nginx.conf.j2"}])
def test_who_says_otherwise_is_let_through(given: dict[str, Any]) -> None:
    """A run that sets up nothing, and a user whose own template says what is included."""
    assert told(PACKAGED + "nginx_conf=eee\nnginx_aside:x=ddd\n", **given) == []
    assert told(PACKAGED + "nginx_conf=eee\nnginx_aside:x=ddd\n", nginx_conf_template="nginx.conf.j2")


@pytest.mark.parametrize(
    ("server", "value", "right"),
    [
        ("daphne", "1 12k", True), ("daphne", "2 6k", True), ("daphne", "4 1k", True), ("daphne", "8 32k", False),
        ("daphne", "4 16k", False), ("daphne", "1 13k", False), ("daphne", "2 8192", False), ("daphne", "1 1m", False),
        ("uvicorn", "4 12k", True), ("uvicorn", "1 16k", False), ("uvicorn", "8 32k", False), ("daphne", "x", True),
    ],
)  # fmt: skip
def test_no_more_is_let_in_than_the_server_takes(server: str, value: str, right: bool) -> None:
    """What it refuses, it refuses without a reason, or does not answer. What is no size is told elsewhere."""
    host = HostView("app1", {"asgi_server": server, "nginx_header_buffers": value}, {}, Templar())
    assert (list(nginx_header_buffers(host)) == []) is right


@pytest.mark.parametrize(
    ("names", "path", "fault"),
    [
        (["token", "a.b", "seat[no]", "x-y_z"], "/ws/?token={token}", ""),
        (["tok"], "/ws/?Access_Token={token}&room=1", ""),
        ([], "/ws/", ""),
        (None, "/ws/?t={token}", ""),
        (["to ken"], "/ws/", "'to ken' cannot be part of a query parameter's name"),
        (['a"; return 200', "$args", 5, "x" * 41], "/ws/", " and "),
        ([f"name{number}" for number in range(61)], "/ws/", "it has 61 names"),
        (
            ["jwt", "key"],
            "/ws/?room=1&pass_me={token}&t={token}",
            "does not include pass_me and t, in which handshake_path",
        ),
    ],
)
def test_names_of_what_is_hidden(names: list[Any] | None, path: str, fault: str) -> None:
    """Anything else would end nginx's own text, hide nothing, or show the token that sockets come with."""
    given = {"handshake_path": path} | ({} if names is None else {"nginx_redacted_parameters": names})
    told = [one.fault for one in nginx_redacted_parameters(HostView("app1", given, {}, Templar()))]
    assert len(told) == bool(fault) and all(fault in one for one in told)
