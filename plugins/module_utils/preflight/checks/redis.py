"""Redis's names, password and addresses, and its other projects. Controller only."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Iterator

from ..addresses import address_fault
from ..view import NEW_SECRET, SECRET_LENGTH, HostView, Problem, check, probe_facts


@check("redis")
def secret_lengths(host: HostView) -> Iterator[Problem]:
    """Secrets that can be guessed over the network are long enough."""
    for name in ("redis_password",):
        value = host.get(name)
        if value == "" and host.get("redis_anonymous"):
            continue
        if value == "":
            fix = NEW_SECRET
            yield Problem(name, "is required and not set", fix)
        elif value is not None and len(str(value)) < SECRET_LENGTH:
            fix = NEW_SECRET
            yield Problem(name, f"has fewer than {SECRET_LENGTH} characters", fix)


@check("redis")
def redis_bind(host: HostView) -> Iterator[Problem]:
    """Redis does not listen on an address that the whole world can reach."""
    for text in host.items("redis_bind"):
        if fault := address_fault(str(text)):
            fix = "Write addresses of a private network or 127.0.0.1:\n  redis_bind: [127.0.0.1, 10.0.0.5]"
            yield Problem("redis_bind", f'"{text}" {fault}', fix)


@check("redis")
def redis_anonymous(host: HostView) -> Iterator[Problem]:
    """Without a password, Redis serves only the host itself."""
    for text in host.items("redis_bind") if host.get("redis_anonymous") else ():
        with contextlib.suppress(ValueError):  # reported above
            if not ipaddress.ip_address(str(text).removeprefix("-")).is_loopback:
                fix = "Write redis_bind: [127.0.0.1], or delete redis_anonymous and give the project a password."
                yield Problem("redis_anonymous", f"would open Redis on {text} to everybody who can reach it", fix)


@check("redis")
def redis_database(host: HostView) -> Iterator[Problem]:
    """Redis has sixteen databases."""
    number = host.get("redis_database")
    if isinstance(number, int) and not 0 <= number <= 15:
        yield Problem("redis_database", f"is {number}, but Redis has 0 to 15", "Write one of them.")


@check("redis")
def redis_names(host: HostView) -> Iterator[Problem]:
    """Names are valid in Redis's file of users, and are not patterns that match other names."""
    for variable, example in (("redis_user", "shop"), ("redis_prefix", "shop")):
        value = host.get(variable)
        pattern = r"[\w.:/@{}+-]*" if variable == "redis_prefix" else r"[\w.@+-]+"
        if value is not None and not re.fullmatch(pattern, str(value)):
            fix = f"Write letters, digits, dots and hyphens:\n  {variable}: {example}"
            yield Problem(variable, f'"{value}" is empty, or has characters with a meaning for Redis', fix)


@check("redis")
def redis_extra_users(host: HostView) -> Iterator[Problem]:
    """Extra users are lines for Redis's file of users, each with its own name. None is shown: they may hold secrets."""
    taken = {"acl-operator"} | ({str(host.get("redis_user"))} if host.get("redis_password") else set())
    if host.get("redis_anonymous"):
        if "default" in taken:
            fix = "Write another redis_user, or delete redis_anonymous and give the project the password."
            yield Problem("redis_anonymous", "needs the user default, which redis_user gives a password", fix)
        taken.add("default")
    for line in map(str, host.items("redis_extra_users")):
        words = line.split()
        if len(words) < 3 or words[0] != "user" or "\n" in line.strip():
            fix = (
                "Write lines of Redis's file of users:\n  redis_extra_users: [user cache on #<sha256> ~cache:* +@read]"
            )
            yield Problem("redis_extra_users", "has a line that is not `user NAME RULES` (not shown)", fix)
        elif words[1] in taken:
            fault = f"declares {words[1]}, who is there already"
            yield Problem("redis_extra_users", fault, "Give each user a name of its own.")
        else:
            taken.add(words[1])


@check("redis")
def redis_projects(host: HostView) -> Iterator[Problem]:
    """Other inventories' projects on the same Redis have other users, and other prefixes for their messages."""
    mine = str(host.get("release_app") or host.get("redis_user"))
    user, prefix = str(host.get("redis_user")), str(host.get("redis_prefix"))
    for line in filter(None, probe_facts(host.probe).get("redis_projects", "").split(";")):
        other = dict(word.split("=", 1) for word in line.split() if "=" in word)
        name, theirs = other.get("project", ""), other.get("prefix", "")
        if name == mine:
            continue
        if host.get("redis_password") and other.get("user") == user:
            fix = f"Write redis_user: {mine}, also into the address that the project connects to."
            yield Problem("redis_user", f"{user} is the user of project {name} on the same Redis", fix)
        nested = prefix.startswith(theirs) or theirs.startswith(prefix)
        if nested and str(host.get("redis_database")) == other.get("database"):
            fix = f"Write redis_prefix: {mine}, and give CHANNEL_LAYERS of the project that prefix. Where it can have "
            fix += (
                "none and its layer is channels_redis's core one, write another redis_database, also into its address."
            )
            fault = f'"{prefix}" and "{theirs}" of project {name} on the same Redis are not apart: messages would mix'
            yield Problem("redis_prefix", fault, fix)
        # A client without a password is the user default.
        default = host.get("redis_anonymous") or (host.get("redis_password") and user == "default")
        if default and (other.get("anonymous") == "yes" or (other.get("user") == "default" != user)):
            variable = "redis_anonymous" if host.get("redis_anonymous") else "redis_user"
            fault = f"has {mine} use the same Redis as project {name} with no user's name, as that does already"
            yield Problem(variable, fault, "Let one of the two have a user of its own, with a password.")
