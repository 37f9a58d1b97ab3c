"""The ASGI application."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pad.settings")
django = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import OriginValidator  # noqa: E402
from django.urls import path  # noqa: E402

from .consumers import Protocol, Session, Silent  # noqa: E402

sockets = [
    path("talk/", Session.as_asgi()),
    path("ws/silent/", Silent.as_asgi()),
    path("ws/protocol/", Protocol.as_asgi()),
]
known = os.environ.get("KNOWN", "localhost").split(",")
application = ProtocolTypeRouter(
    {"http": django, "websocket": OriginValidator(AuthMiddlewareStack(URLRouter(sockets)), known)}
)
