"""A process does not stay alive, judged by its last lines."""

from __future__ import annotations

from .symptom import Symptom

ENDED: tuple[Symptom, ...] = (
    Symptom(
        "ended",
        "Redis forbids it a command, a key or a channel: it does not use the project's own user, prefix or database, "
        "as with a broker's address that is written into the code, or it needs a right that this user has not.",
        "Have it use the project's REDIS_URL (release_environment, release_secrets), or give a user of its own the "
        "rights that it needs: redis_extra_users.",
        text=r"NOPERM|NoPermission|has no permissions",
    ),
    Symptom(
        "ended",
        "Redis does not know the user or the password that it gives, or it gives none.",
        "Give it the channel layer's address, redis://USER:PASSWORD@HOST:PORT/0, under the name that the project reads "
        "(release_secrets); or a user of its own: redis_extra_users.",
        text=r"WRONGPASS|NOAUTH|AuthenticationError|invalid username-password|Authentication required",
    ),
    Symptom(
        "ended",
        "kombu and redis-py do not fit: this version of one wants another version of the other.",
        'release_constraints, such as ["redis<6"], or what the extra celery[redis] of the installed version asks for.',
        text=r"VersionMismatch|requires redis-py|kombu/transport/redis[\s\S]*(Attribute|Type|Import)Error",
    ),
    Symptom(
        "ended",
        "Two packages do not fit: one has not what the other imports.",
        'release_constraints, with the version that has it, such as ["PACKAGE<2"].',
        text=r"cannot import name|VersionConflict|DistributionNotFound|ContextualVersionConflict",
    ),
    Symptom(
        "ended",
        "A module is not installed, or is spelt otherwise in the command.",
        "release_packages, with the package that has it; or correct the command (asgi_workers).",
        text=r"No module named|ModuleNotFoundError",
    ),
    Symptom(
        "ended",
        "The command is not there.",
        "release_packages, with the package that brings it (release_system_packages for one of Debian's); or correct "
        "the command (asgi_workers).",
        text=r"command not found|: not found|status=(127|203)|Unknown command",
    ),
    Symptom(
        "ended",
        "It reaches no Redis, broker or database at its address.",
        "Compare the address in its settings with where that listens (release_environment, release_secrets); start it.",
        text=r"Connection refused|Errno 111|Error 111|Connect call failed|Name or service not known|"
        r"could not (connect|translate)|Error -[23] connecting",
    ),
    Symptom(
        "ended",
        "The database refuses it: its password, its name, or migrations that were not run.",
        "Compare the database's address with the project's (postgresql_url in release_secrets); release_migrate.",
        text=r"OperationalError|ProgrammingError|password authentication failed|no such table|does not exist",
    ),
    Symptom(
        "ended",
        "A setting or a variable of the environment is missing.",
        "release_environment, or release_secrets, under the name in its last lines.",
        text=r"ImproperlyConfigured|KeyError|UndefinedValueError|not found\. Declare it",
    ),
    Symptom(
        "ended",
        "It may not write where it writes: units see the code read-only.",
        "release_shared_paths, with that path.",
        text=r"Permission denied|Read-only file system|PermissionError",
    ),
    Symptom(
        "ended",
        "It was killed, most likely for its memory.",
        "Raise its limit (memory_max of the worker, asgi_memory_max), or have it take less.",
        text=r"status=9/KILL|code=killed|oom.kill|Out of memory|MemoryError|Killed",
    ),
    Symptom("ended", "Its last lines say no cause that is known.", "Read its log, and correct what it says."),
)
