#!/bin/sh
# Prints the folder of tools that `make test` runs part of the tests with: those of the newest Python that this machine
# has, and so of the newest ansible-core in requirements.lock. It is .venv/ where there is no newer one.
set -eu
cd "$(dirname "$0")/.."
for minor in 13 12; do
    for python in "python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor".*/bin/python3; do
        # A shim of pyenv is there for Pythons that it does not let run.
        "$python" -c 'import ensurepip, venv' 2>/dev/null || continue
        [ "$(.venv/bin/python -c 'import sys; print(sys.version_info[1])')" -lt "$minor" ] || break 2
        [ .venv-newest/.complete -nt requirements.lock ] || PYTHON=$python VENV=.venv-newest scripts/tools.sh >&2
        echo "$PWD/.venv-newest/bin"
        exit 0
    done
done
echo "$PWD/.venv/bin"
