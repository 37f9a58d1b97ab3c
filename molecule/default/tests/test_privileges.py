"""Processes may do what they need and no more, and only they can read their secrets."""

from __future__ import annotations

import re

from lab_host import LabHost

SANDBOX = {
    "User": "dashboard",
    "Group": "dashboard",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectControlGroups": "yes",
    "RestrictSUIDSGID": "yes",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
}
# What a process may write to: its data, its socket's folder, its own /tmp, and the lock folder that is open to
# everybody.
WRITABLE = re.compile(r"/srv/dashboard/shared(/|$)|/run/dashboard$|/(var/)?tmp(/|$)|/run/lock$")


def fields(text: str, separator: str) -> dict[str, str]:
    """Return lines of name and value as a dict."""
    pairs = (line.partition(separator) for line in text.splitlines() if separator in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def test_units_are_sandboxed(lab: LabHost) -> None:
    """systemd confines each process as the unit promises."""
    for unit in lab.units:
        shown = fields(lab.run(f"systemctl show --property={','.join(SANDBOX)} {unit}"), "=")
        assert shown == SANDBOX, f"{unit} is confined otherwise"


def test_processes_have_no_power(lab: LabHost) -> None:
    """The kernel agrees: no process is root, has a capability, can gain one, or may use all system calls."""
    user = lab.run("id --user dashboard").strip()
    assert user != "0"
    for unit, pid in lab.pids().items():
        status = fields(lab.run(f"cat /proc/{pid}/status"), ":")
        assert set(status["Uid"].split()) == {user}, f"{unit} runs as {status['Uid']}"
        powers = {name: int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh")}
        assert not any(powers.values()), f"{unit} holds capabilities: {powers}"
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", f"{unit}: {status['Seccomp']=}"
        assert status["Umask"] == "0027", f"what {unit} writes is open to others: {status['Umask']}"


def open_files(lab: LabHost, pid: int | str) -> int:
    """Return how many files a process may open."""
    found = re.search(r"Max open files\s+(\d+)", lab.run(f"cat /proc/{pid}/limits"))
    assert found
    return int(found[1])


def test_processes_may_open_many_files(lab: LabHost) -> None:
    """Each process may hold 20,000 sockets, whatever limit this machine gives a service by default."""
    limits = {unit: open_files(lab, pid) for unit, pid in lab.pids().items()}
    assert min(limits.values()) >= 20000, f"open files: {limits}"


def test_nginx_may_open_many_files(lab: LabHost) -> None:
    """nginx needs two files for each socket; with a limit of 1,024, a worker would refuse its 510th client."""
    workers = lab.run("cat /proc/$(cat /run/nginx.pid)/task/*/children").split()
    limits = {pid: open_files(lab, pid) for pid in workers}
    assert min(limits.values()) >= 20000, f"open files of nginx's workers: {limits}"


def test_process_writes_to_its_data_only(lab: LabHost) -> None:
    """In a process's view of the file system, nothing is writable except its data, its socket and its /tmp."""
    pid = lab.pids()[lab.units[0]]
    search = (
        r"find / \( -path /proc -o -path /sys -o -path /dev \) -prune -o \( -type f -o -type d \) -writable -print "
        "2>/dev/null"
    )
    found = lab.host.run(f"nsenter --target {pid} --mount -- runuser --user dashboard -- {search}").stdout.splitlines()
    assert "/srv/dashboard/shared" in found, "the search did not find what is meant to be writable"
    assert not (extra := [path for path in found if not WRITABLE.match(path)]), f"a process can write to {extra[:20]}"


def test_user_cannot_change_what_runs(lab: LabHost) -> None:
    """Even without the sandbox, the project's user can change no code, package, command or setting of the project."""
    # static, staticfiles: collectstatic runs as that user. .lock: uv's file, which is empty.
    prune = r"\( -path /srv/dashboard/live/static -o -name staticfiles -o -name .lock \) -prune"
    search = (
        "find -L /srv/dashboard/live /srv/dashboard/releases /srv/dashboard/venvs /etc /usr/local "
        rf"{prune} -o \( -type f -o -type d \) -writable -print 2>/dev/null"
    )
    found = lab.host.run(f"runuser --user dashboard -- {search}").stdout.split()
    assert not found, f"the project's user can write to {found[:20]}"
    readable = lab.host.run("runuser --user dashboard -- head --lines=1 /srv/dashboard/live/code/manage.py")
    assert readable.rc == 0, "the user cannot even read its code, so the search proved nothing"


def test_environment_is_the_projects_alone(lab: LabHost) -> None:
    """The file with the secrets belongs to root; the project's user can read it, and nobody else can."""
    for path in ("/etc/dashboard/env", "/srv/dashboard/live/env"):
        shown = lab.run("stat --dereference --format='%%a %%U:%%G' %s", path).strip()
        assert shown == "640 root:dashboard", f"{path} is {shown}"
    for user, code in (("dashboard", 0), ("nobody", 1), ("www-data", 1)):
        done = lab.host.run(f"runuser --user {user} -- cat /etc/dashboard/env")
        assert done.rc == code, f"{user} {'cannot' if done.rc else 'can'} read the environment"


def test_environment_of_the_operator_is_that_of_the_processes(lab: LabHost) -> None:
    """If sh reads /etc/dashboard/env, it gets the values that the processes run with."""
    declared = lab.environment()
    entries = lab.run("sh -c 'set -a; . /etc/dashboard/env; env -0'").split("\0")
    sourced = {name: value for name, _, value in (entry.partition("=") for entry in entries) if name in declared}
    assert sourced == declared and len(declared) > 4
    for unit, pid in lab.pids().items():
        running = dict(entry.partition("=")[::2] for entry in lab.run(f"cat /proc/{pid}/environ").split("\0"))
        different = [name for name in declared if running.get(name) != declared[name]]
        assert not different, f"{unit} runs with other values of {different}"


def test_secrets_are_in_no_readable_file(lab: LabHost) -> None:
    """A user without privileges finds no secret in any file on the host; the project's own user finds them."""
    options = "--recursive --devices=skip --files-with-matches --no-messages --fixed-strings"
    search = f"runuser --user {{}} -- grep {options} -e {{}} {{}}"
    for name, value in lab.secrets().items():
        own = lab.host.run(search.format("dashboard", "%s", "/srv/dashboard/generations"), value).stdout.split()
        assert any(path.endswith("/env") for path in own), f"the search does not find {name} where it has to be"
        found = lab.host.run(
            search.format("nobody", "%s", "/etc /srv /var/log /run /opt /usr/local /tmp"), value
        ).stdout
        assert not found, f"anybody can read {name} in {found.split()}"


def test_secrets_are_in_no_command_line_or_log(lab: LabHost) -> None:
    """No process shows a secret in its arguments, and no log contains one: not the journal, nor any below /var/log."""
    secrets = lab.secrets()
    texts = {
        "command lines": lab.run("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"),
        "the journal": lab.run("journalctl --no-pager --output=cat"),
        "/var/log": lab.run("find /var/log -type f -not -path '*/journal/*' -exec cat {} + | tr -cd '[:print:]\n'"),
    }
    assert "daphne" in texts["command lines"] and "daphne" in texts["the journal"] and "/ws/" in texts["/var/log"]
    found = [f"{name} in {where}" for name, value in secrets.items() for where, text in texts.items() if value in text]
    assert not found, f"secrets stand in the open: {found}"


def test_sockets_are_nginx_s_alone(lab: LabHost) -> None:
    """nginx's user can reach a process's socket; another user cannot."""
    lab.assert_only_nginx_reaches(lab.live["sockets"])


def test_systemd_accepts_the_unit(lab: LabHost) -> None:
    """systemd reads the unit without complaining."""
    done = lab.host.run(f"systemd-analyze verify {lab.units[0]}")
    complaints = [line for line in done.stderr.splitlines() if "dashboard" in line]
    assert done.rc == 0 and not complaints, f"systemd-analyze verify ended with {done.rc}:\n{done.stderr}"


def test_operator_runs_the_project(lab: LabHost) -> None:
    """dashboard-manage runs a command of the project as its user, and Django's own check finds nothing."""
    assert "no issues" in lab.run("dashboard-manage check")
    shown = lab.run("dashboard-manage shell --command 'import os, sys; print(os.getuid(), sys.prefix)'").split()[-2:]
    assert shown == [lab.run("id --user dashboard").strip(), lab.run("readlink /srv/dashboard/live/venv").strip()]
