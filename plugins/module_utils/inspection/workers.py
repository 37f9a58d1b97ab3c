"""A project's other processes, found by the commands that start them and in its code."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from ..code.commands import command_lines
from ..code.files import Sources
from ..code.scope import Scope
from ..code.values import Call, Place, Protocols
from .environment import installed_apps
from .findings import Inspection, Worker

INSTALLED_WORKERS = {
    "huey.contrib.djhuey": ("huey", "python manage.py run_huey"),
    "django_rq": ("rq", "python manage.py rqworker default"),
    "django_dramatiq": ("dramatiq", "python manage.py rundramatiq"),
    "django_q": ("django-q", "python manage.py qcluster"),
    "background_task": ("background", "python manage.py process_tasks"),
    "procrastinate.contrib.django": ("procrastinate", "python manage.py procrastinate worker"),
}
CELERY = re.compile(r"(?:python[\d.]*\s+-m\s+)?\bcelery\s+(?P<rest>[^&|;<>#]*?\b(?P<kind>worker|beat)\b[^&|;<>#]*)")
MANAGE = re.compile(
    r"manage\.py\s+(?P<rest>(run_huey|rqworker|rqscheduler|rundramatiq|qcluster|process_tasks|procrastinate\s+worker)\b"
    r"[^&|;<>#]*)"
)
RUNWORKER = re.compile(r"manage\.py\s+runworker(?P<rest>[^&|;<>#]*)")
WORD = re.compile(r"[\w.,:/=@%+-]+")
#: Options of Celery that are of no use under a service manager, with and without a value.
LEFT_OUT = re.compile(r"--(pidfile|logfile|uid|gid|workdir)(=|$)|-f$")
ALONE = {"--detach", "-D"}
BEAT_FILE = "/srv/{{ release_app }}/shared/celerybeat-schedule"


@dataclass(frozen=True)
class Line:
    """A command, with its name in the file."""

    name: str
    text: str
    place: Place


def lines_of(sources: Sources) -> Iterator[Line]:
    """The commands in Procfiles, compose files, supervisor's programs and scripts."""
    composed = {path for path in sources.named("(docker-)?compose.*\\.ya?ml") if read_compose(sources, path)}
    for path in composed:
        yield from read_compose(sources, path)
    name = ""
    for place, text in command_lines(sources):
        path = sources.folder / place.file
        if path in composed:
            continue
        if match := re.match(r"\s*program:\s*([\w-]+)|\s*program[: ]+([\w-]+)", text):
            name = match[1] or match[2]
        if path.name.startswith("Procfile") and (match := re.match(r"\s*([\w-]+)\s*:\s*(.*)", text)):
            yield Line(match[1], match[2], place)
        elif path.suffix in (".conf", ".ini") and (match := re.match(r"\s*command\s*=\s*(.*)", text)):
            yield Line(name, match[1], place)
        elif path.suffix == ".service" and (match := re.match(r"\s*ExecStart\s*=\s*(.*)", text)):
            yield Line(path.stem, match[1], place)
        else:
            yield Line("", text, place)


def read_compose(sources: Sources, path: Path) -> list[Line]:
    """The commands of a compose file's services; none if it is not a YAML file of that kind."""
    text = sources.text(path)
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError):
        return []
    services = data.get("services") if isinstance(data, dict) else None
    found = []
    for name, service in services.items() if isinstance(services, dict) else ():
        for key in ("entrypoint", "command"):
            value = service.get(key) if isinstance(service, dict) else None
            words = " ".join(map(str, value)) if isinstance(value, list) else str(value or "")
            words = re.sub(r"[\"']", " ", words)
            if words:
                number = next((n for n, one in enumerate(text.splitlines(), 1) if one.strip() == f"{name}:"), 0)
                found.append(Line(str(name), words, sources.place(path, number)))
    return found


def find_workers(sources: Sources, found: Inspection, scope: Scope | None) -> None:
    """Find Celery, runworker and other task queues, and how they are started."""
    lines = list(lines_of(sources))
    for line in lines:
        if match := CELERY.search(line.text):
            add_celery(sources, found, line, match["rest"], match["kind"])
        elif match := MANAGE.search(line.text):
            words = plain_words(match["rest"])
            name = words[0].removeprefix("run_").removeprefix("run")
            add(found, Worker(line.name or name, "python manage.py " + " ".join(words), line.place))
    find_celery(sources, found, scope)
    apps = installed_apps(scope)
    for app, (name, command) in INSTALLED_WORKERS.items():
        there = any(command.split()[2] in worker.command for worker in found.workers)
        if not there and any(one == app or one.startswith(f"{app}.") for one in apps):
            place = scope.places.get("INSTALLED_APPS") if scope else None
            add(found, Worker(name, command, place or Place(found.backend)))
    find_runworker(sources, found, lines)


