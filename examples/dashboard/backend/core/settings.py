"""Django settings. Everything that differs between hosts comes from the environment."""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError

from core.database_url import use_database_url
from core.redis_host import redis_hosts

BASE_DIR = Path(__file__).resolve().parent.parent


def required(name: str, hint: str) -> str:
    """Return the environment variable ``name``; raise ImproperlyConfigured with ``hint`` if it is unset or empty."""
    value = os.environ.get(name, "")
    if not value:
        raise ImproperlyConfigured(f"Set the environment variable {name}: {hint}")
    return value


def flag(name: str) -> bool:
    """Return whether the environment variable ``name`` says yes; unset means no."""
    return os.environ.get(name, "").strip().lower() in {"1", "true", "yes", "on"}


def listed(name: str) -> list[str]:
    """Return the comma-separated parts of the environment variable ``name``."""
    return [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]


def kept(name: str) -> list[str]:
    """Return the key of before that the environment variable ``name`` holds, whole; none if it is unset or empty."""
    return [value] if (value := os.environ.get(name, "")) else []


SECRET_KEY = required("SECRET_KEY", "a random string of 50 characters or more, the same on every host.")
# The key of before: sessions and links that it has signed stay good for as long as it is named here.
SECRET_KEY_FALLBACKS = kept("SECRET_KEY_FALLBACKS")
DEBUG = flag("DEBUG")
ALLOWED_HOSTS = listed("ALLOWED_HOSTS") or (["localhost", "127.0.0.1", "[::1]"] if DEBUG else [])
CSRF_TRUSTED_ORIGINS = listed("CSRF_TRUSTED_ORIGINS")

JWT_SECRET = required("JWT_SECRET", "the key of 32 bytes or more that signs the tokens of WebSocket clients (HS256).")
# Tokens that it has signed are taken too; none is signed with it.
JWT_SECRET_PREVIOUS = kept("JWT_SECRET_PREVIOUS")
JWT_AUDIENCE = os.environ.get("JWT_AUDIENCE") or "dashboard"

# TLS ends at the proxy, which always sets this header itself.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# The page may be opened with a token in its address: no request may carry that address on.
SECURE_REFERRER_POLICY = "no-referrer"

INSTALLED_APPS = [
    "daphne",  # first, so that runserver speaks WebSocket
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.staticfiles",
    "dashboard",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "core.urls"
ASGI_APPLICATION = "core.asgi.application"

TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SQLITE_PATH") or BASE_DIR / "db.sqlite3",
    }
}
use_database_url(DATABASES)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = os.environ.get("REDIS_URL") or "redis://127.0.0.1:6379/0"
# A connection that broke while nobody used it, as when Redis was restarted, is opened again within the same command:
# without this the next handshake would pay for it with a 500.
RETRY = {"retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), 3), "retry_on_error": [ConnectionError]}
# Where Sentinels say which Redis is the primary, such as 10.0.0.1:26379,10.0.0.2:26379; empty if there is one Redis.
REDIS_SENTINELS = listed("REDIS_SENTINELS")
REDIS_MASTER_NAME = os.environ.get("REDIS_MASTER_NAME") or "channels"
# With several addresses in REDIS_URL, commas between them, groups and channels are spread over these Redises.
REDIS_HOSTS = redis_hosts(REDIS_URL, REDIS_SENTINELS, REDIS_MASTER_NAME, RETRY)
# Messages are encrypted with the first of these keys, where there are any, and read with each of them.
LAYER = {"hosts": REDIS_HOSTS, "symmetric_encryption_keys": listed("CHANNELS_ENCRYPTION_KEYS")}
CHANNEL_LAYER = os.environ.get("CHANNEL_LAYER") or "pubsub"
# pubsub survives a restart of Redis; core keeps messages for a slow consumer; memory reaches one process only.
CHANNEL_LAYER_CHOICES = {
    "pubsub": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": LAYER},
    "core": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": LAYER},
    "memory": {"BACKEND": "channels.layers.InMemoryChannelLayer"},
}
if CHANNEL_LAYER not in CHANNEL_LAYER_CHOICES:
    raise ImproperlyConfigured(f"Set CHANNEL_LAYER to one of {', '.join(CHANNEL_LAYER_CHOICES)}.")
CHANNEL_LAYERS = {"default": CHANNEL_LAYER_CHOICES[CHANNEL_LAYER]}

STATIC_URL = "/static/"
STATIC_ROOT = os.environ.get("STATIC_ROOT") or BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "core.storage.HashedStaticFilesStorage"},
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    # Without handlers of its own (Django's default mails errors to nobody), so that it logs to the root's.
    "loggers": {"django": {"level": "INFO"}},
}
