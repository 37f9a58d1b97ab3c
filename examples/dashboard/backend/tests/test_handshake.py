"""Who gets a socket, and who is refused before it is accepted."""

import logging
import time

import jwt
import pytest
from django.conf import settings

from dashboard import tokens

from .conftest import communicator


def token(secret: str | None = None, algorithm: str = "HS256", **changes: object) -> str:
    """Return a good token, but for ``changes`` to its claims; a claim that is None is left out."""
    claims = {"sub": "alice", "aud": settings.JWT_AUDIENCE, "exp": time.time() + 60} | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, settings.JWT_SECRET if secret is None else secret, algorithm=algorithm)


async def accepts(token: str | None, origin: str | None = None) -> bool:
    """Return whether a handshake with ``token`` and ``origin`` gets a socket."""
    socket = communicator(token, origin)
    accepted, _ = await socket.connect()
    if accepted:
        await socket.disconnect()
    return accepted


async def test_good_token() -> None:
    assert await accepts(token())
    assert await accepts(tokens.mint("alice", 60))


async def test_token_of_a_key_of_before(settings: object) -> None:
    """It is taken while that key is named, and no new one is signed with it."""
    old, new = settings.JWT_SECRET, "the-key-that-takes-its-place-" + "n" * 40
    before = token(secret=old)
    settings.JWT_SECRET, settings.JWT_SECRET_PREVIOUS = new, ["another-key-" + "o" * 40, old]
    assert await accepts(before) and await accepts(token())
    assert jwt.decode(tokens.mint("alice", 60), new, algorithms=["HS256"], audience=settings.JWT_AUDIENCE)
    assert not await accepts(token(secret=old, exp=time.time() - 1)) and not await accepts(token(secret="x" * 50))
    settings.JWT_SECRET_PREVIOUS = []
    assert not await accepts(before)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(lambda: None, id="missing"),
        pytest.param(lambda: "", id="empty"),
        pytest.param(lambda: "not-a-token", id="garbage"),
        pytest.param(lambda: "%ff%fe.%00.%C3", id="not text"),
        pytest.param(lambda: token(secret="another-secret-" + "x" * 40), id="bad signature"),
        pytest.param(lambda: token(secret="", algorithm="none"), id="unsigned"),
        pytest.param(lambda: token(algorithm="HS384"), id="another algorithm"),
        pytest.param(lambda: token(exp=time.time() - 1), id="expired"),
        pytest.param(lambda: token(exp=None), id="without exp"),
        pytest.param(lambda: token(aud="elsewhere"), id="another audience"),
        pytest.param(lambda: token(aud=None), id="without audience"),
        pytest.param(lambda: token(sub=None), id="without sub"),
        pytest.param(lambda: token(sub=""), id="empty sub"),
        pytest.param(lambda: token(nbf=time.time() + 60), id="not yet valid"),
    ],
)
async def test_bad_token(bad: object) -> None:
    assert not await accepts(bad())


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("https://dashboard.example.com", True),
        ("http://dashboard.example.com:8000", True),
        ("https://evil.example.org", False),
        ("https://dashboard.example.com.evil.example.org", False),
        ("https://other.example.com", False),
        ("null", False),
        ("", False),
    ],
)
async def test_origin(origin: str | None, allowed: bool) -> None:
    assert await accepts(token(), origin) is allowed


async def test_good_origin_does_not_replace_the_token() -> None:
    assert not await accepts(None, "https://dashboard.example.com")


async def test_log_tells_the_attempt_but_not_the_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dashboard")
    good, expired = token(), token(exp=time.time() - 1)
    await accepts(good)
    await accepts(expired)
    assert "connect: user='alice'" in caplog.text
    assert "disconnect: user='alice' code=1000" in caplog.text
    assert "refused: ExpiredSignatureError" in caplog.text
    assert good not in caplog.text
    assert expired not in caplog.text
