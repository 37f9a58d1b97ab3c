"""One room whose messages are stored and passed on to everybody."""

import json

from asgiref.sync import async_to_sync
from channels.generic.websocket import WebsocketConsumer

from chat.models import Message


class Chat(WebsocketConsumer):
    """A socket in the room."""

    protocol = ""

    def connect(self) -> None:
        """Let everybody in."""
        async_to_sync(self.channel_layer.group_add)("room", self.channel_name)
        self.accept(self.protocol if self.protocol in self.scope["subprotocols"] else None)

    def disconnect(self, code: int) -> None:
        """Leave the room."""
        async_to_sync(self.channel_layer.group_discard)("room", self.channel_name)

    def receive(self, text_data: str = "", bytes_data: bytes | None = None) -> None:
        """Store a message, and send it to everybody."""
        Message.objects.create(text=text_data)
        said = {"type": "said", "text": text_data, "kept": Message.objects.count()}
        async_to_sync(self.channel_layer.group_send)("room", said)

    def said(self, event: dict) -> None:
        """Pass a message on, with what this socket knows about itself."""
        user = str(self.scope.get("user") or "")
        self.send(json.dumps({**event, "path": self.scope["path"], "user": user}))
