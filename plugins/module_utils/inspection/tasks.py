"""Redis as a project's task queue and cache: where the code says it is, and which rights it needs."""

from __future__ import annotations

import ast
import re
from typing import Any

from ..code.files import Sources
from ..code.scope import Scope
from ..code.values import Call, known, names_of
from .findings import Inspection, Tasks

BROKERS = re.compile(r"(^|_)BROKER(_URL)?$")
RESULTS = re.compile(r"RESULT_BACKEND$")
#: What Celery (5.4, with kombu 5.6 and 5.7) and Django's caches were seen to need, and similar commands, since this
#: changes from release to release: commands that read and write their own keys, but none that empty a database, list
#: names of keys or are for administrators.
RIGHTS = (
    "-@all +@read +@write +@transaction +@pubsub +@scripting +@connection +time -@admin -@dangerous -scan -randomkey "
    "-dbsize -function -script|flush -script|kill"
)


def find_tasks(sources: Sources, found: Inspection, scope: Scope | None) -> None:
    """Find Celery's broker and results, and caches, if the code has their addresses; and the names of queues."""
    tasks = found.tasks
    values = scope.values if scope else {}
    for name, value in values.items():
        for pattern, attribute in ((BROKERS, "broker"), (RESULTS, "results")):
            if pattern.search(name) and fixed_redis(value):
                setattr(tasks, attribute, scope.places.get(name) if scope else None)
    for alias, one in values["CACHES"].items() if isinstance(values.get("CACHES"), dict) else ():
        backend = known(one.get("BACKEND")) if isinstance(one, dict) else None
        if not isinstance(backend, str) or "redis" not in backend.lower():
            continue
        prefix = known(one.get("KEY_PREFIX", ""))
        tasks.prefixes.append(prefix if isinstance(prefix, str) else "")
        if fixed_redis(one.get("LOCATION")):
            tasks.caches[str(alias)] = scope.places.get("CACHES") if scope else None
    queues = [name for name in values if re.search(r"RQ_QUEUES|HUEY|Q_CLUSTER|DRAMATIQ", name)]
    tasks.others = bool(queues)
    for path in sources.python():
        text = sources.text(path)
        if "queue" in text or "Celery(" in text or "Queue(" in text or "broker" in text:
            find_in_code(sources, found, path)


def find_in_code(sources: Sources, found: Inspection, path: Any) -> None:
    """Find an address that is passed to the Celery object, and names of queues."""
    tree, tasks = sources.tree(path), found.tasks
    scope = sources.scope(path)
    for node in ast.walk(tree) if tree else ():
        place = sources.place(path, node)
        if isinstance(node, ast.Call):
            last = getattr(node.func, "attr", getattr(node.func, "id", ""))
            keywords = {one.arg: scope.evaluate(one.value) for one in node.keywords if one.arg}
            if last == "Celery":
                tasks.celery = True
                tasks.broker = place if fixed_redis(keywords.get("broker")) else tasks.broker
                tasks.results = place if fixed_redis(keywords.get("backend")) else tasks.results
            if last == "Queue" and node.args:
                add_queue(found, scope.evaluate(node.args[0]))
            add_queue(found, keywords.get("queue"))
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "queue":
                    add_queue(found, scope.evaluate(value))
        elif isinstance(node, ast.Assign):
            target = ast.unparse(node.targets[0])
            value = scope.evaluate(node.value)
            if re.search(r"(?i)task_default_queue$", target):
                add_queue(found, value)
            if re.search(r"\.conf\.broker_url$", target) and fixed_redis(value):
                tasks.broker = place
            if re.search(r"\.conf\.result_backend$", target) and fixed_redis(value):
                tasks.results = place


def add_queue(found: Inspection, value: Any) -> None:
    """Add a queue's name, if the code shows it."""
    if isinstance(text := known(value), str):
        found.tasks.queues.append(text)


def fixed_redis(value: Any) -> bool:
    """Whether the code has an address of Redis that no environment variable changes."""
    if isinstance(value, list | tuple):
        return any(fixed_redis(one) for one in value)
    return not isinstance(value, Call) and not names_of(value) and str(known(value)).startswith(("redis:", "rediss:"))


def rules(tasks: Tasks, *, layer: bool) -> str:
    """The keys, channels and commands that the user for tasks and caches may have."""
    if tasks.others or not (tasks.celery or tasks.prefixes):  # a kind of queue that we don't know
        return "~* &* +@all -@admin"
    keys = []
    if tasks.celery:
        names = {one for one in tasks.queues if re.fullmatch(r"[\w.-]+", one) and not one.startswith("celery")}
        keys += ["~celery*", "~_kombu.*", "~unacked*", "~*.celery.pidbox*", *(f"~{one}*" for one in sorted(names))]
        # A pattern that a client subscribes to must itself be a rule.
        channels = ["celeryev/*", "celeryev/worker.*", "celery.pidbox"]
        keys += ["&celery-task*", *(f"&/{number}.{one}" for number in ([0, 1] if layer else [1]) for one in channels)]
    keys += [f"~{prefix}:*" for prefix in dict.fromkeys(tasks.prefixes) if re.fullmatch(r"[\w.:-]*", prefix)]
    if layer:
        keys += ["~{{ redis_prefix }}*", "&{{ redis_prefix }}*"]
    return " ".join([*keys, RIGHTS, *(["+keys"] if layer else [])])
