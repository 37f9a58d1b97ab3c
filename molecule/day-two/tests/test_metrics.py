"""What hosts tell: all of it reaches Prometheus, it is true, nobody else hears it, and it costs little."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from lab_host import ROOT, LabHost
from watching import ask, await_true, of, samples, site, watch  # noqa: F401 - pytest finds fixtures by their names

OURS = "prometheus|alertmanager|channels-metrics"
# Runs on the host: the processor time and the memory (PSS, kB) of each daemon.
COSTS = """
import json, pathlib
found = {}
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        words = (folder / "cmdline").read_bytes().split(b"\\0")
        name = next((word.decode().rpartition("/")[2] for word in words[:3] if word.startswith(b"/usr/bin/prometheus-")
                     or word.endswith(b"sbin/channels-metrics")), None)
        if name:
            rest = (folder / "stat").read_text().rpartition(")")[2].split()
            rows = dict(line.split()[:2] for line in (folder / "smaps_rollup").read_text().splitlines()[1:])
            found[name] = (sum(map(int, rest[11:15])) / 100, int(rows["Pss:"]))
    except OSError:
        pass
print(json.dumps(found))
"""


def test_all_targets_answer(watch: LabHost) -> None:  # noqa: F811
    wanted = {
        ("day-two-site", "node"), ("day-two-site", "redis"), ("day-two-site", "postgresql"), ("day-two-watch", "node"),
        ("day-two-watch", "prometheus"), ("day-two-watch", "alertmanager"),
    }  # fmt: skip

    def all_are_up() -> bool:
        # One that has just started may not have read yet which ones there are.
        found = ask(watch, "targets", state="active")["activeTargets"]
        states = {(one["labels"]["instance"], one["labels"]["job"]): one["health"] for one in found}
        assert set(states) <= wanted
        return states == dict.fromkeys(wanted, "up")

    await_true(all_are_up, f"{len(wanted)} targets are up")
    redis = await_true(lambda: ask(watch, "query", query="redis_up + on (instance) pg_up")["result"], "both stores")
    assert [one["value"][1] for one in redis] == ["2"]


def test_nothing_listens_to_everybody(site: LabHost, watch: LabHost) -> None:  # noqa: F811
    for host in (site, watch):
        lines = host.run("ss -Hltnp").splitlines()
        ours = [line.split()[3] for line in lines if "prometheus" in line]
        private = (ROOT / ".lab" / "addresses" / host.name).read_text().strip()
        assert ours and {address.rpartition(":")[0] for address in ours} <= {"127.0.0.1", private}
    rules = site.run("nft list table inet channels")
    address = (ROOT / ".lab" / "addresses" / "day-two-watch").read_text().strip()
    assert f"ip saddr {address} tcp dport 9100 accept" in rules


def test_sockets_are_counted_where_they_are(site: LabHost) -> None:  # noqa: F811
    generation = f'generation="{site.live["generation"]}"'
    with ExitStack() as stack:
        for _ in range(7):
            stack.enter_context(site.connect())

        def counted() -> bool:
            found = samples(site)
            (now,) = of(found, "channels_generation_connections", generation).values()
            each = of(found, "channels_process_connections", generation)
            return now >= 7 and sum(each.values()) == now and len(each) == 2

        await_true(counted, "the sockets are counted")
    ended = 'status="101"'
    await_true(lambda: sum(of(samples(site), "channels_websocket_requests_total", ended).values()) >= 7, "they ended")
    (state,) = of(samples(site), "channels_generation_info", 'state="live"')
    assert generation in state
    assert all(of(samples(site), "channels_metrics_up").values())


def test_probes_open_sockets_from_both_hosts(site: LabHost, watch: LabHost) -> None:  # noqa: F811
    def works(host: LabHost) -> bool:
        return list(of(samples(host), "channels_probe_success").values()) == [1]

    await_true(lambda: works(site) and works(watch), "both probes succeed")
    await_true(lambda: list(of(samples(site), "channels_probe_group_success").values()) == [1], "a message to all")
    # Tests before this one stop what serves, and a socket that ended then is counted.
    (cut,) = of(samples(site), "channels_probe_idle_cut_total").values()
    (silent,) = of(samples(site), "channels_probe_idle_seconds").values()
    await_true(lambda: [*of(samples(site), "channels_probe_idle_seconds").values()] > [silent], "it stays silent")
    assert [*of(samples(site), "channels_probe_idle_cut_total").values()] == [cut]
    assert 'target="day-two-site"' in next(iter(of(samples(watch), "channels_probe_success")))


def test_token_of_the_probe_appears_nowhere(site: LabHost) -> None:  # noqa: F811
    """Each JSON Web Token begins with these letters; so would the journal's copy of an argument."""
    found = site.run(
        "grep -rl eyJ /etc/channels-metrics /var/lib/prometheus /var/log/nginx /run/ansible-channels-stack 2>&-; "
        "journalctl --unit=channels-metrics --unit=dashboard-nginx-errors | grep eyJ; "
        "cat /proc/[0-9]*/cmdline 2>&- | tr '\\0' ' ' | grep -o '[e]yJ[A-Za-z0-9_-]*[.]'; true"
    )
    assert found.strip() == ""
    assert site.run("stat --format=%a /etc/channels-metrics /etc/channels-metrics/*").split() == ["700", "600", "600"]


def test_rules_do_what_their_tests_say(watch: LabHost) -> None:  # noqa: F811
    """By the promtool that reads them here."""
    folder = watch.run("mktemp -d").strip()
    watch.run(f"cp /etc/prometheus/channels/rules.yml {folder}")
    write = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
    for path in (ROOT / "tests" / "templates").glob("rules*_test.yml"):
        watch.python(write, f"{folder}/test.yml", path.read_text())
        watch.run(f"cd {folder} && promtool test rules test.yml")


def test_secrets_of_receivers_are_for_alertmanager_alone(watch: LabHost) -> None:  # noqa: F811
    assert watch.run("stat --format='%a %U %G' /etc/prometheus/alertmanager.yml").strip() == "640 root prometheus"
    assert "only the receiver" not in watch.run("cat /proc/[0-9]*/cmdline 2>&- | tr '\\0' ' '")


def test_it_costs_little(site: LabHost) -> None:  # noqa: F811
    """The memory of all of it on a host that has everything; docs/monitoring.md has the figures of a quiet machine."""
    import json

    costs = json.loads(site.python(COSTS))
    assert len(costs) == 4, costs
    assert sum(memory for _, memory in costs.values()) < 100_000, costs
    assert Path(ROOT / "docs" / "monitoring.md").read_text().count("of a core") >= 1
