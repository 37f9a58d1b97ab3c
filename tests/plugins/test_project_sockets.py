"""What inspect tells beforehand of faults that would keep sockets from opening, or messages from arriving."""

from __future__ import annotations

from pathlib import Path

import pytest
from strangers import ASGI, SETTINGS, changed, levels, look, make

PLAIN = (
    "import os\nfrom django.core.asgi import get_asgi_application\n"
    'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_.settings")\napplication = get_asgi_application()\n'
)
ROUTED = ASGI.format(settings="site_.settings")
HOSTS = '[("127.0.0.1", 6379)]'
MEMORY = SETTINGS[: SETTINGS.index("CHANNEL_LAYERS")] + (
    'CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}\n'
)
TASKS = "from celery import Celery\napp = Celery('site_')\n"
GUARD = "AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)))"
OWN = 'OriginValidator(URLRouter(websocket_urlpatterns), ["https://chat.example.org"])'


@pytest.mark.parametrize(("level", "text", "files"), [
    ("error", "site_.asgi:application is plain Django", {"site_/asgi.py": PLAIN}),
    ("warning", "which is plain Django; site_.routing:application knows WebSockets",
     {"site_/asgi.py": PLAIN, "site_/routing.py": ROUTED}),
    ("notice", "has no 'http', so daphne answers pages with 500",
     {"site_/asgi.py": changed(ROUTED, '    "http": django_application,\n', "")}),
    ("error", "takes redis://10.0.0.1 for a host's name",
     {"site_/settings.py": changed(SETTINGS, HOSTS, '[("redis://10.0.0.1", 6379)]')}),
    ("warning", "has ssl_cert_reqs, but an address without TLS",
     {"site_/settings.py": changed(SETTINGS, HOSTS, '[{"address": "redis://10.0.0.1/0", "ssl_cert_reqs": None}]')}),
    ("warning", "so nothing that worker sends reaches a socket",
     {"site_/settings.py": MEMORY, "site_/celery.py": TASKS, "Procfile": "worker: celery -A site_ worker\n"}),
    ("warning", "OriginValidator allows https://chat.example.org, whatever ALLOWED_HOSTS says",
     {"site_/asgi.py": changed(ROUTED, GUARD, OWN, "AllowedHostsOriginValidator\n", "OriginValidator\n")}),
])  # fmt: skip
def test_a_fault_of_a_host_is_told_beforehand(tmp_path: Path, level: str, text: str, files: dict[str, str]) -> None:
    found, _, _ = look(make(tmp_path, dict(files)))
    assert text in levels(found)[level], found.notes


def test_a_sound_project_is_told_none_of_them(tmp_path: Path) -> None:
    rediss = '[{"address": "rediss://10.0.0.1/0", "ssl_cert_reqs": None}]'
    found, _, _ = look(make(tmp_path, {"site_/settings.py": changed(SETTINGS, HOSTS, rediss)}))
    told = "".join(levels(found).values())
    for text in ("plain Django", "has no 'http'", "host's name", "without TLS", "in memory", "OriginValidator allows"):
        assert text not in told, told
