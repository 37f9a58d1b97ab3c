"""What a process may not do. docs/sandbox.md says what each line may cost; `asgi_sandbox` has the last word."""

from __future__ import annotations

from typing import Any

from .settings import Settings


def confinement(settings: Settings) -> dict[str, Any]:
    """Return the lines of the sandbox by systemd's names, before those of the inventory."""
    return {
        # The process writes to its shared files and to its socket's folder, and nowhere else.
        "ProtectSystem": "strict",
        "ReadWritePaths": [f"{settings.base}/shared", settings.run],
        "ProtectHome": True,
        # Only those who need to can read: nginx, and operators in the project's group.
        "UMask": "0027",
        "PrivateTmp": True,
        "PrivateDevices": True,
        "PrivateIPC": True,
        "PrivateMounts": True,
        "DevicePolicy": "closed",
        "KeyringMode": "private",
        # A core dump would hold every token and secret that the process has in memory.
        "LimitCORE": "0",
        "ProtectClock": True,
        "ProtectControlGroups": True,
        "ProtectHostname": True,
        "ProtectKernelLogs": True,
        "ProtectKernelModules": True,
        "ProtectKernelTunables": True,
        # No ProcSubset=pid: psutil and other tools that watch memory and load read /proc/meminfo and /proc/stat.
        "ProtectProc": "invisible",
        "NoNewPrivileges": True,
        "CapabilityBoundingSet": [],
        "LockPersonality": True,
        "MemoryDenyWriteExecute": True,
        "RestrictAddressFamilies": ["AF_UNIX AF_INET AF_INET6"],
        "RestrictNamespaces": True,
        "RestrictRealtime": True,
        "RestrictSUIDSGID": True,
        "RemoveIPC": True,
        "SystemCallArchitectures": "native",
        # gunicorn makes itself the owner of its socket with chown. Without capabilities, chown can do nothing else.
        "SystemCallFilter": ["@system-service", "~@privileged @resources", "@chown"],
        "SystemCallErrorNumber": "EPERM",  # a library that probes for a call must not die of it
    }
