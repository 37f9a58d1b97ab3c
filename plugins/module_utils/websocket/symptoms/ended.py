"""A process does not stay alive: why, judging by its last lines."""

from __future__ import annotations

from .symptom import Symptom

ENDED: tuple[Symptom, ...] = (
    Symptom(
        "ended",
        "Redis does not allow it a command, a key or a channel. It may not use the project's own user, prefix or "
        "database, such as when a broker's address is written in the code; or it needs a right that this user lacks.",
        "Make it use the project's REDIS_URL (release_environment, release_secrets), or give it its own Redis user "
        "with the rights that it needs (redis_extra_users).",
        text=r"NOPERM|NoPermission|has no permissions",
    ),
    Symptom(
        "ended",
        "Redis does not know the user or the password that it sends, or it sends none.",
        "Give it the channel layer's address, redis://USER:PASSWORD@HOST:PORT/0, under the name that the project reads "
        "(release_secrets); or give it its own Redis user (redis_extra_users).",
        text=r"WRONGPASS|NOAUTH|AuthenticationError|invalid username-password|Authentication required",
    ),
    Symptom(
        "ended",
        "kombu and redis-py do not fit together: one needs another version of the other.",
        'Set release_constraints, such as ["redis<6"], or what the extra celery[redis] of the installed version needs.',
        text=r"VersionMismatch|requires redis-py|kombu/transport/redis[\s\S]*(Attribute|Type|Import)Error",
    ),
    Symptom(
        "ended",
        "Two packages do not fit together: one lacks what the other imports.",
        'Set release_constraints to the version that has it, such as ["PACKAGE<2"].',
        text=r"cannot import name|VersionConflict|DistributionNotFound|ContextualVersionConflict",
    ),
    Symptom(
        "ended",
        "A module is not installed, or is misspelt in the command.",
        "Add the package that contains it to release_packages, or correct the command (asgi_workers).",
        text=r"No module named|ModuleNotFoundError",
    ),
    Symptom(
        "ended",
        "The command does not exist.",
        "Add the package that contains it to release_packages (release_system_packages if it is Debian's), or correct "
        "the command (asgi_workers).",
        text=r"command not found|: not found|status=(127|203)|Unknown command",
    ),
    Symptom(
        "ended",
        "It cannot reach Redis, the broker or the database at the configured address.",
        "Start that service, or correct its address (release_environment, release_secrets).",
        text=r"Connection refused|Errno 111|Error 111|Connect call failed|Name or service not known|"
        r"could not (connect|translate)|Error -[23] connecting",
    ),
    Symptom(
        "ended",
        "The database refuses it: the password or the name is wrong, or migrations were not run.",
        "Correct the database's address (postgresql_url in release_secrets), or check release_migrate.",
        text=r"OperationalError|ProgrammingError|password authentication failed|no such table|does not exist",
    ),
    Symptom(
        "ended",
        "A setting or an environment variable is missing.",
        "Set it in release_environment or release_secrets, under the name in the last lines.",
        text=r"ImproperlyConfigured|KeyError|UndefinedValueError|not found\. Declare it",
    ),
    Symptom(
        "ended",
        "It writes to a path where it may not: the code is read-only for units.",
        "Add that path to release_shared_paths.",
        text=r"Permission denied|Read-only file system|PermissionError",
    ),
    Symptom(
        "ended",
        "It was killed, most likely because it used too much memory.",
        "Raise its limit (memory_max of the worker, asgi_memory_max), or make it use less.",
        text=r"status=9/KILL|code=killed|oom.kill|Out of memory|MemoryError|Killed",
    ),
    Symptom("ended", "Its last lines show no known cause.", "Read its log, and correct what it reports."),
)
