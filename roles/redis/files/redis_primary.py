#!/usr/bin/python3
"""Which Redis of a group is the primary. Redis and Sentinel of this host start with it; people may ask it, too.

    redis-primary status      what each Redis and each Sentinel of the group says, as JSON
    redis-primary switch      make another Redis the primary, wait until all agree, and tell how long that took

For daemons: `redis` before Redis starts, `sentinel` before Sentinel starts, and with seven arguments, as Sentinel calls
it (client-reconfig-script), whenever another Redis has become the primary.

The Sentinels know which Redis is the primary, and nothing else does: Redis's own files say nothing about it, so none of
them can be out of date. A Redis asks before it starts, even if it was the primary a moment ago: its memory is empty
then, and its replicas would throw away their data to be like it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

SETTINGS = Path("/etc/redis/primary.json")
#: The primary of a group that has never had one. Written once, when the group is set up.
FIRST = Path("/etc/redis/first-primary")
#: Read by Redis when it starts.
ROLE = Path("/run/redis/primary.conf")
#: What Sentinel is to do, and the file that it writes itself.
SENTINEL_BASE = Path("/etc/redis/sentinel-base.conf")
SENTINEL = Path("/etc/redis/sentinel.conf")
#: What Sentinel has found out, and has to know after a restart: who it is, how often the primary has changed, and where
#: the others are while the primary cannot tell.
STATE = r"sentinel (?:(?:myid|current-epoch) \S+|(?:config-epoch|leader-epoch) {0} \d+|known-\w+ {0} (\S+) \d+.*)"
#: Seconds that a connection or an answer may take.
PATIENCE = 1.0
#: Seconds for another Redis to become the primary, and for all Sentinels to say so. A Sentinel whose host was too busy
#: for two seconds does nothing for the next 30 ("TILT mode" in Redis's documentation of Sentinel), and then gives up.
SWITCH_SECONDS = 120.0
#: The same while Redis starts, which systemd ends after 90 seconds.
START_SECONDS = 60.0
#: The same for the script that Sentinel calls and ends after 60 seconds; what it does then takes some, too.
FOLLOW_SECONDS = 45.0
#: Seconds in which all of the group have to work before a switch: a busy one answers late, a new one is not in step.
READY_SECONDS = 15.0
#: Seconds after a switch at which clients that still came to a replica are sent away.
SWEEPS = (0.0, 1.0, 2.0, 4.0)

Address = tuple[str, int]


class Said(NamedTuple):
    """What a Sentinel says: the number of the latest switch, the primary since then, and whether one is under way."""

    epoch: int
    primary: Address
    switching: bool


class AnswerError(Exception):
    """Redis or Sentinel refused a command; the text is its answer."""


class Connection:
    """A connection to a Redis or a Sentinel of the group, as the user `sentinel`."""

    def __init__(self, settings: dict[str, Any], address: str, port: int) -> None:
        """Log in; raise OSError or AnswerError if that fails."""
        self.socket = socket.create_connection((address, port), PATIENCE)
        self.socket.settimeout(PATIENCE)
        if settings["authority"]:
            context = ssl.create_default_context(cafile=settings["authority"])
            self.socket = context.wrap_socket(self.socket, server_hostname=address)
        self.stream = self.socket.makefile("rb")
        self.ask("AUTH", settings["user"], settings["password"])

    def ask(self, *words: str | int) -> Any:
        """Send a command and return its answer."""
        parts = [str(word).encode() for word in words]
        sent = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        self.socket.sendall(sent)
        return self.answer()

    def answer(self) -> Any:
        """Read one answer."""
        line = self.stream.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:].decode()
        if kind == b"-":
            raise AnswerError(rest)
        if kind == b"$":
            return self.stream.read(int(rest) + 2)[:-2].decode() if int(rest) >= 0 else None
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        if kind not in (b"+", b":"):
            raise OSError("the connection has ended")
        return rest


@contextlib.contextmanager
def connected(settings: dict[str, Any], address: str, port: int) -> Iterator[Connection]:
    """A connection for a while."""
    connection = Connection(settings, address, port)
    try:
        yield connection
    finally:
        connection.stream.close()
        connection.socket.close()


def said_by_sentinels(settings: dict[str, Any]) -> dict[str, Said]:
    """What each Sentinel that answers says, by its address."""
    found = {}
    for member in settings["members"]:
        with contextlib.suppress(OSError, AnswerError):
            with connected(settings, member, settings["sentinel_port"]) as sentinel:
                flat = sentinel.ask("SENTINEL", "MASTER", settings["name"])
            facts = dict(zip(flat[::2], flat[1::2], strict=False))
            switching = "failover_in_progress" in facts["flags"].split(",")
            found[member] = Said(int(facts["config-epoch"]), (facts["ip"], int(facts["port"])), switching)
    return found


def said_by_redises(settings: dict[str, Any]) -> dict[str, list[Any]]:
    """The role of each Redis that answers, by its address: `["master", …]` or `["slave", address, port, link, …]`."""
    found = {}
    for member in settings["members"]:
        with contextlib.suppress(OSError, AnswerError), connected(settings, member, settings["port"]) as redis:
            found[member] = redis.ask("ROLE")
    return found


def written(settings: dict[str, Any]) -> Address | None:
    """The primary that this host's Sentinel has written down."""
    with contextlib.suppress(OSError):
        found = re.search(rf"^sentinel monitor {re.escape(settings['name'])} (\S+) (\d+) ", SENTINEL.read_text(), re.M)
        if found and found[1] in settings["members"]:
            return found[1], int(found[2])
    return None


