"""Lines of a service's sandbox: which exist, which values they take, and what ours and an inventory's add up to.

The names are systemd's (systemd.exec(5), systemd.resource-control(5)), of version 252, which Debian 12 has. Controller
only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

#: For each line with words of its own: what switches it off, what `true` stands for, and the words that it takes.
CHOICES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "DevicePolicy": ("auto", "closed", ("auto", "closed", "strict")),
    "KeyringMode": ("inherit", "private", ("inherit", "private", "shared")),
    "ProcSubset": ("all", "pid", ("all", "pid")),
    "ProtectHome": ("no", "yes", ("no", "yes", "read-only", "tmpfs")),
    "ProtectProc": ("default", "invisible", ("default", "invisible", "ptraceable", "noaccess")),
    "ProtectSystem": ("no", "strict", ("no", "yes", "full", "strict")),
}
SWITCHES = {
    "LockPersonality", "MemoryDenyWriteExecute", "NoNewPrivileges", "PrivateDevices", "PrivateIPC", "PrivateMounts",
    "PrivateNetwork", "PrivateTmp", "PrivateUsers", "ProtectClock", "ProtectControlGroups", "ProtectHostname",
    "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "RemoveIPC", "RestrictRealtime",
    "RestrictSUIDSGID",
}  # fmt: skip
#: Lines that may occur several times and add up. An empty one undoes all before it.
PATHS = {
    "BindPaths", "BindReadOnlyPaths", "ExecPaths", "InaccessiblePaths", "NoExecPaths", "ReadOnlyPaths",
    "ReadWritePaths", "TemporaryFileSystem",
}  # fmt: skip
LISTS = PATHS | {
    "AmbientCapabilities", "CapabilityBoundingSet", "DeviceAllow", "IPAddressAllow", "IPAddressDeny",
    "RestrictAddressFamilies", "RestrictFileSystems", "RestrictNamespaces", "SocketBindAllow", "SocketBindDeny",
    "SystemCallArchitectures", "SystemCallFilter",
}  # fmt: skip
#: What allows everything, if an empty line does not: an empty line leaves no capabilities.
LETS_BE = {"CapabilityBoundingSet": "~", "RestrictNamespaces": "no"}
#: Lines with one value that has a form of its own, and such a value.
VALUES = {
    "LimitCORE": (r"\d+[KMGT]?|infinity", "0"),
    "SystemCallErrorNumber": (r"E[A-Z0-9]+|kill", "EPERM"),
    "UMask": (r"0?[0-7]{3}", "0027"),
}
NAMES = sorted({*CHOICES, *SWITCHES, *LISTS, *VALUES})
YES, NO = {"true", "yes", "on"}, {"false", "no", "off"}


def settled(ours: Mapping[str, Any], *given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the values of each line; given ones replace ours.

    Given paths come in addition to ours, which a service cannot do without.
    """
    values = {name: [*as_items(value)] for name, value in ours.items()}
    for mapping in given:
        for name, value in mapping.items():
            added = name in PATHS and switched(value) is None and values.get(name)
            values[name] = [*(values[name] if added else []), *as_items(value)]
    return {name: list(texts(name, items)) for name, items in values.items()}


def lines(ours: Mapping[str, Any], *given: Mapping[str, Any]) -> str:
    """Return the lines of a unit; some names, such as filters of system calls, have several."""
    return "".join(f"{name}={text}\n" for name, found in settled(ours, *given).items() for text in found)


def texts(name: str, items: list[Any]) -> Iterator[str]:
    """Yield the values of one line, or of one that occurs several times."""
    if not items:
        yield off(name) if name not in LISTS or name == "RestrictNamespaces" else ""
    for item in items:
        flag = switched(item)
        if flag is None:
            yield str(item)
        elif flag:
            yield CHOICES[name][1] if name in CHOICES else "yes"
        else:
            yield off(name)


def off(name: str) -> str:
    """Return the value with which a line does nothing."""
    if name in CHOICES:
        return CHOICES[name][0]
    return "no" if name in SWITCHES else LETS_BE.get(name, "")


def as_items(value: Any) -> list[Any]:
    """Return a value as a list; a text becomes a list of one."""
    return list(value) if isinstance(value, list | tuple) else [value]


def switched(value: Any) -> bool | None:
    """Tell whether a value is true or false, also as a text; None if it is neither."""
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    return True if text in YES else False if text in NO else None


def fault(name: str, value: Any) -> tuple[str, str]:
    """Return what is wrong with the value of a known line, and what to write; empty texts for a good one."""
    items, flag = as_items(value), switched(value)
    several = [item for item in items if not isinstance(item, str | int | bool)]
    if isinstance(value, Mapping) or several or any("\n" in str(item) for item in items):
        return "is no text and no list of texts", f"{name}: false"
    if name in SWITCHES:
        return ("", "") if flag is not None else (f'is "{value}"', f"{name}: false")
    if name in CHOICES:
        words = CHOICES[name][2]
        good = flag is not None or value in words
        return ("", "") if good else (f'is "{value}"', f"{name}: {words[-1]}, or another of {', '.join(words)}")
    if name in VALUES:
        form, such = VALUES[name]
        good = re.fullmatch(form, str(value)) is not None and not isinstance(value, bool | list)
        return ("", "") if good else (f"is {value!r}", f'{name}: "{such}"')
    if flag is True and name != "RestrictNamespaces":
        return "is true, and is a list", f"{name}: false, or what it is to have"
    if name in PATHS and flag is None:
        strange = [item for item in items if not re.match(r"[-+]{0,2}/", str(item))]
        if strange:
            return f'has "{strange[0]}", which is no whole path', f"{name}: [/srv/APP/…]"
    return "", ""
