"""The project once more, with values other than the defaults: the host does what each setting says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from types import SimpleNamespace as Story

import pytest
from lab_host import LabHost, echoes
from plays import changes, play

# Commands that ask the host, and what each answer then contains: the values of inventory/contrary.yml.
NGINX = {
    "nginx_http_port": r"listen 8081;",
    "nginx_https_port": r"listen 8444 ssl",
    "nginx_local_port": r"listen 127\.0\.0\.1:8003;",
    "nginx_hsts": r"max-age=63072000; includeSubDomains; preload",
    "nginx_trusted_proxies": r"set_real_ip_from 192\.0\.2\.0/24;",
    "nginx_health_path": r"location = /\.well-known/health",
    "nginx_origins": r"pages\\\.test",
    "nginx_websocket_timeout": r"location /deep/talk/ \{\s+proxy_pass http://contrary;\s+proxy_read_timeout 1800s;",
    "nginx_http_timeout": r"location /deep/ \{[^}]*proxy_read_timeout 31s;[^}]*proxy_buffering off;",
    "nginx_header_buffers": r"large_client_header_buffers 2 14k;",
    "nginx_body_size": r"client_max_body_size 3m;",
    "nginx_header_timeout": r"client_header_timeout 16s?;",
    "nginx_body_timeout": r"client_body_timeout 17s?;",
    "nginx_send_timeout": r"\bsend_timeout 18s?;",
    "nginx_worker_connections": r"worker_connections 9000;",
    "nginx_address_sockets": r"limit_conn contrary_address_sockets 50;",
    "nginx_sockets": r"limit_conn contrary_site_sockets 3000;",
    "nginx_address_handshakes": r"zone=contrary_address_handshakes:\S+ rate=20r/s;",
    "nginx_address_handshakes_burst": r"zone=contrary_address_handshakes burst=300 nodelay;",
    "nginx_address_requests": r"zone=contrary_address_requests:\S+ rate=30r/s;",
    "nginx_address_requests_burst": r"zone=contrary_address_requests burst=400 nodelay;",
    "nginx_limit_retry_seconds": r"add_header Retry-After 3 always;",
    "nginx_static_seconds": r"public, max-age=60\b",
    "nginx_static_url": r"location /deep/assets/ \{",
    "nginx_media_folder": r"alias /srv/contrary/shared/uploads/;",
    "nginx_error_level": r"tag=nginx warn;",
    "nginx_maintenance_retry_seconds": r"add_header Retry-After 7 always;",
}
REDIS = {"redis_maxmemory": ("maxmemory", 80 * 1024 * 1024), "redis_maxclients": ("maxclients", 500)}
POSTGRESQL = {"max_connections": "130", "port": "5544", "ssl": "on", "effective_cache_size": "150MB"}
SERVER = "/proc/$(pgrep --oldest --uid contrary --full bin/uvicorn)"
ASKED = {
    "base_extra_packages": ("dpkg-query --show --showformat='${Status}' tree", r"^install ok installed$"),
    "base_host_aliases": ("getent hosts contrary.internal", r"^127\.0\.0\.9\b"),
    "base_uv_path": ("/usr/local/lib/uv/bin/uv --version", r"^uv \d"),
    "release_files": ("stat --format=%a /srv/contrary/live/code/contrary.txt", r"^644$"),
    "release_hooks": ("cat /srv/contrary/shared/notes/hooks", r"^migrating\nbefore\nafter$"),
    "release_who": ("cat /srv/contrary/history.jsonl", r"the contrary one"),
    "asgi_ping_interval": ("pgrep --list-full --full bin/uvicorn", r"--ws-ping-interval 9 --ws-ping-timeout 12\b"),
    "asgi_websocket_max_size": ("pgrep --list-full --full bin/uvicorn", r"--ws-max-size 65536\b"),
    "asgi_backlog": ("ss --listening --unix --no-header", r"\b300\s+/run/contrary/\S+-1\.sock"),
    "asgi_wsgi_threads": ("cat /srv/contrary/live/gunicorn.conf.py", r"\bthreads = 3\b"),
    "asgi_stop_seconds": ("cat /etc/supervisor/conf.d/contrary-uvicorn@*", r"\bstopwaitsecs=6\b"),
    "asgi_open_files": (
        f"grep 'Max open files' {SERVER}/limits", r"^Max open files\s+9000\s+9000\b"
    ),
    "asgi_memory_max": (
        f"grep 'Max data size' {SERVER}/limits", rf"\b{1900 * 1024 * 1024}\b"
    ),
    "pgbouncer_port": ("grep -E '^DATABASE_URL=' /srv/contrary/live/env", r":6544/contrary_data"),
    "pgbouncer_mode": ("cat /etc/pgbouncer/databases.ini", r"pool_mode=session pool_size=7\b"),
    "pgbouncer_max_clients": ("cat /etc/pgbouncer/pgbouncer.ini", r"(?m)^max_client_conn = 300$"),
    "backup_paths": ("contrary-backup now >&2 && contrary-backup restic ls latest", r"(?m)^/etc/hostname$"),
    "backup_settings": ("contrary-backup restic ls latest", r"(?m)/collected/copies/environment$"),
    "backup_certificates": ("contrary-backup restic ls latest", r"(?m)/collected/copies/certificate/privkey.pem$"),
    "backup_hooks": ("cat /var/lib/contrary-backup/hook", r"^begun\ncomplete$"),
    "backup_drill_days": ("cat /var/lib/contrary-backup/state.json", r'"last_drill_timestamp_seconds": \d+'),
    "backup_check_days": ("cat /var/lib/contrary-backup/state.json", r'"last_check": \d+'),
    "pgbackrest_archive_seconds": ("cat /etc/postgresql/15/main/conf.d/channels-pgbackrest.conf", r"timeout = 20\b"),
    "pgbackrest_full_days": ("channels-pgbackrest now && channels-pgbackrest list", r"D  diff  "),
    "pgbackrest_times": ("systemctl cat channels-pgbackrest.timer", r"(?m)^OnCalendar=\*-\*-\* 15:15:00$"),
    "backup_times": ("systemctl cat contrary-backup.timer", r"(?m)^OnCalendar=\*-\*-\* 13:05:00$"),
    "supervisor_open_files": ("cat /etc/supervisor/supervisord.conf", r"\bminfds\s*=\s*5000\b"),
    "firewall_ssh_from": ("nft list table inet channels", r"ip saddr 172\.16\.0\.0/12 tcp dport 22 accept"),
    "firewall_site_from": ("nft list table inet channels", r"ip saddr 172\.16\.0\.0/12 tcp dport 8444 accept"),
    "firewall_allow": ("nft list table inet channels", r"ip saddr 172\.16\.0\.0/12 udp dport 9000-9001 accept"),
    "hardening_ssh_keys_only": ("sshd -T", r"(?m)^passwordauthentication no$"),
    "hardening_upgrades": ("apt-config dump", r'Package-Blacklist:: "redis-server\$";'),
    "hardening_upgrades_reboot": ("apt-config dump", r'Automatic-Reboot-Time "04:30";'),
    "hardening_fail2ban": ("fail2ban-client get sshd ignoreip", r"172\.16\.0\.0/12"),
}  # fmt: skip


@pytest.fixture(scope="module")
def story(lab: LabHost) -> Iterator[Story]:
    """Add the project to a host whose own project keeps running; then run the same again."""
    told = Story()
    with lab.connect() as first:
        # Its inventory leaves migrations to the operator, so this asks for them.
        told.first = play("contrary", "site.yml", "--extra-vars", "release_migrate=true")
        changes(told.first)
        told.again = play("contrary", "site.yml", "--diff")
        told.configuration = lab.run("nginx -T 2>/dev/null")
        told.survives = echoes(first)
    yield told


def test_second_run_changes_nothing(story: Story) -> None:
    assert changes(story.again) == 0, story.again.stdout


def test_it_is_proven(story: Story) -> None:
    told = " ".join(re.sub(r"\n\s*", " ", story.again.stdout).split())
    assert "ok Handshake from the controller, as a browser would (wss://" in told and ":8444/deep/talk/)" in told
    assert "RedisPubSubChannelLayer" in told and "FAIL" not in told


def test_project_that_was_there_first_is_reached(story: Story, lab: LabHost) -> None:
    assert story.survives, "its open socket has ended"
    with lab.connect() as another:
        assert echoes(another)


def test_firewall_that_would_close_it_is_refused() -> None:
    done = play("contrary", "site.yml", "--extra-vars", json.dumps({"firewall_allow": []}))
    told = " ".join(done.stdout.split())
    assert done.returncode and "would close port 80 of dashboard" in told and "nothing was changed" in told


@pytest.mark.parametrize("variable", NGINX)
def test_nginx_has_the_value(story: Story, variable: str) -> None:
    assert re.search(NGINX[variable], story.configuration), variable


def test_tls_is_modern(story: Story, lab: LabHost) -> None:
    for version, agreed in (("-tls1_2", False), ("-tls1_3", True)):
        done = lab.host.run(f"openssl s_client -connect 127.0.0.1:8444 -servername localhost {version} </dev/null 2>&1")
        assert ("Cipher is TLS_" in done.stdout) == agreed, done.stdout


def test_stores_have_the_values(story: Story, lab: LabHost) -> None:
    address = lab.run("sed -n 's/^DATABASE_URL=//p' /srv/contrary/live/env").strip().strip("'\"")
    for name, value in POSTGRESQL.items():
        asked = "import os, psycopg; print(psycopg.connect(os.environ['U']).execute(os.environ['Q']).fetchone()[0])"
        said = lab.run("U=%s Q=%s /srv/contrary/live/venv/bin/python -c %s", address, f"SHOW {name}", asked)
        assert said.strip() == value, name
    written = lab.run("cat /etc/redis/*.conf")
    for name, value in REDIS.values():
        found = re.search(rf"(?m)^{name} (\S+)$", written)
        assert found and found[1] in (str(value), f"{value // 1048576}mb"), name
    rules = lab.run("cat /etc/redis/*.acl")
    assert re.search(r"(?m)^user contrary .*contrary", rules) and "user watcher " in rules
    assert lab.run("redis-cli --tls --insecure -p 6380 ping 2>&1 || true").strip()


@pytest.mark.parametrize("variable", ASKED)
def test_host_has_the_value(story: Story, lab: LabHost, variable: str) -> None:
    command, wanted = ASKED[variable]
    assert re.search(wanted, lab.run(command).strip()), variable


def test_workers_run(story: Story, lab: LabHost) -> None:
    assert len(lab.run("pgrep --uid contrary --exact sleep").split()) == 2
    lab.run("for _ in $(seq 100); do test -e /srv/contrary/shared/notes/ticked && exit 0; sleep 1; done; exit 1")


def test_removal_leaves_the_stores_to_others(story: Story, lab: LabHost) -> None:
    """The last test: the project goes, with its data, and PgBouncer, which nobody else uses, stops."""
    changes(play("contrary", "playbooks/remove.yml", "--extra-vars", "remove_data=true"))
    assert lab.host.run("systemctl is-active pgbouncer").stdout.strip() == "inactive"
    files = "/etc/pgbouncer/*.ini /etc/pgbouncer/*.txt /etc/postgresql/15/main/pg_hba.conf"
    assert "contrary" not in lab.run(f"cat {files}")
    asked = "cd / && runuser --user postgres -- psql --port 5544 --tuples-only --command %s"
    assert "contrary" not in lab.run(asked, "SELECT datname, rolname FROM pg_database, pg_roles")
    with lab.connect() as another:
        assert echoes(another)
