"""Settings of the tests: the project's own, with the environment that they need."""

import os

os.environ |= {
    "SECRET_KEY": "only-for-the-tests-" + "s" * 40,
    "JWT_SECRET": "only-for-the-tests-" + "j" * 40,
    "ALLOWED_HOSTS": "testserver,dashboard.example.com",
    "CHANNEL_LAYER": "memory",
    "SQLITE_PATH": ":memory:",
}

from core.settings import *  # noqa: F403
