#!/usr/bin/env python3
"""Make, list and remove lab hosts: Debian containers that boot as a machine does and are reached over SSH.

    lab.py up NAME [--debian 12|13] [--init systemd|sysvinit] [--publish 8080:80]…
                                                           create (or start) a host and wait until SSH answers; prints
                                                           how it is reached, as JSON. Port 0 takes one that is free
    lab.py down NAME…                                      remove hosts
    lab.py list                                            what runs
    lab.py engine                                          have a Docker engine, and nothing more
    lab.py browser                                         have a browser for the tests, and print its path
    lab.py testssl                                         have testssl.sh for the tests, and print its path
    lab.py compose                                         have Docker Compose and an image to build upon; prints both,
                                                           as JSON
    lab.py clean                                           remove all that this tool and the tests made

A host's address and key go to .lab/ssh_config, so `ssh -F .lab/ssh_config NAME` logs in, as Ansible does; its published
ports go to .lab/ports/NAME.json, and its address among the lab's hosts to .lab/addresses/NAME. In .lab/addresses/shared
is one that no host has, with its prefix, for hosts that share one. Needs a Docker engine; where there is none, `up`
installs and starts one on a Debian machine as root, and says what is missing elsewhere. Standard library only.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import ipaddress
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STATE = ROOT / ".lab"
KEY = STATE / "id_ed25519"
SUITES = {"12": "bookworm", "13": "trixie"}
INITS = ("systemd", "sysvinit")  # folders beside this file, each with the recipe for an image
LABEL = "ansible-channels-stack.lab"
IMAGE = "ansible-channels-stack-lab"
NETWORK = f"{IMAGE}-hosts"
PACKAGES = "systemd-sysv,dbus,python3,openssh-server,ca-certificates,iproute2"
BROWSER = {"chromium": "chromium", "libnss3-tools": "certutil"}  # packages, each with a program from it
SHARED = 64  # addresses of the hosts' network that no host gets: one for each folder that has a lab
SSHD_WAIT = 60  # seconds; a host boots in two to five


class LabError(Exception):
    """Something that the user has to fix; the text says how."""


def say(text: str) -> None:
    """Print a line of progress immediately."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def run(*command: str, check: bool = True, quiet: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command; on failure raise LabError with its last lines."""
    if quiet:
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.STDOUT)
    done = subprocess.run(command, text=True, check=False, **options)
    if check and done.returncode:
        tail = "\n".join((done.stdout or "").strip().splitlines()[-15:])
        raise LabError(f"`{' '.join(command)}` failed with {done.returncode}:\n{tail}")
    return done


def docker(*arguments: str, **options: Any) -> str:
    """Run a docker command and return what it printed."""
    return (run("docker", *arguments, **options).stdout or "").strip()


# --- the engine -----------------------------------------------------------------------------------------------------


def engine_answers() -> bool:
    """Tell whether a Docker engine answers this user."""
    return bool(shutil.which("docker")) and run("docker", "info", check=False).returncode == 0


