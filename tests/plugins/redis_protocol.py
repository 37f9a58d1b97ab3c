"""What a Redis that a test plays hears from its clients (redis.io: "Redis serialization protocol specification")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO


def commands(stream: BinaryIO) -> Iterator[list[str]]:
    """Return the words of each command, whole, until the client has gone."""
    while head := stream.readline():
        words = []
        for _ in range(int(head[1:])):
            length = int(stream.readline()[1:])
            words.append(stream.read(length + 2)[:-2].decode())
        yield words