def primary(settings: dict[str, Any]) -> Address:
    """The primary, according to whoever knows best: Sentinels, their files, the Redises that run, or the first run."""
    if said := said_by_sentinels(settings):
        return max(said.values()).primary
    if found := written(settings):
        return found
    roles = {member: role for member, role in said_by_redises(settings).items() if member != settings["address"]}
    followed = [str(role[1]) for role in roles.values() if role[0] == "slave" and role[1] in settings["members"]]
    leading = [member for member, role in roles.items() if role[0] == "master"]
    known = [*followed, *leading, *(FIRST.read_text().split() if FIRST.exists() else []), settings["members"][0]]
    return known[0], settings["port"]


def mine(settings: dict[str, Any]) -> Address:
    """The address of this host's Redis."""
    return settings["address"], settings["port"]


def hand_over(settings: dict[str, Any]) -> bool:
    """Have a Sentinel make another Redis the primary; return whether one has begun."""
    for member in settings["members"]:
        with contextlib.suppress(OSError, AnswerError), connected(settings, member, settings["sentinel_port"]) as asked:
            try:
                asked.ask("SENTINEL", "FAILOVER", settings["name"])
            except AnswerError as error:  # NOGOODSLAVE: no replica is there; INPROG: it is about to happen
                return str(error).startswith("INPROG")
            return True
    return False


