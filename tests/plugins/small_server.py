"""A server on a unix socket that serves as a sound project does, but for the faults that a file names.

small_server.py -u FOLDER/NAME.sock    FOLDER/faults.json has the faults; one with `only` is NAME's alone
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import urllib.parse
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, unix_serve
from websockets.http11 import Request, Response

GOOD, EXPIRED = "good.token:one+two/three==.signature", "expired.token.of.yesterday"
KINDS = {GOOD: "good", EXPIRED: "expired", "": "none"}
SITE = "http://localhost"

PATH = Path(sys.argv[-1])
opened: set[ServerConnection] = set()
sending: set[asyncio.Future[None]] = set()


def faults() -> dict[str, Any]:
    """What this process does wrong now."""
    named: dict[str, Any] = json.loads((PATH.parent / "faults.json").read_text())
    return named if named.get("only", PATH.stem) == PATH.stem else {}


def refused(request: Request) -> bool:
    """Whether a sound project turns a handshake away; `accepts` names what is let in all the same."""
    accepted = faults().get("accepts", [])
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query)
    kind = KINDS.get(query.get("token", [""])[0], "bad")
    foreign = request.headers.get("Origin", SITE) != SITE
    return (kind != "good" and kind not in accepted) or (foreign and "foreign" not in accepted)


def answer(connection: ServerConnection, request: Request) -> Response | None:
    """Plain HTTP, and refusals; None lets the handshake go on."""
    wrong = faults()
    if "Upgrade" not in request.headers:
        page = connection.respond(wrong.get("http", 200), "as a page\n")
        # As Django does that does not know what it was asked by.
        if "loops" in wrong and request.headers.get("X-Forwarded-Proto") == wrong["loops"]:
            page = connection.respond(301, "")
            page.headers["Location"] = f"{wrong['loops']}://{request.headers['Host']}{request.path}"
        return page
    if "handshake" in wrong:
        return connection.respond(wrong["handshake"], "as a server without WebSockets\n")
    if refused(request) and "turns_away" not in wrong:
        return connection.respond(403, "")
    return None


async def serve(connection: ServerConnection) -> None:
    """Echo, pass on to the sockets of all processes, and do wrong."""
    wrong, begun = faults(), asyncio.get_running_loop().time()
    early = list(wrong.get("loses_first", []))
    if refused(connection.request):
        await connection.send('{"error": "who are you?"}')
        await connection.close(wrong["turns_away"])
        return
    opened.add(connection)
    closing = asyncio.ensure_future(close(connection, wrong)) if "close_after" in wrong else None
    try:
        async for message in connection:
            deaf = asyncio.get_running_loop().time() - begun > wrong.get("deaf_after", 1e9)
            if deaf or json.loads(message)["type"] in wrong.get("loses", []):
                continue
            if json.loads(message)["type"] in early:
                early.remove(json.loads(message)["type"])
            elif json.loads(message)["type"] == "echo":
                await connection.send(message)
            else:
                pass_on(str(message), own="all_but_others" in wrong)
    finally:
        opened.discard(connection)
        if closing:
            closing.cancel()


async def close(connection: ServerConnection, wrong: dict[str, Any]) -> None:
    """Close a socket after some seconds, with a code or without a word."""
    await asyncio.sleep(wrong["close_after"])
    if wrong.get("code", 1000) == 1006:
        connection.transport.abort()
    else:
        await connection.close(wrong.get("code", 1000))


def pass_on(message: str, own: bool) -> None:
    """Tell all processes of a message, or only this one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
        for path in [PATH.with_suffix(".all")] if own else PATH.parent.glob("*.all"):
            way.sendto(message.encode(), str(path))


def take(inbox: socket.socket) -> None:
    """Send what was passed on to the sockets of this process."""
    message = inbox.recv(65536).decode()
    for connection in opened:
        task = asyncio.ensure_future(connection.send(message))
        sending.add(task)
        task.add_done_callback(sending.discard)


async def main() -> None:
    """Serve until the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(str(PATH.with_suffix(".all")))
        asyncio.get_running_loop().add_reader(inbox, take, inbox)
        async with unix_serve(serve, str(PATH), process_request=answer, ping_interval=None) as server:
            await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