def plain_words(text: str) -> list[str]:
    """A command's words, up to the first that only a shell understands."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    found: list[str] = []
    for word in words:
        if not WORD.fullmatch(word):
            break
        found.append(word)
    return found


def add(found: Inspection, worker: Worker) -> None:
    """Add a worker under a unique name, unless there is one with the same command."""
    if any(one.command == worker.command for one in found.workers):
        return
    name = re.sub(r"[^a-z0-9]+", "-", worker.name.lower()).strip("-") or "worker"
    taken = {one.name for one in found.workers} | {"daphne", "uvicorn", "wsgi", "manage", "generations"}
    worker.name = next(one for one in (name, *(f"{name}-{number}" for number in range(2, 99))) if one not in taken)
    found.workers.append(worker)


def add_celery(sources: Sources, found: Inspection, line: Line, rest: str, kind: str) -> None:
    """Add a worker or the beat as a file starts it, with its options."""
    words = plain_words(rest)
    kept: list[str] = []
    skip = False
    for number, word in enumerate(words):
        if skip or word in ALONE:
            skip = False
        elif LEFT_OUT.match(word):
            skip = "=" not in word
        elif word in ("-s", "--schedule") and number + 1 < len(words):
            skip = True
        elif not word.startswith("--schedule="):
            kept.append(word)
    app = re.search(r"(?:-A|--app)[\s=]*([\w.]+)", " ".join(kept))
    if kind not in kept or (app and not any(sources.module(name) for name in (app[1], app[1].rpartition(".")[0]))):
        return  # part of a sentence, or another project's command
    for number, word in enumerate(kept):
        match = re.match(r"(?:-Q|--queues)=?(.*)", word)
        if match:
            found.tasks.queues += (match[1] or "".join(kept[number + 1 : number + 2])).split(",")
    beats = kind == "beat" or "-B" in kept or "--beat" in kept
    if (
        kind == "worker"
        and not {"-n", "--hostname"} & set(kept)
        and not any(one.startswith("--hostname=") for one in kept)
    ):
        kept += ["-n", "$ASGI_INSTANCE"]
    if beats and "DatabaseScheduler" not in " ".join(kept):
        kept += ["-s", BEAT_FILE]
    name = line.name or ("beat" if kind == "beat" else "celery")
    add(found, Worker(name, "celery " + " ".join(kept), line.place, singleton=beats))


def find_celery(sources: Sources, found: Inspection, scope: Scope | None) -> None:
    """Find Celery in the code, if no file starts it."""
    apps = installed_apps(scope)
    kinds = {
        kind for kind in ("worker", "beat") for one in found.workers if re.search(rf"^celery .*\b{kind}\b", one.command)
    }
    if any(one.singleton and "worker" in one.command for one in found.workers):
        kinds.add("beat")
    for path in sources.python():
        if "Celery(" not in sources.text(path):
            continue
        tree = sources.tree(path)
        calls = [one for one in ast.walk(tree) if isinstance(one, ast.Call)] if tree else []
        made = [one for one in calls if sources.scope(path).name_of(one.func).rpartition(".")[2] == "Celery"]
        module = sources.dotted(path)
        name = module.rpartition(".")[0] if path.stem == "celery" and "." in module else module
        if not made or not re.fullmatch(r"[\w.]+", name):  # a command cannot name it
            continue
        place = sources.place(path, made[0])
        if "worker" not in kinds:
            add(found, Worker("celery", f"celery -A {name} worker -l INFO -n $ASGI_INSTANCE", place))
            kinds.add("worker")
        values = scope.values if scope else {}
        timed = "beat_schedule" in sources.text(path) or "CELERY_BEAT_SCHEDULE" in values
        if "beat" not in kinds and (timed or "django_celery_beat" in apps):
            kept = f" -s {BEAT_FILE}"
            if "django_celery_beat" in apps:
                kept = " --scheduler django_celery_beat.schedulers:DatabaseScheduler"
            add(found, Worker("beat", f"celery -A {name} beat -l INFO{kept}", place, singleton=True))
            kinds.add("beat")


def find_runworker(sources: Sources, found: Inspection, lines: list[Line]) -> None:
    """Find Channels' own worker; its channels are named by a command, by what calls its script, or by the router."""
    place: Place | None = None
    channels: list[str] = []
    name = ""
    for line in lines:
        if not (match := RUNWORKER.search(line.text)):
            continue
        place, name = place or line.place, name or line.name
        words = [word for word in plain_words(match["rest"]) if not word.startswith("-")]
        channels += words
        if not words and "$" in match["rest"]:  # the script around it takes them as arguments
            script = re.compile(rf"\b{re.escape(Path(line.place.file).name)}\s+(?P<rest>[^&|;<>#]+)")
            for other in lines:
                if called := script.search(other.text):
                    channels += [word for word in plain_words(called["rest"]) if not word.startswith("-")]
                    name = name or other.name
    module, _, attribute = found.asgi.partition(":")
    file = sources.module(module) if module else None
    value = sources.scope(file).values.get(attribute) if file and file.suffix == ".py" else None
    routed: bool | None = None
    if isinstance(value, Protocols) and isinstance(value.routers, dict) and value.routers:
        router = value.routers.get("channel")
        routed = router is not None
        if isinstance(router, Call) and router.arguments and isinstance(router.arguments[0], dict):
            channels += [str(one) for one in router.arguments[0]]
            place = place or found.asgi_place
    if not place:
        return
    names = " ".join(one for one in dict.fromkeys(channels) if re.fullmatch(r"[\w.-]+", one))
    worker = Worker(name or "channels", f"python manage.py runworker {names}".strip(), place)
    if routed is False:
        text = "starts runworker, which can do nothing: the ProtocolTypeRouter of the ASGI application has no `channel`"
        found.note("warning", place, text, "asgi_workers has it where the application has.")
    elif not names:
        worker.command += " !!!SET the names of the channels that it serves!!!"
        text = "starts runworker, whose channels' names do not show"
        found.note("warning", place, text, "Name them in asgi_workers.")
        add(found, worker)
    else:
        add(found, worker)