def agreed(settings: dict[str, Any], former: Address, seconds: float, *, asking: bool = False) -> Address | None:
    """Wait until all Sentinels that answer name one primary, another one than before; return it.

    Have one of them begin the switch if asked to, and again if it gave up: a Sentinel does so if the replica that it
    has chosen does not lead after ten seconds, and takes no replica that has just not answered it. None is asked while
    one is silent: it may be at it.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        said = said_by_sentinels(settings).values()
        named = {one.primary for one in said}
        if len(named) == 1 and former not in named:
            return named.pop()
        idle = len(said) == len(settings["members"]) and not any(one.switching for one in said)
        if asking and idle and named == {former}:
            hand_over(settings)
        time.sleep(0.1)
    return None


def start_redis(settings: dict[str, Any]) -> None:
    """Have Redis start as a replica of the primary. If it is the primary, have another one take over first."""
    chosen = primary(settings)
    if chosen == mine(settings) and said_by_sentinels(settings) and hand_over(settings):
        chosen = agreed(settings, chosen, START_SECONDS, asking=True) or chosen
    text = "" if chosen == mine(settings) else f"replicaof {chosen[0]} {chosen[1]}\n"
    ROLE.write_text(f"# Written whenever Redis starts. The primary is {chosen[0]}.\n{text}")


def start_sentinel(settings: dict[str, Any]) -> None:
    """Write Sentinel's file: what it is to do, and what it has found out."""
    chosen = written(settings) or primary(settings)
    before = SENTINEL.read_text().splitlines() if SENTINEL.exists() else []
    members = {None, *settings["members"]} - {chosen[0]}
    found = (re.fullmatch(STATE.format(re.escape(settings["name"])), line) for line in before)
    kept = [match[0] for match in found if match and match[1] in members]
    monitor = f"sentinel monitor {settings['name']} {chosen[0]} {chosen[1]} {settings['quorum']}"
    part = SENTINEL.with_suffix(".part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "w") as file:
        file.write("\n".join([monitor, SENTINEL_BASE.read_text(), *kept, ""]))
    part.replace(SENTINEL)


def follow(settings: dict[str, Any], former: str, new: str) -> None:
    """After a switch, have this host's Redis follow the new primary at once, and send away whoever uses it.

    Sentinel would do it after ten seconds, in which processes that came before the switch would not hear those that
    came after it. And it does not wait until all Sentinels name the new primary: a client that asks one of the others
    would come straight back, and stay.
    """
    chosen = agreed(settings, mine(settings), FOLLOW_SECONDS) if new != settings["address"] else None
    still_leads = former == settings["address"]
    for pause in SWEEPS if chosen else ():
        time.sleep(pause)
        said = said_by_sentinels(settings).values()
        if any(one.primary != chosen for one in said):
            return  # another switch has come since, with a run of its own
        if not said or any(one.switching for one in said):
            continue  # another one may have begun, and may have chosen this Redis
        with contextlib.suppress(OSError):  # the run of a switch right before this one sends this one away, too
            send_away(settings, chosen, still_leads)
            still_leads = False


def send_away(settings: dict[str, Any], chosen: Address, still_leads: bool) -> None:
    """Have this host's Redis follow the primary if it still leads, and close the connections of its clients.

    One that leads again is about to take over: the next switch has begun, also back to the primary before this one.
    """
    with connected(settings, *mine(settings)) as redis:
        leads = redis.ask("ROLE")[0] == "master"
        if leads and not still_leads:
            return
        redis.ask("MULTI")
        if leads:
            redis.ask("REPLICAOF", *chosen)
        redis.ask("CLIENT", "KILL", "TYPE", "normal")
        redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
        redis.ask("EXEC")


def status(settings: dict[str, Any]) -> dict[str, Any]:
    """What all of the group say, and whether they agree: one primary, and all others in step with it."""
    sentinels, redises = said_by_sentinels(settings), said_by_redises(settings)
    named = {one.primary[0] for one in sentinels.values()}
    leading = [member for member, role in redises.items() if role[0] == "master"]
    in_step = [member for member, role in redises.items() if role[0] == "slave" and role[3] == "connected"]
    healthy = len(sentinels) == len(redises) == len(settings["members"]) and named == set(leading)
    return {
        "primary": max(sentinels.values()).primary[0] if sentinels else None,
        "healthy": healthy and len(in_step) == len(settings["members"]) - 1,
        "redis": {
            member: {"master": "primary", "slave": "replica"}.get(redises.get(member, [""])[0], "down")
            for member in settings["members"]
        },
        "in_step": in_step,
        "sentinel": {member: "up" if member in sentinels else "down" for member in settings["members"]},
    }


def settled(settings: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Wait until all of the group work, for so many seconds at most; return what they say then."""
    deadline = time.monotonic() + seconds
    while not (said := status(settings))["healthy"] and time.monotonic() < deadline:
        time.sleep(0.2)
    return said


def switch(settings: dict[str, Any]) -> dict[str, Any]:
    """Make another Redis the primary, and wait until all are in step with it."""
    before = settled(settings, READY_SECONDS)
    if not before["healthy"]:
        return {"error": "Nothing was changed, because not all of the group work", **before}
    former, begun = (before["primary"], settings["port"]), time.monotonic()
    if not agreed(settings, former, SWITCH_SECONDS, asking=True):
        return {"error": "No other Redis became the primary", **status(settings)}
    seconds = round(time.monotonic() - begun, 1)
    after = settled(settings, SWITCH_SECONDS)
    error = {} if after["healthy"] else {"error": "Another Redis is the primary, but not all are in step with it"}
    return {**error, "former": former[0], "seconds": seconds, **after}


def main(arguments: list[str]) -> int:
    """Run a command; return the exit code."""
    commands = {"redis": start_redis, "sentinel": start_sentinel, "status": status, "switch": switch}
    settings = json.loads(SETTINGS.read_text()) if SETTINGS.exists() else {}
    if len(arguments) == 7:  # by Sentinel: name, role, state, former address and port, new address and port
        follow(settings, arguments[3], arguments[5])
        return 0
    if len(arguments) != 1 or arguments[0] not in commands:
        print(__doc__, file=sys.stderr)
        return 2
    result = commands[arguments[0]](settings)
    if result is not None:
        print(json.dumps(result))
    return 1 if result and "error" in result else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
