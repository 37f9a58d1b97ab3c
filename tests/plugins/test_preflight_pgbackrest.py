"""What preflight says of PostgreSQL's archive before anything is changed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.template import Templar
from ansible_collections.channels.stack.plugins.module_utils.preflight.checks import pgbackrest
from ansible_collections.channels.stack.plugins.module_utils.preflight.view import PROBE, HostView

GOOD: dict[str, Any] = {
    "release_app": "shop", "pgbackrest_enabled": True, "pgbackrest_repository": "/mnt/archive",
    "pgbackrest_password": "x" * 12, "groups": {"app": ["app-1"], "database": ["app-1"]},
    "pgbackrest_times": ["01:20"], "pgbackrest_stanza": "shop",
}  # fmt: skip
CHECKS = (
    pgbackrest.pgbackrest_server, pgbackrest.pgbackrest_repository, pgbackrest.pgbackrest_values,
    pgbackrest.pgbackrest_recover_to,
)  # fmt: skip


def faults(**variables: Any) -> list[str]:
    host = HostView("app-1", {**GOOD, **variables}, {}, Templar())
    found = [one for check in CHECKS for one in check(host)]
    assert all(one.fix for one in found)
    return [f"{one.variable} {one.fault}" for one in found]


@pytest.mark.parametrize(
    "given",
    [
        {}, {"pgbackrest_repository": "/mnt/nas.example/pg-15"},
        {"pgbackrest_repository": "s3:https://s3.test:9000/bucket/a/b", "pgbackrest_s3_key": "k",
         "pgbackrest_s3_key_secret": "s"},
        {"pgbackrest_enabled": False, "pgbackrest_repository": "", "pgbackrest_password": "", "groups": {"app": []}},
        {"pgbackrest_recover_to": "2026-11-30 12:00:00+00"}, {"pgbackrest_recover_to": "2026-11-30T12:00Z"},
        {"pgbackrest_recover_to": "2026-11-30 12:00 +05:30"}, {"pgbackrest_recover_to": "latest"},
        {"pgbackrest_recover_to": "undo"},
        {PROBE: {"stdout": "pgbackrest_project=shop\n"}},
    ],
)  # fmt: skip
def test_what_is_right_is_let_through(given: dict[str, Any]) -> None:
    assert faults(**given) == []


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"groups": {"app": ["app-1"]}}, "pgbackrest_enabled is true, and group database has no host"),
        ({"groups": {"database": ["a", "b"]}}, "pgbackrest_enabled is true, and group database has two hosts"),
        ({PROBE: {"stdout": "pgbackrest_project=blog\n"}},
         "pgbackrest_enabled is true, and that of project blog on the same PostgreSQL too"),
        ({"pgbackrest_repository": ""}, "pgbackrest_repository is empty"),
        ({"pgbackrest_repository": "/var/lib/postgresql/archive"},
         'pgbackrest_repository "/var/lib/postgresql/archive" lies in what is backed up'),
        ({"pgbackrest_repository": "/mnt/my archive"}, 'pgbackrest_repository "/mnt/my archive" is no plain path'),
        ({"pgbackrest_repository": "/"}, 'pgbackrest_repository "/" lies in what is backed up'),
        ({"pgbackrest_repository": "s3:http://s3.test/bucket"},
         'pgbackrest_repository "s3:http://s3.test/bucket" is neither a folder nor a bucket behind https'),
        ({"pgbackrest_repository": "s3:https://s3.test"},
         'pgbackrest_repository "s3:https://s3.test" is neither a folder nor a bucket behind https'),
        ({"pgbackrest_repository": "sftp:me@host:/archive"},
         'pgbackrest_repository "sftp:me@host:/archive" is neither a folder nor a bucket behind https'),
        ({"pgbackrest_repository": "s3:https://s3.test/b", "pgbackrest_s3_key": "k", "pgbackrest_s3_key_secret": ""},
         "pgbackrest_s3_key_secret is empty, and the repository is a bucket"),
        ({"pgbackrest_password": "short"}, "pgbackrest_password is not 12 or more printable characters without spaces, "
         "and backups are encrypted with it"),
        ({"pgbackrest_password": "x" * 12 + "\n"}, "pgbackrest_password is not 12 or more printable characters without "
         "spaces, and backups are encrypted with it"),
        ({"pgbackrest_times": []}, "pgbackrest_times is empty, so no backup would be made"),
        ({"pgbackrest_times": ["1:20"]}, 'pgbackrest_times "1:20" is no time of a day'),
        ({"pgbackrest_keep_full": 0}, "pgbackrest_keep_full is 0"),
        ({"pgbackrest_archive_mb": 63}, "pgbackrest_archive_mb is 63"),
        ({"pgbackrest_stanza": "My shop"}, 'pgbackrest_stanza "My shop" is no plain name'),
        ({"pgbackrest_recover_to": "yesterday"}, 'pgbackrest_recover_to "yesterday" is no moment'),
        ({"pgbackrest_recover_to": "2026-11-31 12:00"}, 'pgbackrest_recover_to "2026-11-31 12:00" is no moment'),
        ({"pgbackrest_recover_to": "2026-11-30"}, 'pgbackrest_recover_to "2026-11-30" is no moment'),
        ({"pgbackrest_enabled": False, "pgbackrest_recover_to": "latest"},
         "pgbackrest_recover_to is set, and pgbackrest_enabled is not true"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(given: dict[str, Any], fault: str) -> None:
    assert faults(**given) == [fault]
