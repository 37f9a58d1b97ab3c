"""The ASGI application: HTTP goes to Django, WebSockets go to the consumers."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")

# Sets Django up. The consumers may use models, so they are imported after it.
django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402

from dashboard.middleware import HostOriginValidator, TokenMiddleware  # noqa: E402
from dashboard.routing import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": HostOriginValidator(
            TokenMiddleware(URLRouter(websocket_urlpatterns)),
            settings.ALLOWED_HOSTS,
        ),
    }
)
