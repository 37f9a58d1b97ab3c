"""Settings of the same project with stores: PostgreSQL, and Redis for its channel layer."""

import os
from urllib.parse import parse_qsl, unquote, urlsplit

from pad.settings import *  # noqa: F403 - as settings of one place build on those of all

_database = urlsplit(os.environ["DATABASE_URL"])
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.path.lstrip("/"),
        "USER": _database.username,
        "PASSWORD": unquote(_database.password or ""),
        "HOST": _database.hostname,
        "PORT": _database.port,
        "OPTIONS": dict(parse_qsl(_database.query)),
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [os.environ["REDIS_URL"]], "prefix": os.environ["REDIS_PREFIX"]},
    }
}
# Nothing collects its static files, so there is no list of hashed names.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}  # noqa: F405
SESSION_COOKIE_SECURE = True
