"""Sockets of three kinds: one for everybody that says nothing, one with a session, and one with a subprotocol."""

from channels.generic.websocket import WebsocketConsumer


class Silent(WebsocketConsumer):
    """Open to everybody; answers nothing."""


class Session(WebsocketConsumer):
    """Open to users who are logged in, by the session's cookie."""

    def connect(self) -> None:
        """Accept users, and refuse everybody else."""
        if self.scope["user"].is_authenticated:
            self.accept()
        else:
            self.close()

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Answer with the text that came, and who answers."""
        self.send(f"{self.scope['user'].get_username()}: {text_data}")


class Protocol(WebsocketConsumer):
    """Speaks pad.v1 and nothing else."""

    def connect(self) -> None:
        """Accept clients that speak it."""
        if "pad.v1" in self.scope["subprotocols"]:
            self.accept("pad.v1")
        else:
            self.close()

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Say how the handshake arrived."""
        self.send(f"{self.scope['path']} {self.scope.get('root_path', '')} {text_data}")
