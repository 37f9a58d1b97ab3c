"""A host's processes: how many there are, whether they fit, and what workers run and when. Controller only."""

from __future__ import annotations

import re
import shlex
import typing as t
from collections.abc import Iterator, Mapping

from ..view import HostView, Problem, check, is_mapping, probe_facts

# Half of the memory is for two generations at once, with processes of about 128 MB; the rest is for everything else.
MEMORY_FOR_EACH = {"asgi": 256, "wsgi": 512}  # MB, by what answers plain HTTP: with gunicorn, each process is two
SMALLEST = 48  # MB that a process with Django and Channels takes before it does any work; measured: 54
RANGES = {"minute": (0, 59), "hour": (0, 23), "day of month": (1, 31), "month": (1, 12), "day of week": (0, 7)}
NAMES = {
    "month": ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    "day of week": ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
NICKNAMES = {"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"}
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def workers_of(host: HostView) -> list[Mapping[str, t.Any]]:
    """The workers that are mappings; another check reports the rest."""
    return [one for one in host.get("asgi_workers") or [] if is_mapping(one)]


def processes_of(host: HostView) -> dict[str, int]:
    """How many ASGI processes one generation has on a host, and how many processes of the project in all.

    Only this counts them: role asgi starts that many, and role postgresql allows connections for that many.
    """
    facts = probe_facts(host.probe)
    cores, memory = (int(facts[name]) if facts.get(name, "").isdigit() else 0 for name in ("cores", "memory_mb"))
    http = str(host.get("asgi_http") or "asgi")
    given = host.get("asgi_processes")
    count = given if isinstance(given, int) and given > 0 else 0
    count = count or max(2, min(cores or 1, (memory or 1024) // MEMORY_FOR_EACH.get(http, 256)))
    everything = count * (2 if http == "wsgi" else 1)
    first = next(iter((host.raw("groups") or {}).get("app") or [host.name]))
    for one in workers_of(host):
        number = one.get("number")
        if not one.get("singleton") or host.name == first:
            everything += number if isinstance(number, int) and not one.get("schedule") else 1
    return {"processes": count, "all_processes": everything}


@check("asgi")
def asgi_processes_fit(host: HostView) -> Iterator[Problem]:
    """There is enough memory for the processes that are asked for."""
    memory = probe_facts(host.probe).get("memory_mb", "")
    counts = processes_of(host)
    if not memory.isdigit() or counts["all_processes"] * SMALLEST <= int(memory):
        return
    if counts["processes"] * SMALLEST > int(memory) // 2 and host.get("asgi_processes"):
        fault = f"is {counts['processes']}, and a host with {memory} MB has no room for {counts['all_processes']}"
        fix = f"of at least {SMALLEST} MB each. Write 0, by which cores and memory tell, or such as"
        most = max(1, int(memory) // MEMORY_FOR_EACH.get(str(host.get("asgi_http")), 256))
        yield Problem(
            "asgi_processes", f"{fault} processes {fix.partition('. ')[0]}", f"{fix.partition('. ')[2]} {most}."
        )
    elif workers_of(host):
        fault = f"has a host with {memory} MB run {counts['all_processes']} processes of at least {SMALLEST} MB each"
        yield Problem("asgi_workers", fault, "Lower the number of a worker, or give the host more memory.")


@check("asgi")
def asgi_memory(host: HostView) -> Iterator[Problem]:
    """A memory limit is a size that a process can start with."""
    given = [("asgi_memory_max", "", host.get("asgi_memory_max"))]
    given += [("asgi_workers", f"{one.get('name')} ", one.get("memory_max")) for one in workers_of(host)]
    for variable, whose, value in given:
        size = re.fullmatch(r"([1-9]\d*)([KMGT]?)", str(value or ""))
        if value and not size:
            yield Problem(
                variable, f'{whose}has the memory limit "{value}"', "Write a whole number and K, M or G: 512M"
            )
        elif size and int(size[1]) * UNITS[size[2]] < SMALLEST * 2**20:
            fault = f'{whose}has the memory limit "{value}", with which no process of the project can start'
            yield Problem(variable, fault, f"Write {SMALLEST}M or more: 512M")


@check("asgi")
def asgi_workers(host: HostView) -> Iterator[Problem]:
    """Workers have unique names, one command each, and times that cron understands."""
    workers = workers_of(host)
    names = [str(one.get("name")) for one in workers]
    for name in dict.fromkeys(names):
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) or name in ("daphne", "uvicorn", "wsgi", "drain", "manage"):
            fix = "Write lower-case letters, digits and hyphens, and not daphne, uvicorn, wsgi, drain or manage: celery"
            yield Problem("asgi_workers", f'"{name}" cannot be the name of a worker', fix)
        if names.count(name) > 1:
            yield Problem("asgi_workers", f"has {names.count(name)} workers named {name}", "Give each its own name.")
    for one in workers:
        fault, fix = command_fault(str(one.get("command") or ""))
        if fault:
            yield Problem("asgi_workers", f"the command of {one.get('name')} {fault}", fix)
        when = str(one.get("schedule") or "")
        if when and (fault := cron_fault(when)):
            fix = 'Write minute, hour, day of month, month and day of week (crontab(5)): "15 3 * * *"'
            yield Problem("asgi_workers", f'"{when}" of {one.get("name")} are no times of cron: {fault}', fix)
        if when and one.get("number") not in (None, 1):
            yield Problem("asgi_workers", f"{one.get('name')} has a schedule and a number", "Delete its number.")
        for key, least in (("number", 1), ("stop_seconds", 1)):
            if isinstance(one.get(key), int) and one[key] < least:
                yield Problem("asgi_workers", f"{one.get('name')} has {key} {one[key]}", f"Write {least} or more.")


def command_fault(text: str) -> tuple[str, str]:
    """Why a text is not one command that can replace a shell, and what to write; two empty texts if it is.

    With several commands, sh is the process that is told to stop. It ends at once, and what it started is killed in
    the middle of its work.
    """
    # Anything inside $(…) or backticks is part of one word.
    bare = re.sub(r"`[^`]*`", "x", text.strip().replace("\\\n", " "))
    while (inner := re.sub(r"\$\([^()]*\)", "x", bare)) != bare:
        bare = inner
    words = shlex.shlex(bare, posix=False, punctuation_chars=";&|()<>\n")
    words.whitespace, words.commenters = " \t\r", ""
    try:
        found = list(words)
    except ValueError:
        return "has a quote that does not end", "Close it."
    if not found:
        return "is empty", "Write the command to be run."
    several = next((word for word in found if re.fullmatch(r"[;&|()\n]+", word)), "")
    if several or found[0] in ("if", "for", "while", "until", "case", "{", "!"):
        sign = {"\n": "the end of a line"}.get(several[:1], several or found[0])
        fix = "Write one, such as a script of the project. Where others only come before it, let it take their place:\n"
        return (
            f"is several, by {sign}: asked to stop, they would be killed",
            f"{fix}  command: sh -c 'cd jobs && exec celery -A core worker'",
        )
    if re.match(r"[A-Za-z_]\w*=", found[0]):
        return f"begins with {found[0].partition('=')[0]}=, and no command", f"Write env before it: env {text.strip()}"
    if found[0] == "exec":
        return "begins with exec, which is there already", "Leave it out."
    return "", ""


def cron_fault(text: str) -> str:
    """Why Debian's cron would reject a text as times, or never run anything at them; empty if it would run.

    One wrong line makes cron ignore the whole file.
    """
    if text.startswith("@"):
        return "" if text in NICKNAMES else "there is no such name for times"
    fields = re.split(r"[ \t]+", text)
    if len(fields) != len(RANGES):
        return f"there are {len(fields)} fields, and not five"
    for name, field in zip(RANGES, fields, strict=True):
        for part in field.split(","):
            if fault := part_fault(name, part):
                return f"{name} {part} {fault}" if part else f"{name} {field} {fault}"
    return ""


def part_fault(name: str, part: str) -> str:
    """The same for one part of a field."""
    least, most = RANGES[name]
    found = re.fullmatch(r"(?:(\*)|([0-9a-zA-Z]+)(?:-([0-9a-zA-Z]+))?)(?:/(\d+))?", part)
    if not found:
        return "is neither a number, a range nor *"
    star, first, last, step = found.groups()
    if step is not None and not int(step):
        return "has the step 0"
    if step and not star and not last:
        return f"has a step without a range: {first}-{most}/{step}"
    numbers = [number_of(name, one) for one in (first, last) if one]
    for number, one in zip(numbers, [first, last], strict=False):
        if number is None or not least <= number <= most:
            words = f" or {NAMES[name][0]} to {NAMES[name][-1]}" if name in NAMES else ""
            return f"has {one}, which is not {least} to {most}{words}" if last else f"is not {least} to {most}{words}"
    if len(numbers) == 2 and t.cast("int", numbers[0]) > t.cast("int", numbers[1]):
        return "is a range that ends before it begins, and never comes"
    return ""


def number_of(name: str, text: str) -> int | None:
    """A number, or the name of a month or day, as cron counts them."""
    if text.isdigit():
        return int(text)
    names = NAMES.get(name, [])
    return names.index(text.lower()) + RANGES[name][0] if text.lower() in names else None
