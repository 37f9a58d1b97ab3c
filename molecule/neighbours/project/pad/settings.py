"""Settings of a plain project: uploads, sessions, static files with hashed names, a layer in memory."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SHARED", BASE_DIR))
SECRET_KEY = os.environ.get("SECRET_KEY", "only for the tests of this repository")
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "pad",
]
MIDDLEWARE = [
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "pad.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": SHARED / "db.sqlite3"}}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
STATIC_URL = os.environ.get("STATIC_URL", "/static/")
STATIC_ROOT = BASE_DIR / "collected"
MEDIA_URL = "/media/"
MEDIA_ROOT = SHARED / "media"
# As in projects that leave this to the umask.
FILE_UPLOAD_PERMISSIONS = None
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
