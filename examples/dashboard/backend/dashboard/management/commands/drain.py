"""manage.py drain: have the clients of this generation leave, spread over some seconds."""

from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.core.management.base import BaseCommand, CommandParser

from dashboard.draining import generation_group


class Command(BaseCommand):
    """Asks every socket of the generation to close; returns at once."""

    help = "Close the sockets of this generation (ASGI_GENERATION), one after another."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the time over which sockets are closed."""
        parser.add_argument("--spread", type=float, default=3, metavar="SECONDS", help="3 unless told")

    def handle(self, *args: Any, **options: Any) -> None:
        """Send one event to the generation's group."""
        layer = get_channel_layer()
        async_to_sync(layer.group_send)(generation_group(), {"type": "drain", "spread": options["spread"]})
