"""keepalived's configuration on an edge, as keepalived itself reads it where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Render = Callable[..., str]
FLEET: dict[str, Any] = {
    "groups": {"app": ["app-1"], "proxy": ["edge-1", "edge-2"]},
    "group_names": ["proxy"],
    "inventory_hostname": "edge-2",
    "private_address": "10.0.0.32",
    "hostvars": {
        "app-1": {"private_address": "10.0.0.1"},
        "edge-1": {"private_address": "10.0.0.31"},
        "edge-2": {"private_address": "10.0.0.32"},
    },
    "keepalived_address": "10.0.0.100/24",
    "__keepalived_route": {"stdout": "10.0.0.31 dev ens3 src 10.0.0.32 uid 0 \\    cache"},
}


def rendered(render: Render, **variables: Any) -> str:
    """The configuration of the second edge, with some variables set."""
    return render("keepalived/keepalived.conf.j2", **{**FLEET, **variables})


def value(text: str, name: str) -> str:
    """The value of a line."""
    (found,) = re.findall(rf"^ +{name} (.+)$", text, re.MULTILINE)
    return str(found)


def test_edges_agree_and_differ_where_they_must(render: Render) -> None:
    second = rendered(render)
    first = rendered(render, inventory_hostname="edge-1", private_address="10.0.0.31")
    assert value(first, "virtual_router_id") == value(second, "virtual_router_id")
    assert 1 <= int(value(first, "virtual_router_id")) <= 255
    assert int(value(first, "priority")) > int(value(second, "priority")) >= 1
    assert value(second, "unicast_src_ip") == "10.0.0.32"
    assert re.search(r"unicast_peer \{\s+10\.0\.0\.31\s+\}", second)
    assert re.search(r"virtual_ipaddress \{\s+10\.0\.0\.100/24\s+\}", second)


def test_interface_is_the_one_that_leads_to_the_others(render: Render) -> None:
    assert value(rendered(render), "interface") == "ens3"
    assert value(rendered(render, keepalived_interface="bond0"), "interface") == "bond0"


def test_address_moves_within_five_seconds_and_only_if_it_must(render: Render) -> None:
    text = rendered(render)
    advert = float(value(text, "advert_int"))
    assert 4 * advert < 3 and value(text, "vrrp_version") == "3"
    assert int(value(text, "interval")) + int(value(text, "timeout")) + advert < 5 and value(text, "fall") == "1"
    assert "\n    nopreempt\n" in text and value(text, "state") == "BACKUP"
    assert "enable_script_security" in text and value(text, "script_user") == "nobody nogroup"


def test_haproxy_answers_keepalived_only_if_there_is_an_address(render: Render) -> None:
    assert "health.sock" in render("haproxy/haproxy.cfg.j2", **FLEET)
    assert "health.sock" not in render("haproxy/haproxy.cfg.j2", **{**FLEET, "keepalived_address": ""})


def test_firewall_lets_vrrp_in_from_other_edges_alone(render: Render) -> None:
    rules = render("firewall/project.nft.j2", **FLEET, firewall_enabled=True)
    found = re.findall(r"^\s*(.*l4proto 112 accept)$", rules, re.MULTILINE)
    assert found == ["ip saddr 10.0.0.31 meta l4proto 112 accept"]
    for other in ({"keepalived_address": ""}, {"group_names": ["app"], "inventory_hostname": "app-1"}):
        assert "l4proto" not in render("firewall/project.nft.j2", **{**FLEET, **other}, firewall_enabled=True)


@pytest.mark.skipif(not shutil.which("keepalived"), reason="keepalived is not installed")
def test_keepalived_accepts_it(tmp_path: Path, render: Render) -> None:
    text = rendered(render, keepalived_interface="lo")
    text = text.replace("/usr/local/lib/channels-edge/haproxy-answers", "/bin/true")
    (tmp_path / "keepalived.conf").write_text(text)
    command = ["keepalived", "--config-test", "--use-file", str(tmp_path / "keepalived.conf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
