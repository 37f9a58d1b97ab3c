"""Run plays with Ansible's own linear strategy where Mitogen cannot be used, and as fast as that goes."""

from __future__ import annotations

from ansible.plugins.strategy.linear import StrategyModule as LinearStrategy

from ..module_utils.speed.ansible_core import hasten_core

DOCUMENTATION = """
name: without_mitogen
author: ansible-channels-stack
short_description: Ansible's own linear strategy, with compiled templates kept from run to run
description:
  - Behaves as C(linear). For plays whose hosts may have no Python yet, which Mitogen needs.
"""

hasten_core()


class StrategyModule(LinearStrategy):
    """Ansible's own linear strategy."""
