#!/bin/sh
# What a diligent person would do by hand: from a bare Debian to a WebSocket that answers 101, on the host itself, as root.
# It stands in a folder with project/ (the example) and authorities/ (what the controller trusts beside the usual ones).
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
home=/srv/dashboard
export DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8

if ls "$here"/authorities/*.crt >/dev/null 2>&1; then
    install -D -m 644 -t /usr/local/share/ca-certificates "$here"/authorities/*.crt
    update-ca-certificates
fi
apt-get --quiet update
apt-get --quiet --yes --no-install-recommends install ca-certificates nginx redis-server python3-venv

useradd --system --user-group --home-dir "$home" --shell /usr/sbin/nologin dashboard
install -d "$home"
cp -R "$here/project" "$home/code"
install -d -o dashboard -g dashboard "$home/shared"
python3 -m venv "$home/venv"
PIP_CERT=/etc/ssl/certs/ca-certificates.crt "$home/venv/bin/pip" install --quiet --disable-pip-version-check \
    --requirement "$home/code/backend/requirements/base.txt"

cat >/etc/dashboard.env <<END
SECRET_KEY=$(python3 -c 'import secrets; print(secrets.token_urlsafe(50))')
JWT_SECRET=$(python3 -c 'import secrets; print(secrets.token_urlsafe(50))')
ALLOWED_HOSTS=localhost,127.0.0.1
SQLITE_PATH=$home/shared/db.sqlite3
STATIC_ROOT=$home/static
REDIS_URL=redis://127.0.0.1:6379/0
END
chown root:dashboard /etc/dashboard.env
chmod 640 /etc/dashboard.env

cat >/etc/systemd/system/dashboard.service <<END
[Unit]
Description=Dashboard
After=network-online.target redis-server.service
Wants=network-online.target

[Service]
User=dashboard
EnvironmentFile=/etc/dashboard.env
WorkingDirectory=$home/code/backend
ExecStart=$home/venv/bin/daphne --bind 127.0.0.1 --port 8001 --proxy-headers core.asgi:application
Restart=always

[Install]
WantedBy=multi-user.target
END

cat >/etc/nginx/sites-available/dashboard <<END
map \$http_upgrade \$connection_upgrade {
    default upgrade;
    '' close;
}
server {
    listen 80 default_server;
    server_name localhost;
    location /static/ {
        alias $home/static/;
    }
    location / {
        proxy_pass http://127.0.0.1:8001;
        proxy_http_version 1.1;
        proxy_set_header Upgrade \$http_upgrade;
        proxy_set_header Connection \$connection_upgrade;
        proxy_set_header Host \$host;
        proxy_set_header X-Forwarded-For \$remote_addr;
        proxy_set_header X-Forwarded-Proto \$scheme;
        proxy_read_timeout 3600s;
    }
}
END
ln -sf ../sites-available/dashboard /etc/nginx/sites-enabled/dashboard
rm -f /etc/nginx/sites-enabled/default

set -a
. /etc/dashboard.env
set +a
cd "$home/code/backend"
"$home/venv/bin/python" manage.py collectstatic --noinput
runuser -u dashboard -- "$home/venv/bin/python" manage.py migrate --noinput

systemctl daemon-reload
systemctl enable --now dashboard.service
nginx -t
systemctl reload nginx

TOKEN=$("$home/venv/bin/python" manage.py mint_token --user bench --ttl 300)
export TOKEN
python3 - <<'END'
import os
import socket
import sys
import time

request = (
    f"GET /ws/dashboard/?token={os.environ['TOKEN']} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
answer = ""
deadline = time.monotonic() + 60  # the process may still be starting; nginx answers 502 until then
while " 101 " not in answer and time.monotonic() < deadline:
    with socket.create_connection(("127.0.0.1", 80), timeout=10) as connection:
        connection.sendall(request.encode())
        answer = connection.recv(4096).decode("latin-1").partition("\r\n")[0]
    if " 101 " not in answer:
        time.sleep(0.1)
print(answer)
sys.exit(0 if " 101 " in answer else f"no WebSocket: {answer}")
END
