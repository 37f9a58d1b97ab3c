"""The JSON Web Tokens that WebSocket clients show."""

import time

import jwt
from django.conf import settings

ALGORITHM = "HS256"


def mint(user: str, ttl: int) -> str:
    """Return a token for ``user`` that is valid for ``ttl`` seconds; one that has expired if ``ttl`` is negative."""
    # No iat: a host whose clock is a second behind would refuse a token "from the future".
    claims = {"sub": user, "aud": settings.JWT_AUDIENCE, "exp": int(time.time()) + ttl}
    return jwt.encode(claims, settings.JWT_SECRET, algorithm=ALGORITHM)


def read(token: str) -> str:
    """Return the user that ``token`` names; raise jwt.InvalidTokenError if it cannot be trusted."""
    claims = verified(token)
    if not claims["sub"]:
        raise jwt.InvalidTokenError("The subject is empty")
    return claims["sub"]


def verified(token: str) -> dict[str, str]:
    """Return the claims of ``token``, signed with the key of today or one of before; raise jwt.InvalidTokenError."""
    keys = [settings.JWT_SECRET, *settings.JWT_SECRET_PREVIOUS]
    for number, key in enumerate(keys, 1):
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=settings.JWT_AUDIENCE,
                options={"require": ["exp", "aud", "sub"]},
            )
        except jwt.InvalidSignatureError:
            if number == len(keys):
                raise
    raise AssertionError("there is always a key")
