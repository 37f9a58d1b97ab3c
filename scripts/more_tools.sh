#!/bin/sh
# Prints the folder of the tools that a part of the project is made with, by the lock file in scripts/PART/, and installs
# them if they are missing: more_tools.sh PART, such as docs or bench. `make up` needs none of them, so they are not in
# .venv/. Every package is checked against its hash.
set -eu
cd "$(dirname "$0")/.."
tools=.cache/$1-tools
lock=scripts/$1/requirements.lock
mkdir -p .cache
exec 9>"$tools.lock"
! command -v flock >/dev/null || flock 9 # tests that run at the same time install them once
if ! [ "$tools/.complete" -nt "$lock" ]; then
    echo "$1: installing the pinned tools into $tools/ (some seconds, once)" >&2
    # As in scripts/tools.sh: the machine's own certificate authorities are trusted.
    if [ -z "${SSL_CERT_FILE:-}" ] && [ -f /etc/ssl/certs/ca-certificates.crt ]; then
        export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
    fi
    .venv/bin/uv venv --quiet --clear --python .venv/bin/python "$tools" >&2
    .venv/bin/uv pip sync --quiet --require-hashes --python "$tools/bin/python" "$lock" >&2
    touch "$tools/.complete"
fi
echo "$PWD/$tools/bin"
