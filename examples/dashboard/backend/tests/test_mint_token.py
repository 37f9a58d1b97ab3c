"""manage.py mint_token."""

import jwt
import pytest
from django.core.management import CommandError, call_command

from dashboard import tokens


def test_prints_only_the_token(capsys: pytest.CaptureFixture[str]) -> None:
    # No database mark: the command fails here if it uses one.
    call_command("mint_token", user="alice", ttl=60)
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    assert tokens.read(output.strip()) == "alice"


def test_negative_ttl_has_expired(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("mint_token", "--user=alice", "--ttl=-5")
    with pytest.raises(jwt.ExpiredSignatureError):
        tokens.read(capsys.readouterr().out.strip())


def test_user_is_required() -> None:
    with pytest.raises(CommandError, match="--user"):
        call_command("mint_token")
