"""A probe: a real socket and its echo at each turn, now and then a message to all, and an idle socket."""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from .samples import Samples
from .tokens import NoToken, Tokens
from .websocket.client import Message, WebSocket, open_websocket
from .websocket.errors import Closed, HandshakeFailed, HandshakeRefused, SocketClosed
from .websocket.watch import watch

AGENT = "channels-metrics"
REFUSALS = (401, 403)
SETTLE = 0.2  # seconds in which a consumer closes a socket that it has accepted and does not want
GROUP_TURNS = 8  # a message to all is sent only so often: in between, the idle socket must live without any
# How a server ends a socket by accident. With any other code, it turns somebody away.
ACCIDENTS = frozenset((1001, 1006, 1011, 1012, 1013, 1014))

Live = Callable[[], tuple[str, list[str]]]


class Failed(Exception):
    """An attempt failed; the text says how, without the token."""


class Probe:
    """What is tried again and again, by one thread. It keeps an idle socket and a token between its turns."""

    def __init__(self, app: str, settings: dict[str, Any], live: Live, say: Callable[[str], None]) -> None:
        """Take what role handshake wrote; `live` returns the generation that serves here and its sockets."""
        self.app, self.settings, self.live, self.say = app, settings, live, say
        self.tokens = Tokens(app, settings["user"], settings["token_command"], settings["token"])
        self.idle: WebSocket | None = None
        self.idle_generation, self.cut, self.turn = "", 0, 0
        self.took = self.opened = 0.0
        self._group: dict[str, float] = {}
        self._said: dict[str, str] = {}

    def look(self) -> Samples:
        """Try everything once; return what came."""
        samples = Samples(app=self.app, origin=self.settings["where"])
        try:
            self.tokens.get()
        except NoToken as error:
            self.note("token", str(error))
            samples.add("channels_probe_token_up", 0)
        else:
            self.note("token", "")
            if self.tokens.command:
                samples.add("channels_probe_token_up", 1)
            for target in self.settings["targets"]:
                self.attempt(target, samples)
            if self.settings["idle"]:
                self.stay(samples)
        self.turn += 1
        samples.add("channels_probe_timestamp_seconds", time.time())
        return samples

    def wait(self, seconds: float) -> None:
        """Be silent until the next turn, and answer the server's pings."""
        begun = time.monotonic()
        if self.idle:
            watch([self.idle], seconds)
        time.sleep(max(0.0, seconds - (time.monotonic() - begun)))

    def attempt(self, target: dict[str, Any], samples: Samples) -> None:
        """Open a socket to one target, and have it answer."""
        name = target["name"]
        try:
            websocket = self.open(target)
            samples.add("channels_probe_handshake_seconds", self.took, target=name)
            if websocket:
                with websocket:
                    for seconds in self.answers(websocket):
                        samples.add("channels_probe_echo_seconds", seconds, target=name)
            self.note(name, "")
            samples.add("channels_probe_success", 1, target=name)
        except Failed as error:
            self.note(name, str(error))
            samples.add("channels_probe_success", 0, target=name)

    def open(self, target: dict[str, Any]) -> WebSocket | None:
        """Open a socket, with another token if this one has ended; None for a refusal of who has none."""
        expects_refusal = not self.tokens.command and not self.tokens.fixed and "{token}" in self.settings["path"]
        while True:
            begun = time.monotonic()
            try:
                websocket = self.shake(target)
                self.took = time.monotonic() - begun
                ended = watch([websocket], SETTLE)[0].closed
                if not ended:
                    self.tokens.accepted()
                    return websocket
                refused, why = ended.code not in ACCIDENTS, f"it was closed with {ended.code} right after the handshake"
            except HandshakeRefused as error:
                self.took = time.monotonic() - begun
                refused, why = error.status in REFUSALS, f"the handshake was answered with {error.status}"
            except HandshakeFailed as error:
                refused, why = False, f"no handshake: {error.stage}: {self.hidden(error.reason)}"
            except (OSError, ValueError) as error:
                refused, why = False, f"no handshake: {type(error).__name__}"
            if refused and expects_refusal:
                return None  # the project itself has answered, which is all that can be known without a token
            if not (refused and self.tokens.refused()):
                raise Failed(why)
            try:
                self.tokens.get()
            except NoToken as error:
                raise Failed(str(error)) from None

    def shake(self, target: dict[str, Any], unix_socket: str | None = None) -> WebSocket:
        """One handshake."""
        token, given = self.tokens.get(), self.settings
        headers = {key: value.replace("{token}", token) for key, value in given["headers"].items()}
        context = None
        if target.get("authority") or not target.get("verify", True):
            context = ssl.create_default_context(cadata=target.get("authority") or None)
            if not target.get("verify", True):
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return open_websocket(
            target["url"] + given["path"].replace("{token}", quote(token, safe="")), unix_socket=unix_socket,
            connect_to=None if unix_socket else target["connect_to"] or None, origin=given["origin"] or None,
            headers={"User-Agent": AGENT, **headers}, timeout=given["timeout"], ssl_context=context,
            subprotocols=[each.replace("{token}", token) for each in given["subprotocols"]],
            proxied=bool(target.get("proxied")) and not unix_socket,
        )  # fmt: skip

    def answers(self, websocket: WebSocket) -> Iterator[float]:
        """Send the message that is answered, if there is one; yield the seconds until its answer."""
        if not self.settings["send"]:
            return
        nonce, begun = uuid.uuid4().hex, time.monotonic()
        self.tell(websocket, self.settings["send"], nonce)
        self.hear(websocket, nonce, "its echo")
        yield time.monotonic() - begun

    @staticmethod
    def tell(websocket: WebSocket, message: str, nonce: str) -> None:
        """Send a message; raise Failed if the socket is closed."""
        try:
            websocket.send(message.replace("{nonce}", nonce))
        except SocketClosed as error:
            raise Failed(f"the socket was closed with {error.closed.code}") from None

    def hear(self, websocket: WebSocket, nonce: str, what: str) -> None:
        """Wait for a message with a nonce; raise Failed if it does not come."""
        deadline = time.monotonic() + self.settings["timeout"]
        while (left := deadline - time.monotonic()) > 0:
            came = websocket.receive(left)
            if isinstance(came, Message) and nonce in came.text:
                return
            if isinstance(came, Closed):
                raise Failed(f"the socket was closed with {came.code} before {what} came")
        raise Failed(f"{what} did not come within {self.settings['timeout']:g} s")

    def stay(self, samples: Samples) -> None:
        """Look after the idle socket, and after some turns have another process send it a message."""
        generation, sockets = self.live()
        target = self.settings["targets"][0]
        if self.idle and self.idle.closed:
            # A drain ends it with its generation, as it does with everybody's.
            if self.idle_generation == generation:
                self.cut += 1
                end = self.idle.closed
                self.say(f"{self.app}: the idle socket ended with {end.code} after {end.at:.0f} s")
            self.idle = None
        elif self.idle and self.idle_generation != generation:
            self.idle.close()  # the new one is tried from now on, and the drain need not wait for this one
            self.idle = None
        if not self.idle and generation:
            try:
                self.idle, self.idle_generation = self.open(target), generation
                self.opened = time.monotonic()
            except Failed:
                pass  # it was noted when the first socket failed
        if self.idle and self.settings["broadcast"] and sockets and self.turn % GROUP_TURNS == 0:
            self._group = self.group(target, sockets)
        for name, value in self._group.items():
            samples.add(name, value)
        if self.idle:
            samples.add("channels_probe_idle_seconds", time.monotonic() - self.opened)
        samples.add("channels_probe_idle_cut_total", self.cut)

    def group(self, target: dict[str, Any], sockets: list[str]) -> dict[str, float]:
        """Have a process send a message to all, each time another one, and wait for it on the idle socket."""
        assert self.idle
        path = sockets[self.turn // GROUP_TURNS % len(sockets)]
        nonce, begun = uuid.uuid4().hex, time.monotonic()
        try:
            with self.shake({**target, "url": self.settings["inside"]}, path) as sender:
                self.tell(sender, self.settings["broadcast"], nonce)
                self.hear(self.idle, nonce, "a message from another process")
        except (Failed, HandshakeRefused, HandshakeFailed, OSError, ValueError) as error:
            self.note("group", self.hidden(str(error)))
            return {"channels_probe_group_success": 0}
        self.note("group", "")
        return {"channels_probe_group_success": 1, "channels_probe_group_seconds": time.monotonic() - begun}

    def note(self, what: str, fault: str) -> None:
        """Log a fault when it begins, when it changes and when it is over."""
        before = self._said.get(what, "")
        self._said[what] = fault
        if fault != before:
            self.say(f"{self.app}: {what}: {fault or 'works again'}")

    def hidden(self, text: str) -> str:
        """A text without the token."""
        token = self.tokens.shown
        return text.replace(token, "***").replace(quote(token, safe=""), "***") if token else text
