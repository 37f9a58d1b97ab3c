"""Run plays with Mitogen where its package is installed, else with Ansible's own linear strategy and a notice.

Mitogen's strategy is looked up in the environment that runs ansible-playbook, so no path with a Python version in it
stands in ansible.cfg.
"""

from __future__ import annotations

from ansible.plugins.strategy.linear import StrategyModule as LinearStrategy
from ansible.utils.display import Display

DOCUMENTATION = """
name: fastest
short_description: Mitogen's linear strategy where it is installed, else Ansible's own
description:
  - Behaves as C(mitogen_linear), several times faster than C(linear) over SSH.
  - Without the C(mitogen) package it behaves as C(linear) and says so once.
"""

try:
    import ansible_mitogen.strategy
except ImportError:
    Display().warning("The mitogen package is not installed: this run uses Ansible's own, slower strategy.")

    class StrategyModule(LinearStrategy):
        """Ansible's own linear strategy."""

else:

    class StrategyModule(ansible_mitogen.strategy.StrategyMixin, LinearStrategy):
        """Mitogen's linear strategy."""
