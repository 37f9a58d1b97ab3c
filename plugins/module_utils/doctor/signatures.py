"""Patterns in logs and errors that reveal a cause."""

from __future__ import annotations

import re

#: Patterns in log lines and errors, each with its code. The first that matches is the answer.
SIGNATURES: tuple[tuple[str, str], ...] = (
    (r"You can't write against a read only replica|READONLY You can't", "E538_REDIS_READONLY"),
    (r"command not allowed when used memory", "E539_REDIS_FULL"),
    (r"MISCONF Redis is configured to save|MISCONF Errors writing", "E540_REDIS_CANNOT_SAVE"),
    (r"running in protected mode", "E544_REDIS_PROTECTED"),
    (r"sorry, too many clients already|remaining connection slots are reserved|1040, .Too many connections",
     "E547_DATABASE_FULL"),
    (r"No route found for path", "E404_NO_ROUTE"),
    (r"AppRegistryNotReady|Apps aren't loaded yet|settings are not configured", "E203_APPS_NOT_READY"),
    (r"class uri '\S+' invalid or not found", "E130_WORKER_CLASS"),
    (r"No module named '?(daphne|uvicorn|gunicorn)\b|(daphne|uvicorn): (command )?not found|can't find command '",
     "E103_SERVER_MISSING"),
    (r"Cannot acquire lock", "E108_STALE_LOCK"),
    (r"listen on [\w.:\[\]]*:\d+: \[Errno 13\]|Errno 13\] error while attempting to bind|"
     r"connection to \('[^)]*', \d+\) failed: \[Errno 13\]", "E129_PORT_DENIED"),
    # daphne makes a lock beside its socket first; uvicorn says no path.
    (r"(listen on any:\S+ |Listen failure: |connection to /\S+ failed: |^ERROR:\s+)\[Errno (2|13)\]|"
     r"Errno (2|13)\].*-> b?'\S+\.lock'", "E127_SOCKET_FOLDER"),
    # Clients that connect have the same error; what binds is told by the words around it.
    (r"(listen on |attempting to bind |connection to \('[^)]*', \d+\) failed: |^OSError: ).*[Cc]annot assign requested "
     r"address|listen on \S+: \[Errno 99\]|Errno 99\] error while attempting to bind", "E128_BIND_ADDRESS"),
    (r"Address already in use|Errno 98", "E109_TWO_SERVERS"),
    (r"Too many open files|Errno 24", "E110_OPEN_FILES"),
    (r"not enough values to unpack|must be in format \"?<module>:<attribute>", "E205_ASGI_PATH"),
    (r"[Mm]odule '[\w.]+' has no attribute|Attribute \"\w+\" not found in module|Failed to find attribute '\w+' in '|"
     r"Cannot load application from '\S+', application not found", "E202_ASGI_ATTRIBUTE"),
    (r"max number of clients reached", "E507_REDIS_CLIENTS"),
    (r"DB index is out of range|invalid DB index", "E504_REDIS_DATABASE"),
    (r"unknown command.{0,12}(BZPOPMIN|HELLO)", "E505_REDIS_OLD"),
    (r"WRONGPASS|NOAUTH|(^|redis\.exceptions\.)AuthenticationError|invalid username-password|Client sent AUTH",
     "E502_REDIS_PASSWORD"),
    # The bundle's own Redis user may not change the database, so Redis refuses a wrong one without looking for it.
    (r"no permissions to run the 'select'", "E504_REDIS_DATABASE"),
    (r"NOPERM|NoPermissionError|has no permissions to (run|access)", "E503_REDIS_ACL"),
    (r"connecting to \S+ .{0,80}(CERTIFICATE_VERIFY_FAILED|WRONG_VERSION_NUMBER)", "E514_REDIS_TLS"),
    (r"Cannot import BACKEND '", "E541_LAYER_BACKEND"),
    (r"Error 13 connecting to|connecting to unix socket \S+ .{0,40}Permission denied", "E542_REDIS_SOCKET_DENIED"),
    (r"'NoneType' object has no attribute '(group_\w+|new_channel)'", "E543_NO_LAYER"),
    (r"Error \S+ connecting to|Connect call failed|redis\S*\.ConnectionError|^ConnectionError: (Error|Connection)",
     "E501_REDIS_DOWN"),
    (r"ModuleNotFoundError: No module named|Could not import module|Cannot find '[\w.:]+' in", "E201_ASGI_MODULE"),
    (r"MemoryError|oom-kill|Out of memory", "E106_OUT_OF_MEMORY"),
)  # fmt: skip

#: What ends a server at its start. One that answers has got beyond that, whatever its application logs.
AT_START = frozenset((
    "E103_SERVER_MISSING", "E106_OUT_OF_MEMORY", "E108_STALE_LOCK", "E109_TWO_SERVERS", "E127_SOCKET_FOLDER",
    "E128_BIND_ADDRESS", "E129_PORT_DENIED", "E130_WORKER_CLASS", "E201_ASGI_MODULE", "E202_ASGI_ATTRIBUTE",
    "E203_APPS_NOT_READY", "E205_ASGI_PATH",
))  # fmt: skip


def signature(text: str) -> str:
    """The code that a text is a sign of, or nothing."""
    return next((code for pattern, code in SIGNATURES if re.search(pattern, text)), "")
