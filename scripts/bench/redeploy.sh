#!/bin/sh
# The script that many projects deploy with, on the host that plain.sh has set up. It drops every open socket. A tar of
# the project comes by standard input.
set -eu
home=/srv/dashboard
rm -rf "$home/code.new"
mkdir "$home/code.new"
tar --extract --no-same-owner --directory "$home/code.new" --strip-components 1
PIP_CERT=/etc/ssl/certs/ca-certificates.crt "$home/venv/bin/pip" install --quiet --disable-pip-version-check \
    --requirement "$home/code.new/backend/requirements/base.txt"
rm -rf "$home/code.old"
mv "$home/code" "$home/code.old"
mv "$home/code.new" "$home/code"
set -a
. /etc/dashboard.env
set +a
cd "$home/code/backend"
runuser -u dashboard -- "$home/venv/bin/python" manage.py migrate --noinput
"$home/venv/bin/python" manage.py collectstatic --noinput
systemctl restart dashboard.service
python3 - <<'END'
import time
import urllib.request

deadline = time.monotonic() + 60
while True:
    try:
        urllib.request.urlopen("http://127.0.0.1/health/", timeout=10)
        break
    except OSError:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.05)
END
