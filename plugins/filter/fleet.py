"""Many app hosts as one: their batches, their record and their table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils.fleet import record
from ..module_utils.fleet.batches import batches
from ..module_utils.fleet.table import table_of
from ..module_utils.fleet.top import top_table_of
from ..module_utils.fleet.views import Views


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "batches": in_batches, "fleet_record": fleet_record, "fleet_report": fleet_report,
            "fleet_table": fleet_table, "top_table": top_table,
        }  # fmt: skip


def in_batches(hosts: list[str], serial: Any) -> list[list[str]]:
    """Hosts in batches, as in Ansible's `serial`."""
    try:
        return batches(hosts, serial)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


def fleet_record(
    records: list[Any], members: list[str], served: Mapping[str, str], release: Mapping[str, str], skipped: list[str]
) -> dict[str, Any]:
    """The record of the fleet after a deploy."""
    return record.renewed(record.newest(records), members, served, release, skipped)


def fleet_report(records: list[Any], members: list[str], served: Mapping[str, str], skipped: list[str]) -> list[str]:
    """Lines for a person: which hosts have caught up, and what a run leaves different."""
    before = record.newest(records)
    return record.caught_up(before, served) + record.left_behind(before, members, served, skipped)


def fleet_table(found: Mapping[str, Any], members: list[str], views: Mapping[str, Any] | None = None) -> str:
    """All app hosts in one table, with what edges say of them, and what else belongs to a fleet."""
    return table_of(members, found, record.newest(one.get("fleet") for one in found.values()), Views(views))


def top_table(found: Mapping[str, Any]) -> str:
    """What the sockets of all app hosts do, in one table."""
    return top_table_of(found)
