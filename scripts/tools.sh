#!/bin/sh
# Installs the pinned tools into .venv/, every package checked against its hash. Fast when nothing changed.
# VENV names another folder, PYTHON another Python.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
venv=${VENV:-.venv}

fail() {
    printf 'tools: %s\n' "$1" >&2
    exit 1
}

command -v "$python" >/dev/null || fail "there is no $python here. As root: apt-get install python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old: Python 3.11 or later is needed. Name one with: make PYTHON=python3.13 …"
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || fail "$python cannot make environments. As root: apt-get install python3-venv"
    echo "tools: installing python3-venv"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends python3-venv >/dev/null
fi
# Ansible and the lab reach hosts over SSH, and git tells which files of a project belong to a release.
if ! command -v ssh >/dev/null || ! command -v git >/dev/null; then
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || fail "ssh or git is missing. As root: apt-get install openssh-client git"
    echo "tools: installing openssh-client and git"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends openssh-client git >/dev/null
fi

echo "tools: installing the pinned tools into $venv/ (about half a minute, once)"
[ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
# Companies have certificate authorities of their own: the machine's store is trusted, not one that pip brings.
if [ -z "${PIP_CERT:-}" ] && [ -f /etc/ssl/certs/ca-certificates.crt ]; then
    export PIP_CERT=/etc/ssl/certs/ca-certificates.crt
    export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
fi
"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement roles/base/files/uv.txt
"$venv/bin/uv" pip sync --quiet --require-hashes --python "$venv/bin/python" requirements.lock
# Compiled once, not at every start of ansible-playbook, also where PYTHONDONTWRITEBYTECODE is set.
(cd "$venv"/lib/python3*/site-packages && "$OLDPWD/$venv/bin/python" -m compileall -q -j 0 \
    ansible ansible_mitogen mitogen jinja2 markupsafe yaml resolvelib packaging cryptography) || true
touch "$venv/.complete"
