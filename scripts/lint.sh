#!/bin/sh
# Checks the style of everything, and stops at the first tool that complains. `lint.sh quick` leaves ansible-lint out,
# which takes longer than all the others.
set -eu
cd "$(dirname "$0")/.."
echo "lint: ruff";          ruff check --quiet .; ruff format --check --quiet .
echo "lint: mypy";          mypy
echo "lint: yamllint";      yamllint --strict .
echo "lint: variables";     python scripts/variables.py --check
echo "lint: changelog";     "$(scripts/more_tools.sh docs)/antsibull-changelog" lint
[ "${1:-}" = quick ] || { echo "lint: ansible-lint"; ansible-lint --offline -q; }
