"""What is secret by its name: one table, and the same judgement by everybody who decides on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.channels.stack.plugins.module_utils.code.files import Sources
from ansible_collections.channels.stack.plugins.module_utils.failures.signs import kept
from ansible_collections.channels.stack.plugins.module_utils.handshake.gate import plan
from ansible_collections.channels.stack.plugins.module_utils.inspection.deployed import Deployed
from ansible_collections.channels.stack.plugins.module_utils.inspection.environment import find_names
from ansible_collections.channels.stack.plugins.module_utils.inspection.findings import Inspection
from ansible_collections.channels.stack.plugins.module_utils.inspection.given import Given
from ansible_collections.channels.stack.plugins.module_utils.preflight import view
from ansible_collections.channels.stack.plugins.module_utils.text.secrets import scrub, secrets_of

VALUE = "abc-def-ghi"
#: Secrets for everybody.
SECRET = ["SECRET_KEY", "DB_PASSWORD", "DB_PASS", "REDIS_PASSWD", "SSH_PASSPHRASE", "MYSQL_PWD", "API_TOKEN",
          "SENTRY_DSN", "AWS_SECRET_ACCESS_KEY", "STRIPE_KEY", "KEY", "AWS_CREDENTIALS", "BASIC_AUTH", "SIGNING_JWT",
          "access_token", "ticket", "sessionid", "PASSWORDS", "apiKey", "clientSecret"]  # fmt: skip
#: No secrets, for nobody.
PLAIN = ["DEBUG", "ALLOWED_HOSTS", "SITE_NAME", "EMAIL_HOST", "LOG_LEVEL", "PORT", "page", "LOCALE_PATHS", "WORKERS"]
#: Secrets for some: what is shown is masked in doubt too, and an address is known by itself where it has a password.
DOUBTFUL = {
    "MONKEYS": {"environment", "failures", "preflight"},
    "PASSWORT": {"query"},
    "SESSION_AGE": {"query"},
    "COOKIE_DOMAIN": {"environment", "failures"},
    "PRIVATE_PEM": {"environment", "failures", "inspection", "read file"},
    "DATABASE_URL": {"failures", "inspection"},
    "API_URL": {"failures"},
    "vault_shop": {"preflight"},
    "AUTHOR": {"query"},
}


def inspected(name: str, folder: Path) -> bool:
    """Tell whether a first inventory has this name of the environment in its vault."""
    settings = folder / "settings.py"
    settings.write_text(f'import os\nVALUE = os.environ["{name}"]\n')
    found, sources = Inspection(folder), Sources(folder)
    find_names(sources, found, [settings], sources.scope(settings))
    return found.names[name].secret


def in_read_file(name: str) -> bool:
    """Tell whether a first inventory has this key of a file that the settings read in its vault."""
    return "vault_" in Deployed(Given(Inspection(Path("/srv"))))._value((name,), "settings.py:1")


CALLERS: dict[str, Callable[[str], bool]] = {
    "environment": lambda name: secrets_of({name: VALUE}) == [VALUE],
    "failures": lambda name: kept(name) == "release_secrets",
    "preflight": view.is_secret,
    "query": lambda name: plan.url_secrets(f"ws://h/?{name}={VALUE}") == {VALUE},
    "text": lambda name: VALUE not in scrub(f"GET /ws/?page=1&{name}={VALUE}&x=1"),
    "read file": in_read_file,
}


def judges(name: str, folder: Path) -> set[str]:
    """Return who holds a name for a secret's."""
    found = {who for who, judge in CALLERS.items() if judge(name)}
    return found | {"inspection"} if inspected(name, folder) else found


@pytest.mark.parametrize("name", SECRET)
def test_a_secret_is_one_for_everybody(name: str, tmp_path: Path) -> None:
    assert judges(name, tmp_path) == {*CALLERS, "inspection"}


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_name_is_a_secret_for_nobody(name: str, tmp_path: Path) -> None:
    assert judges(name, tmp_path) == set()


@pytest.mark.parametrize("name", DOUBTFUL)
def test_a_doubtful_name_is_a_secret_for_some(name: str, tmp_path: Path) -> None:
    assert judges(name, tmp_path) == DOUBTFUL[name]


def test_texts_are_masked_from_name_to_end_of_value() -> None:
    assert scrub("to /ws/?x=token=ab&key=cd&page=2 'X-Api-Key=ef' a=b") == (
        "to /ws/?x=token=***&key=***&page=2 'X-Api-Key=***' a=b"
    )
    assert scrub("cut here: token=…") == "cut here: token=…"
    assert scrub("redis://me:ab@h/0 token=cd") == "redis://me:***@h/0 token=***"
    assert len(scrub("x" * 200_000)) == 200_000  # in no time: a pattern that begins anywhere would take minutes
