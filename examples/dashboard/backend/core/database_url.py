"""A PostgreSQL, as several hosts need it; its driver is not among the requirements."""

import os
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


def use_database_url(databases: dict[str, Any]) -> None:
    """Have the default database be the one that DATABASE_URL names, where it is set."""
    if not (database := os.environ.get("DATABASE_URL")):
        return
    url = urlsplit(database)
    databases["default"] = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": url.hostname or "",  # several hosts are in the query
        "PORT": url.port or "",
        "NAME": url.path.lstrip("/"),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        # Such a cursor lives longer than a transaction, and so it must not be used through a pooler such as PgBouncer.
        "DISABLE_SERVER_SIDE_CURSORS": True,
        "OPTIONS": dict(parse_qsl(url.query)),  # such as the authority that the server's certificate is held against
    }
