"""The environment decides, and says so when something is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BACKEND = Path(__file__).resolve().parent.parent
REQUIRED = {"SECRET_KEY": "s" * 50, "JWT_SECRET": "j" * 50}


def read(expression: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Print ``expression`` of the settings in a process of its own, with nothing but ``environment`` set."""
    code = f"from core import settings; print({expression})"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=BACKEND,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("empty", [True, False])
def test_secret_is_required(name: str, empty: bool) -> None:
    environment = {**REQUIRED, name: ""} if empty else {key: REQUIRED[key] for key in REQUIRED if key != name}
    result = read("settings.DEBUG", **environment)
    assert result.returncode != 0
    assert f"ImproperlyConfigured: Set the environment variable {name}: " in result.stderr


@pytest.mark.parametrize(
    ("expression", "environment", "expected"),
    [
        ("settings.DEBUG, settings.ALLOWED_HOSTS, settings.JWT_AUDIENCE", {}, "False [] dashboard"),
        ("settings.DEBUG", {"DEBUG": "True"}, "True"),
        (
            "settings.ALLOWED_HOSTS",
            {"ALLOWED_HOSTS": "a.example.com, b.example.com,"},
            "['a.example.com', 'b.example.com']",
        ),
        (
            "settings.SECRET_KEY_FALLBACKS, settings.JWT_SECRET_PREVIOUS",
            {"SECRET_KEY_FALLBACKS": "one,of before", "JWT_SECRET_PREVIOUS": ""},
            "['one,of before'] []",
        ),
        ("settings.CHANNEL_LAYERS['default']['BACKEND']", {}, "channels_redis.pubsub.RedisPubSubChannelLayer"),
        (
            "settings.CHANNEL_LAYERS['default']['BACKEND']",
            {"CHANNEL_LAYER": "core"},
            "channels_redis.core.RedisChannelLayer",
        ),
        (
            "[host['address'] for host in settings.REDIS_HOSTS]",
            {"REDIS_URL": "redis://u:a,b@r/1,rediss://u:a,b@s/1"},
            "['redis://u:a,b@r/1', 'rediss://u:a,b@s/1']",
        ),
        (
            "settings.CHANNEL_LAYERS['default']['CONFIG']['hosts'][0]['address']",
            {"REDIS_URL": "redis://r/1"},
            "redis://r/1",
        ),
        ("settings.DATABASES['default']['NAME']", {"SQLITE_PATH": "/srv/db"}, "/srv/db"),
        (
            "*(settings.DATABASES['default'][key] for key in ('ENGINE', 'HOST', 'PORT', 'NAME', 'USER', 'PASSWORD'))",
            {"DATABASE_URL": "postgresql://dash:p%40ss%2F@10.0.0.20:5433/dash"},
            "django.db.backends.postgresql 10.0.0.20 5433 dash dash p@ss/",
        ),
        (
            "settings.DATABASES['default']['OPTIONS']",
            {"DATABASE_URL": "postgresql://d:p@10.0.0.20/d?sslmode=verify-full&sslrootcert=/etc/d/stores.pem"},
            "{'sslmode': 'verify-full', 'sslrootcert': '/etc/d/stores.pem'}",
        ),
        (
            "settings.CHANNEL_LAYERS['default']['CONFIG']['symmetric_encryption_keys']",
            {"CHANNELS_ENCRYPTION_KEYS": "new, old"},
            "['new', 'old']",
        ),
        ("settings.CHANNEL_LAYERS['default']['CONFIG']['symmetric_encryption_keys']", {}, "[]"),
        ("settings.STATIC_ROOT", {"STATIC_ROOT": "/srv/static"}, "/srv/static"),
    ],
)
def test_environment(expression: str, environment: dict[str, str], expected: str) -> None:
    result = read(f"*({expression},)", **REQUIRED, **environment)
    assert result.stdout.strip() == expected, result.stderr


def test_unknown_channel_layer() -> None:
    result = read("settings.DEBUG", **REQUIRED, CHANNEL_LAYER="carrier-pigeon")
    assert "ImproperlyConfigured: Set CHANNEL_LAYER to one of pubsub, core, memory." in result.stderr