def ensure_engine() -> None:
    """Install and start a Docker engine if none answers; raise LabError if that is not possible."""
    if engine_answers():
        return
    if not shutil.which("dockerd"):
        install_packages("docker.io", "iptables", why="no Docker engine was found")
    if os.geteuid():
        raise LabError(
            "a Docker engine is installed but does not answer this user. Start it and join its group:\n"
            f"  sudo systemctl start docker; sudo usermod -aG docker {os.environ.get('USER', '$USER')}; newgrp docker"
        )
    say("starting the Docker engine")
    if Path("/run/systemd/system").is_dir():
        run("systemctl", "start", "docker.service", check=False)
    else:
        STATE.mkdir(exist_ok=True)
        with (STATE / "dockerd.log").open("ab") as log:
            subprocess.Popen(  # outlives this run, because it is the machine's engine from now on
                ["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
    deadline = time.monotonic() + 60
    while not engine_answers():
        if time.monotonic() > deadline:
            raise LabError(f"the Docker engine did not start; see {STATE / 'dockerd.log'} or `journalctl -u docker`")
        time.sleep(0.5)


def ensure_browser() -> str:
    """Install Chromium and the tool that makes it trust an authority, if missing; return its path."""
    if missing := [name for name, program in BROWSER.items() if not shutil.which(program)]:
        install_packages(*missing, why="the tests look at pages in Chromium, and not all of it was found")
    return shutil.which("chromium") or "chromium"


def ensure_testssl() -> str:
    """Install testssl.sh if it is missing; return its path."""
    if not shutil.which("testssl"):
        install_packages("testssl.sh", why="the tests judge TLS by testssl.sh, and it was not found")
    return shutil.which("testssl") or "testssl"


def ensure_compose() -> list[str]:
    """Install Docker Compose if it is missing; return its command: the plugin's, if there is one."""
    ensure_engine()
    known = (["docker", "compose"], ["docker-compose"])
    for missing in (True, False):
        for command in known:
            if shutil.which(command[0]) and run(*command, "version", check=False).returncode == 0:
                return command
        if missing:
            install_packages(
                "docker-compose", why="the example's compose.yml is tried, and no Docker Compose was found"
            )
    raise LabError("docker-compose is installed, but neither `docker compose` nor `docker-compose` runs")


def install_packages(*names: str, why: str) -> None:
    """Install Debian packages as root, or raise LabError with the command for somebody who is root."""
    command = f"apt-get install --no-install-recommends {' '.join(names)}"
    if not shutil.which("apt-get"):
        raise LabError(
            f"{why}, and this is not a Debian machine ({platform.system()}). Install Docker (https://docs.docker.com/"
            "engine/install/ or Docker Desktop) and start it, then run this again."
        )
    if os.geteuid():
        raise LabError(f"{why}. As root: {command}; then run this again.")
    say(f"installing {', '.join(names)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", "-q")
    run("apt-get", "install", "--yes", "-q", "--no-install-recommends", *names, env=environment)


# --- images ---------------------------------------------------------------------------------------------------------


def image_name(debian: str, init: str) -> str:
    """Name the image of a Debian version after its contents, so that a changed recipe makes a new image."""
    recipe = hashlib.sha256(b"".join(path.read_bytes() for path in sorted((HERE / init).iterdir())))
    return f"{IMAGE}:{SUITES[debian]}-{init}-{recipe.hexdigest()[:12]}"


def ensure_image(debian: str, init: str) -> str:
    """Build the lab image of a Debian version if it is missing, and return its name."""
    image = image_name(debian, init)
    if run("docker", "image", "inspect", image, check=False).returncode:
        base = ensure_base(SUITES[debian])
        say(f"building {image}")
        environment = {**os.environ, "DOCKER_BUILDKIT": "0"}  # every engine has the classic builder
        recipe = str(HERE / init)
        docker("build", "--label", LABEL, "--build-arg", f"BASE={base}", "--tag", image, recipe, env=environment)
    return image


def ensure_base(suite: str) -> str:
    """Return a base image: the registry's if it is reachable, else one built from the machine's Debian mirror."""
    local = f"{IMAGE}-base:{suite}"
    for name in (local, f"debian:{suite}-slim"):
        if run("docker", "image", "inspect", name, check=False).returncode == 0:
            return name
    if run("timeout", "120", "docker", "pull", "--quiet", f"debian:{suite}-slim", check=False).returncode == 0:
        return f"debian:{suite}-slim"
    if not shutil.which("mmdebstrap"):
        install_packages("mmdebstrap", why="no image registry is reachable, and mmdebstrap is needed to make an image")
    say(f"no image registry is reachable: making Debian {suite} with mmdebstrap")
    archive = STATE / f"{suite}.tar"
    run("mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(archive), *mirrors(suite))
    docker("import", "--change", f"LABEL {LABEL}=", str(archive), local)
    archive.unlink()
    return local


def mirrors(suite: str) -> list[str]:
    """Return the machine's own Debian mirrors as mmdebstrap's arguments; empty if apt names none."""
    targets = run(
        "apt-get", "indextargets", "--format", "$(SITE) $(CODENAME) $(ORIGIN)", "Created-By: Packages", check=False
    )
    lines = [line.split() for line in (targets.stdout or "").splitlines() if line.endswith(" Debian")]
    parts = {(site, "-security" if codename.endswith("-security") else "") for site, codename, _ in lines}
    return [f"deb {site} {suite}{part} main" for site, part in sorted(parts, key=lambda entry: (entry[1], entry[0]))]


# --- hosts ----------------------------------------------------------------------------------------------------------


def container_options(init: str) -> list[str]:
    """Return the options that let an init system boot in a container of this engine."""
    options = ["--tmpfs", "/run", "--tmpfs", "/run/lock", "--security-opt", "seccomp=unconfined"]
    if init == "sysvinit":  # logs to the console, and a reboot of its machine ends its container
        return [*options, "--tty", "--cap-add", "SYS_BOOT", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE"]
    if docker("info", "--format", "{{.CgroupVersion}}") == "1":
        options += ["--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE", "--cgroupns=host"]
        options += ["--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"]
        # systemd 256 and later refuse cgroup v1 unless told that it is intended.
        forced = "systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"
        return [*options, "--env", f"SYSTEMD_PROC_CMDLINE={forced}"]
    return [*options, "--privileged", "--cgroupns=private"]


def free_port() -> int:
    """Return a TCP port on the loopback address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_ports(published: list[str]) -> None:
    """Raise LabError if a port that should be published is taken."""
    for pair in published:
        port = int(pair.split(":")[0])
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise LabError(
                    f"port {port} of this machine is taken ({error.strerror}): choose another one"
                ) from error


def up(name: str, debian: str, init: str, published: list[str]) -> dict:
    """Have a host run and answer SSH; return how to reach it, and whether it had to be created or started."""
    ensure_engine()
    ensure_keys()
    state = inspect(name)
    if state and state["State"]["Running"] and (STATE / "hosts" / name).exists():
        return {"changed": False, **reach(name)}
    if state:
        made_by = state["Config"]["Labels"][LABEL]
        if made_by != str(ROOT):
            raise LabError(f"{name} was made from another folder ({made_by}), whose key it trusts. Remove it there")
        docker("start", name)
        say(f"{name}: started")
    else:
        published = [f"{free_port()}:{pair[2:]}" if pair.startswith("0:") else pair for pair in published]
        check_ports(published)
        image = ensure_image(debian, init)
        ports = [f"127.0.0.1:{pair}" for pair in (f"{free_port()}:22", *published)]
        docker(
            "run", "--detach", "--name", name, "--hostname", name, "--label", f"{LABEL}={ROOT}",
            "--network", NETWORK, "--ip", free_address(name),
            *(item for port in ports for item in ("--publish", port)), *container_options(init), image,
        )  # fmt: skip
        docker("exec", name, "install", "-d", "-m", "700", "/root/.ssh")
        docker("cp", f"{KEY}.pub", f"{name}:/root/.ssh/authorized_keys")
        docker("exec", name, "chown", "root:root", "/root/.ssh/authorized_keys")
        say(f"{name}: created (Debian {debian}, {init})")
    write_address(name)
    wait_for_ssh(name)
    return {"changed": True, **reach(name)}


def inspect(name: str) -> dict | None:
    """Return what the engine knows about a lab host, or None."""
    done = run("docker", "inspect", "--type", "container", name, check=False)
    if done.returncode:
        return None
    state = json.loads(done.stdout)[0]
    if LABEL not in state["Config"]["Labels"]:
        raise LabError(f"a container named {name} exists and is not one of the lab's: rename or remove it")
    return state


def network() -> dict:
    """Return the network on which lab hosts reach each other by name; create it if it is missing."""
    inspect_it = ("docker", "network", "inspect", NETWORK)
    if run(*inspect_it, check=False).returncode:
        # Only hosts of a network with a given subnet can have given addresses. The engine knows a free one.
        draft = f"{NETWORK}-{os.getpid()}"
        docker("network", "create", draft)
        subnet = json.loads(docker("network", "inspect", draft))[0]["IPAM"]["Config"][0]["Subnet"]
        docker("network", "rm", draft)
        run("docker", "network", "create", "--label", LABEL, "--subnet", subnet, NETWORK, check=False)
    return json.loads(docker(*inspect_it[1:]))[0]


def free_address(name: str) -> str:
    """Return an address for a host that no other has, also none that is stopped.

    Daemons bind to their host's address. The engine would give it to another host while this one restarts.
    """
    subnet = ipaddress.ip_network(network()["IPAM"]["Config"][0]["Subnet"])
    others = docker("ps", "--all", "--quiet", "--filter", f"network={NETWORK}").split()
    given = "{{range .NetworkSettings.Networks}}{{.IPAMConfig.IPv4Address}} {{end}}"
    taken = docker("inspect", "--format", given, *others).split() if others else []
    # Hosts may be created at the same time, so each begins to look at a place of its own. The first is the gateway's.
    size = subnet.num_addresses - 3 - SHARED
    first = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    free = (str(subnet[2 + (first + step) % size]) for step in range(size))
    return next(address for address in free if address not in taken)


def shared_address() -> str:
    """Return an address with its prefix that hosts of this folder may share: none of them has it."""
    subnet = ipaddress.ip_network(network()["IPAM"]["Config"][0]["Subnet"])
    return f"{subnet[-2 - hashlib.sha256(str(ROOT).encode()).digest()[0] % SHARED]}/{subnet.prefixlen}"


def ensure_keys() -> None:
    """Create the key pair for reaching lab hosts, if it is missing."""
    for folder in ("hosts", "ports", "addresses"):
        (STATE / folder).mkdir(parents=True, exist_ok=True)
    if not KEY.exists():
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(KEY))
    (STATE / "ssh_config").write_text(f"Include {STATE}/hosts/*\n")


def reach(name: str) -> dict:
    """Return how to reach a host: name, address, port, user, identity_file, and its published ports."""
    bindings = json.loads(docker("inspect", "--format", "{{json .HostConfig.PortBindings}}", name))
    ports = {inner.partition("/")[0]: int(outer[0]["HostPort"]) for inner, outer in bindings.items()}
    return {
        "instance": name, "address": "127.0.0.1", "port": ports["22"], "user": "root", "identity_file": str(KEY),
        "ports": ports,
    }  # fmt: skip


def write_address(name: str) -> None:
    """Write how to reach a host; each container has a new SSH host key, so it is not remembered."""
    known = reach(name)
    (STATE / "hosts" / name).write_text(
        f"Host {name}\n  HostName {known['address']}\n  Port {known['port']}\n  User {known['user']}\n"
        f"  IdentityFile {KEY}\n  IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n"
        "  LogLevel ERROR\n"
    )
    (STATE / "ports" / f"{name}.json").write_text(json.dumps(known["ports"]) + "\n")
    address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    (STATE / "addresses" / name).write_text(docker("inspect", "--format", address, name) + "\n")
    (STATE / "addresses" / "shared").write_text(shared_address() + "\n")


def wait_for_ssh(name: str) -> None:
    """Wait until the host has booted and SSH answers."""
    deadline = time.monotonic() + SSHD_WAIT
    state = (
        "if [ -d /run/systemd/system ]; then systemctl is-system-running; else test -e /run/booted && echo running; fi"
    )
    probe = ("ssh", "-F", str(STATE / "ssh_config"), "-o", "ConnectTimeout=2", name, state)
    while (last := run(*probe, check=False)).stdout.strip() not in ("running", "degraded"):
        if time.monotonic() > deadline:
            raise LabError(f"{name} did not boot: {last.stdout.strip()}\n{docker('logs', '--tail', '20', name)}")
        time.sleep(0.3)


def down(names: list[str]) -> None:
    """Remove hosts."""
    for name in names:
        if engine_answers() and inspect(name):
            docker("rm", "--force", "--volumes", name)
            say(f"{name}: removed")
        (STATE / "hosts" / name).unlink(missing_ok=True)
        (STATE / "ports" / f"{name}.json").unlink(missing_ok=True)
        (STATE / "addresses" / name).unlink(missing_ok=True)


def hosts() -> list[str]:
    """Return the names of the lab hosts that were created from this folder."""
    return (
        docker("ps", "--all", "--filter", f"label={LABEL}={ROOT}", "--format", "{{.Names}}").split()
        if engine_answers()
        else []
    )


def clean() -> None:
    """Remove every host, image, network, volume and key of the lab."""
    down(hosts())
    if engine_answers():
        if images := docker("images", "--quiet", "--filter", f"label={LABEL}").split():
            run("docker", "rmi", "--force", *dict.fromkeys(images), check=False)
        for kind in ("network", "volume"):
            if names := docker(kind, "ls", "--quiet", "--filter", f"label={LABEL}").split():
                run("docker", kind, "rm", *names, check=False)
    shutil.rmtree(STATE, ignore_errors=True)


def main() -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("up", help="create or start a host")
    create.add_argument("name")
    create.add_argument("--debian", choices=sorted(SUITES), default="12")
    create.add_argument("--init", choices=INITS, default=INITS[0])
    create.add_argument("--publish", action="append", default=[], metavar="PORT:PORT")
    commands.add_parser("down", help="remove hosts").add_argument("names", nargs="+")
    commands.add_parser("list", help="show the lab's hosts")
    commands.add_parser("engine", help="have a Docker engine")
    commands.add_parser("browser", help="have a browser for the tests")
    commands.add_parser("testssl", help="have testssl.sh for the tests")
    commands.add_parser("compose", help="have Docker Compose for the tests")
    commands.add_parser("clean", help="remove all that the lab made")
    arguments = parser.parse_args()
    try:
        if arguments.command in ("up", "engine", "browser", "testssl", "compose", "clean"):
            STATE.mkdir(exist_ok=True)
            alone = (STATE / "lock").open("w")  # parallel scenarios make an image, or install, only once
            fcntl.flock(alone, fcntl.LOCK_EX)
        if arguments.command == "up":
            print(json.dumps(up(arguments.name, arguments.debian, arguments.init, arguments.publish)))
        elif arguments.command == "down":
            down(arguments.names)
        elif arguments.command == "list":
            print("\n".join(hosts()))
        elif arguments.command == "engine":
            ensure_engine()
        elif arguments.command == "browser":
            print(ensure_browser())
        elif arguments.command == "testssl":
            print(ensure_testssl())
        elif arguments.command == "compose":
            print(json.dumps({"command": ensure_compose(), "base": ensure_base(SUITES["12"])}))
        else:
            clean()
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
