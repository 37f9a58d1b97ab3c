#!/bin/sh
# Resolves the tools' and the example's requirements into requirements.lock, with hashes and without any address.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header "$@" \
    pyproject.toml --group test examples/dashboard/backend/requirements/base.txt --output-file requirements.lock
# What the changelog and the documentation's site are made with.
.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header "$@" \
    --group docs --output-file scripts/docs/requirements.lock
# What the benchmarks compare the bundle with.
.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header "$@" \
    --group bench --output-file scripts/bench/requirements.lock
# What hosts have beside the project's own.
.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header "$@" \
    roles/certificate/files/certbot.in --output-file roles/certificate/files/certbot.txt
# The example's image installs the same versions, and nothing of the tools'.
.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header "$@" \
    --constraint requirements.lock examples/dashboard/backend/requirements/base.txt \
    --output-file examples/dashboard/backend/requirements/base.lock
