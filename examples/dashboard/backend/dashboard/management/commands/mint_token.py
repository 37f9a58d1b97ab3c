"""manage.py mint_token: make a token for a WebSocket client, for example of a monitor."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dashboard import tokens


class Command(BaseCommand):
    """Prints one token and nothing else."""

    help = "Print a token for the WebSocket."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the user and the lifetime."""
        parser.add_argument("--user", required=True, help="who the token is for (its sub claim)")
        parser.add_argument("--ttl", type=int, default=3600, metavar="SECONDS", help="lifetime; 3600 unless told")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the token."""
        self.stdout.write(tokens.mint(options["user"], options["ttl"]))
