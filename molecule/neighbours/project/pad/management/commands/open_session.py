"""Open a session for a user, and print its key, which is the cookie's value."""

from importlib import import_module

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    """The command `open_session`."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the user's name."""
        parser.add_argument("user")

    def handle(self, *args: object, **options: str) -> None:
        """Print the key of a session that ends in five minutes."""
        user, _ = get_user_model().objects.get_or_create(username=options["user"])
        session = import_module(settings.SESSION_ENGINE).SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.set_expiry(300)
        session.save()
        self.stdout.write(session.session_key)
