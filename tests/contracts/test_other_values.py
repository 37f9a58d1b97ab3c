"""Each setting with a plain default is tried with another value on a host, or it is said here where else that is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CONTRARY = yaml.safe_load((ROOT / "molecule/neighbours/inventory/contrary.yml").read_text())["all"]["vars"]
# Files in which the other defaults have another value: tests, or what an inventory of theirs gives.
ELSEWHERE = {
    "molecule/day-two/inventory/hosts.yml": [
        "backup_ssh_key", "backup_ssh_known_hosts",
        "metrics_probe_broadcast", "monitoring_alerts_port", "monitoring_keep_days", "monitoring_keep_mb",
        "monitoring_port", "monitoring_repeat_hours", "monitoring_report_hours", "monitoring_rules",
        "monitoring_runbooks",
        "monitoring_webhook_token", "monitoring_webhook_url",
    ],
    "molecule/day-two/tests/test_backup.py": [
        "backup_drill", "restore_confirm", "restore_mask_command", "restore_snapshot",
    ],
    "tests/templates/test_backup_files.py": ["backup_prune", "backup_sandbox"],
    "molecule/day-two/tests/test_recovery.py": ["pgbackrest_recover_confirm", "pgbackrest_recover_to"],
    "tests/templates/test_pgbackrest_files.py": [
        "pgbackrest_s3_key", "pgbackrest_s3_key_secret", "pgbackrest_s3_path_style", "pgbackrest_s3_region",
        "pgbackrest_sandbox",
    ],
    "molecule/fleet/tests/test_upgrade.py": ["upgrade_sockets"],
    "molecule/default/tests/test_load.py": [
        "load_at_once", "load_confirm", "load_hold_seconds", "load_most", "load_plan_sockets", "load_sockets",
    ],
    "molecule/doctor/tests/test_repairs.py": ["asgi_websocket_timeout", "doctor_timeout", "handshake_token"],
    "molecule/neighbours/inventory/scrap.yml": ["handshake_subprotocols"],
    "molecule/neighbours/tests/test_neighbours.py": ["remove_data"],
    "molecule/projects/inventory/bare.yml": ["release_extra_indexes"],
    "molecule/projects/inventory/tagged.yml": ["release_repository", "release_version", "release_deploy_key"],
    "molecule/projects/tests/sites.py": ["doctor_idle_seconds"],
    "molecule/release/tests/test_drill.py": [
        "drill_confirm", "drill_interval", "drill_parts", "drill_patience_seconds", "drill_promises",
        "drill_settle_seconds", "drill_sockets",
    ],
    "molecule/release/tests/test_fleet.py": ["asgi_serial", "asgi_failed_switch", "preflight_skip_unreachable"],
    "molecule/day-two/tests/test_shipping.py": ["logs_target", "logs_authority", "logs_peer", "logs_queue_mb"],
    "tests/templates/test_shipping.py": ["logs_tls", "logs_redacted_names", "logs_files", "logs_programs"],
    "molecule/release/tests/test_managers.py": [
        "asgi_log_follow_minutes", "asgi_log_generation", "asgi_log_level", "asgi_log_since", "asgi_log_until",
        "asgi_top_seconds",
    ],
    "molecule/secure/tests/test_logs.py": ["asgi_log_request"],
    "molecule/release/tests/test_rotation.py": ["redis_forget_passwords", "rotate_secrets"],
    "molecule/release/tests/test_taken_back.py": ["asgi_unit_template"],
    "molecule/secure/tests/test_acme.py": [
        "certificate_acme_email", "certificate_acme_server", "certificate_acme_check_names", "certificate_acme_keep",
        "doctor_validate_certs", "doctor_fail",
    ],
    "molecule/secure/tests/test_sandbox.py": ["asgi_sandbox", "nginx_sandbox"],
    "molecule/secure/tests/test_tls.py": ["certificate_chain", "certificate_key"],
    "inventories/lab/group_vars/all/main.yml": ["handshake_broadcast"],
    "molecule/fleet/inventory/hosts.yml": ["haproxy_sockets"],
    "tests/plugins/test_postgresql_app.py": ["postgresql_replace_password"],
    "tests/plugins/test_preflight.py": ["nginx_static_hashed", "preflight_debian_versions"],
    "tests/plugins/test_preflight_pythons.py": ["release_python", "release_python_download"],
    "tests/plugins/test_preflight_store_tls.py": [
        "stores_trusted_authorities", "stores_certificate_chain", "stores_certificate_key",
    ],
    "tests/templates/test_certificate.py": [
        "certificate_acme_staging", "certificate_acme_auth_hook", "certificate_acme_cleanup_hook",
        "certificate_sandbox",
    ],
    "tests/templates/test_daemons.py": [
        "redis_anonymous", "redis_sandbox", "redis_master_name", "redis_replication_password", "sentinel_port",
        "sentinel_password", "sentinel_down_after_seconds", "sentinel_sandbox",
    ],
    "molecule/release/tests/test_two_databases.py": [
        "postgresql_rebuild", "postgresql_replication_password",
    ],
    "tests/templates/test_pgbouncer.py": ["pgbouncer_remove", "pgbouncer_sandbox"],
    "tests/templates/test_standby.py": ["postgresql_standby_log_mb"],
    "tests/templates/test_haproxy.py": [
        "haproxy_acme_port", "haproxy_app_tls", "haproxy_check_seconds", "haproxy_http_port", "haproxy_https_port",
        "haproxy_slow_start_seconds",
    ],
    "tests/templates/test_keepalived.py": ["keepalived_address", "keepalived_interface"],
    "tests/templates/test_monitoring.py": [
        "monitoring_mail_from", "monitoring_mail_password", "monitoring_mail_server", "monitoring_mail_to",
        "monitoring_mail_user",
    ],
    "tests/templates/test_nginx.py": ["nginx_conf_template", "nginx_site_template"],
    "tests/templates/test_release.py": ["release_index"],
    "tests/templates/test_templates.py": ["redis_sharded"],
    "tests/templates/test_units.py": ["asgi_websocket_connect_timeout"],
}  # fmt: skip
# What nothing tries with another value, and why.
NOWHERE = {
    "asgi_server_packages": "versions that the bundle is tested with",
    "asgi_wsgi_packages": "versions that the bundle is tested with",
    "base_packages": "names of Debian's",
    "preflight_minimum_python": "what the bundle is tested with",
    "preflight_roles": "the roles that there are",
    "base_controller_folder": "the folder that tests are run in is another one at each run",
    "doctor_foreign_origin": "a name that nobody has, as is any other",
    "doctor_share": "tests/plugins/test_masks.py has what it does to reports",
    "handshake_validate_certs": "the doctor's does the same",
    "asgi_program_template": "found as asgi_unit_template is",
    "nginx_maintenance_template": "found as nginx_site_template is",
    "drill_cut_seconds": "how long a test would have to wait",
    "restore_keep_replaced": "tests/plugins/test_backup_tool.py has what is kept, and how it is taken back",
    "pgbackrest_keep_replaced": "tests/plugins/test_pgbackrest_tool.py has what is kept, and how it is taken back",
    "drill_fail": "doctor_fail does the same",
    "drain_settle_seconds": "how long a test would have to wait",
    "drain_wait_seconds": "it only ends a wait for edges that never agree",
    "drain_by": "role upgrade gives its own name",
    "haproxy_sandbox": "changed as nginx_sandbox is",
    "keepalived_sandbox": "changed as nginx_sandbox is",
    "keepalived_template": "found as nginx_conf_template is",
    "upgrade_boot_seconds": "it only ends a wait for a host that never comes back",
    "upgrade_packages": "what apt does with it is apt's",
    "upgrade_ready_seconds": "it only ends a wait for a project that never answers",
    "upgrade_reboot": "tests/plugins/test_upgrades.py has all of them, as an option of the module",
    "haproxy_template": "found as nginx_conf_template is",
    "supervisor_conf_template": "found as nginx_conf_template is",
}


def plain_defaults() -> dict[str, Any]:
    """The defaults of all roles but those that are made of other variables."""
    defaults: dict[str, Any] = {}
    for path in sorted(ROOT.glob("roles/*/defaults/main.yml")):
        defaults |= yaml.safe_load(path.read_text()) or {}
    return {name: value for name, value in defaults.items() if not (isinstance(value, str) and "{{" in value)}


def test_every_default_has_another_value() -> None:
    known = {name for names in ELSEWHERE.values() for name in names} | set(NOWHERE)
    same = {name for name, value in plain_defaults().items() if CONTRARY.get(name, value) == value}
    assert same - known == set(), "write another value into the inventory, or where a test has one"
    assert known - same == set(), "these need no place elsewhere"


def test_other_places_have_them() -> None:
    for path, names in ELSEWHERE.items():
        text = (ROOT / path).read_text()
        assert [name for name in names if not re.search(rf"\b{name}\b", text)] == [], path


def test_most_are_in_the_inventory() -> None:
    defaults = plain_defaults()
    contrary = [name for name, value in defaults.items() if CONTRARY.get(name, value) != value]
    assert len(contrary) > len(defaults) / 2
