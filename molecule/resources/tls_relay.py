"""TLS for the blocking client of websockets.

That client reads in one thread while it writes in another, which connections of OpenSSL don't support: one request in
some hundreds is never sent, or ends with an EOF. Here, one thread does TLS for all clients, which get plain sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
import threading

#: A loop by itself does not keep its tasks alive.
carrying: set[asyncio.Task[None]] = set()


def through_tls(address: str, port: int, context: ssl.SSLContext, name: str, timeout: float = 30) -> socket.socket:
    """Connect over TLS, within seconds, and return a plain socket that leads through; raise OSError if that fails."""
    return asyncio.run_coroutine_threadsafe(relayed(address, port, context, name), loop()).result(timeout)


@functools.cache
def loop() -> asyncio.AbstractEventLoop:
    """The loop of the thread."""
    made = asyncio.new_event_loop()
    threading.Thread(target=made.run_forever, daemon=True).start()
    return made


async def relayed(address: str, port: int, context: ssl.SSLContext, name: str) -> socket.socket:
    """Connect, and have what comes and goes carried."""
    reader, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=name)
    ours, theirs = socket.socketpair()
    plain_reader, plain_writer = await asyncio.open_connection(sock=theirs)
    for way in (carry(reader, plain_writer), carry(plain_reader, writer)):
        task = asyncio.create_task(way)
        carrying.add(task)
        task.add_done_callback(carrying.discard)
    return ours


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry what one side sends, until it ends."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
