"""Where each code's printed lines are tried; a new code is in one of these tables, or prints nothing to write."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.channels.stack.plugins.module_utils.doctor.catalogue import CATALOGUE
from test_doctor_mends import BROKEN, UNTRIED

ROOT = Path(__file__).resolve().parents[2]
FIXES = Path(__file__).with_name("test_doctor_fixes.py")

#: Tests on hosts that apply what is printed.
ON_HOSTS = {
    "molecule/doctor/tests/test_repairs.py": (
        "E110_OPEN_FILES", "E405_ORIGIN", "E507_REDIS_CLIENTS", "W608_WEBSOCKET_TIMEOUT", "E107_STALE_SOCKET",
        "E501_REDIS_DOWN", "E301_UPGRADE_LOST", "E308_PROXY_DOWN"),
    "molecule/doctor/tests/test_effective.py": (
        "E344_LISTEN_HTTP2", "E345_LISTEN_PROXY_PROTOCOL", "E113_SOCKET_PERMISSION"),
    "molecule/doctor/tests/test_fronts.py": (
        "E361_APACHE_UPGRADE", "E364_TUNNEL_TIMEOUT", "E151_SUPERVISORD_DOWN", "E251_NO_WEBSOCKET", "E532_LAYER_TLS",
        "E537_LAYER_WORKERS", "E375_SOCKET_HIDDEN"),
    "molecule/secure/tests/test_acme.py": ("E033_RENEWAL_OFF",),
}  # fmt: skip
#: Tests that render the files of this bundle with what is printed.
RENDERED = ("E324_EDGE_PORT", "E327_EDGE_UNKNOWN", "E333_PROXY_PROTOCOL", "E415_NOT_LOGGED", "W329_HOST_MAINTENANCE")
#: What prints nothing that could be written somewhere as it is, and why.
WORDS = {
    "the client, a name, a network or a provider": (
        "E001_NAME", "E011_TCP_REFUSED", "E012_TCP_FILTERED", "E027_PORT_SPEAKS_TLS", "E028_MIXED_CONTENT",
        "E305_REDIRECT_HTTPS", "E306_REDIRECT_PATH", "E401_NO_TOKEN", "E402_TOKEN_BAD", "E403_TOKEN_EXPIRED",
        "E411_TOKEN_COMMAND", "E449_NOT_LOGGED_IN", "E454_OTHER_PATH", "E602_IDLE_BALANCER", "E373_ADDRESSES_DIFFER",
        "E325_EDGE_UNREACHABLE", "E326_HOST_UNREACHABLE", "E332_ADDRESS_TWICE", "E353_UPSTREAM_UNREACHED",
        "E312_EDGE", "N314_HTTP2", "E901_UNREACHABLE", "E902_NO_RIGHTS", "E903_NO_PYTHON", "W904_NOT_ROOT",
        "E409_CLOCK", "W409_CLOCK"),
    "certificates, which an authority makes": (
        "E021_CERT_EXPIRED", "E022_CERT_NAME", "E023_CERT_CHAIN", "E024_CERT_UNTRUSTED", "E025_PORT_SPEAKS_HTTP",
        "E026_TLS", "W029_CERT_EXPIRES_SOON", "E031_RENEWAL_FAILED", "W515_STORE_CERT_EXPIRES", "E351_UPSTREAM_CERT"),
    "where to look, since what is wrong is somebody's own": (
        "E105_CRASH_LOOP", "E109_TWO_SERVERS", "E111_SERVER_SILENT", "E118_STARTING", "E121_PROCESS_UNSTEADY",
        "E122_WORKER_UNSTEADY", "W123_STARTED_AGAIN", "E204_IMPORT_ERROR", "E309_PROXY_CONFIG", "E322_EDGE_CONFIG",
        "W323_EDGE_CONFIG", "E330_HOST_DOWN", "E331_ADDRESS_NOWHERE", "E334_HOST_UNHEALTHY", "E335_NO_HOST_SERVES",
        "W336_HOST_LEFT_OUT", "W328_HOST_DRAINED", "E368_FRONT", "E372_SOMETIMES", "E408_CONSUMER_RAISES",
        "E416_NO_ECHO", "E453_CONSUMER_CLOSES", "W447_PAGE_FAILS", "E510_LAYER", "E512_NOT_SHARED", "E604_IDLE_SERVER",
        "E609_DEAF", "E905_UNEXPLAINED", "E513_DATABASE", "W513_DATABASE", "E126_NOBODY_BEHIND", "E371_REDIRECT_LOOP"),
    "values that only people know": (
        "E106_OUT_OF_MEMORY", "E207_NO_SETTINGS", "E545_OTHER_LAYER", "E127_SOCKET_FOLDER", "E128_BIND_ADDRESS",
        "E129_PORT_DENIED", "E130_WORKER_CLASS", "E131_FD_UNIX", "E132_NOT_PUBLISHED",
        "E546_REDIS_CLUSTER", "E547_DATABASE_FULL", "E360_CONNECT_BARRED",
        "E455_MIDDLEWARE_CLOSES", "E377_SEND_PROXY", "E378_HEALTH_CHECK", "E379_FRONT_PATH",
        "E206_SETTINGS_MODULE", "E311_LIMIT", "E315_NGINX_ORIGINS", "E352_UPSTREAM_NAME",
        "E502_REDIS_PASSWORD", "E503_REDIS_ACL", "E504_REDIS_DATABASE", "E514_REDIS_TLS", "E535_REDIS_NAME",
        "E538_REDIS_READONLY", "E539_REDIS_FULL", "E540_REDIS_CANNOT_SAVE", "E542_REDIS_SOCKET_DENIED",
        "E544_REDIS_PROTECTED", "E413_OTHER_SECRET", "E114_ENVIRONMENT_STALE", "W120_SHARED_PATH", "W418_COOKIES_LOST"),
    "a server's command, or packages": (
        "E101_RUNSERVER", "E102_WSGI", "E103_SERVER_MISSING", "E108_STALE_LOCK", "E112_NO_WEBSOCKET_LIBRARY",
        "W115_RUNSERVER_SERVES", "W116_DAPHNE_OLD", "W119_WSGI_DOWN", "E201_ASGI_MODULE", "E202_ASGI_ATTRIBUTE",
        "E205_ASGI_PATH", "E410_CONNECT_SLOW", "E505_REDIS_OLD", "E603_REDIS_PY_8", "W606_REDIS_PY_8",
        "E607_WEBSOCKET_TIMEOUT", "E133_NEVER_READY"),
    "the project's own code": (
        "E203_APPS_NOT_READY", "E252_NO_HTTP", "E404_NO_ROUTE", "E406_ALLOWED_HOSTS", "W407_ORIGIN_UNCHECKED",
        "W412_TOKEN_UNCHECKED", "E414_TOKEN_LOGGED", "E441_ORIGIN_LIST", "E442_MIDDLEWARE_ORDER", "E443_AS_ASGI",
        "E444_SUBPROTOCOL", "E448_CSP", "E450_THREAD_BUSY", "E451_NEVER_ACCEPTS", "E452_TOKEN_UNREAD",
        "E508_LAYER_MEMORY", "W509_CAPACITY", "W537_LAYER_WORKERS"),
    "an address of two that are told": (
        "E307_UPSTREAM_ELSEWHERE", "E356_PROXY_LOOP", "E367_WRONG_SERVER", "E376_ONE_OF_SEVERAL"),
}  # fmt: skip


def test_every_code_is_applied_somewhere_or_says_why_not() -> None:
    on_hosts = {code for codes in ON_HOSTS.values() for code in codes}
    here = set(re.findall(r'"([EW]\d{3}_\w+)"', FIXES.read_text()))
    applied = {*here, *RENDERED, *on_hosts, *(each[0] for each in BROKEN)}
    words = [code for codes in WORDS.values() for code in codes]
    assert set(CATALOGUE) ^ (applied | set(words)) == set()
    assert applied & set(words) == set() and len(words) == len(set(words))
    assert set(UNTRIED) - applied <= set(words)
    for file, codes in {**ON_HOSTS, "tests/templates/test_doctor_lines.py": RENDERED}.items():
        text = (ROOT / file).read_text()
        assert [code for code in codes if code not in text] == [], file
