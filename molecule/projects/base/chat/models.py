"""What is stored."""

from django.db import models


class Message(models.Model):
    """A message that came over a socket."""

    text = models.CharField(max_length=200)
