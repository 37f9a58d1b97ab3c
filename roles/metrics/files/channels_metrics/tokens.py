"""A token for the probe's handshakes: made by the project, held in memory, and made again before it ends."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pwd
import subprocess
import time
from pathlib import Path

# To make one starts the project, which takes a second of a processor: seconds after which that is done in any case.
LONGEST = 3600.0
MARGIN = 10.0  # seconds before its end
SECONDS = 60.0  # that a project may take
PATIENCE = 600.0  # seconds after which a project that refuses all tokens is asked for another one at the latest


class NoToken(Exception):
    """The project made none; the text says why, and holds none of what it said."""


class Tokens:
    """The probe's token. Without a command it is always the same."""

    def __init__(self, app: str, user: str, command: list[str], fixed: str) -> None:
        """Take the project's user, and its command or a token."""
        self.within, self.user = Path("/srv", app, "live", "within"), user
        self.command, self.fixed = command, fixed
        self._token, self._made, self._until = "", 0.0, 0.0
        self._lifetime, self._refusals = LONGEST, 0

    def get(self) -> str:
        """The token; raise NoToken if there is none to be had."""
        if not self.command:
            return self.fixed
        if not self._token or time.time() >= self._until:
            self._token, self._made = self._make(), time.time()
            self._until = min(self._made + self._lifetime, ends(self._token) - MARGIN)
        return self._token

    @property
    def shown(self) -> str:
        """The token that would be shown if nobody hid it."""
        return self._token or self.fixed

    def accepted(self) -> None:
        """Note that the token has opened a socket."""
        self._refusals = 0

    def refused(self) -> bool:
        """Note that the token was refused; return whether another one is worth a try: this one may have ended."""
        age = time.time() - self._made
        if not self.command or age < min(2.0**self._refusals, PATIENCE):
            return False
        if not self._refusals:
            self._lifetime = max(MARGIN, age / 2)
        self._refusals += 1
        self._token = ""
        return True

    def _make(self) -> str:
        """Run the project's command as its user, in the environment of the generation that serves."""
        account = pwd.getpwnam(self.user)
        groups = os.getgrouplist(self.user, account.pw_gid)
        identity = {} if account.pw_uid == os.geteuid() else {"extra_groups": groups}
        if identity:
            identity |= {"user": account.pw_uid, "group": account.pw_gid}  # type: ignore[dict-item]
        try:
            done = subprocess.run(
                [str(self.within), *self.command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                check=False, cwd="/", timeout=SECONDS, **identity,
            )  # type: ignore[call-overload] # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoToken(f"handshake_token_command could not be run: {type(error).__name__}") from None
        token = next((line.strip() for line in reversed(done.stdout.splitlines()) if line.strip()), "")
        if done.returncode or not token:
            raise NoToken(f"handshake_token_command ended with {done.returncode}")
        return str(token)


def ends(token: str) -> float:
    """When a JSON Web Token says that it ends, in seconds since the epoch; infinity if it is none or never ends."""
    with contextlib.suppress(ValueError, IndexError, KeyError, TypeError):
        part = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["exp"])
    return float("inf")
