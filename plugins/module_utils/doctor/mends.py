"""How to fix a host of this bundle, by the doctor's codes. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SITE = "ansible-playbook site.yml"


@dataclass(frozen=True)
class Mend:
    """How to fix a host of this bundle: inventory variables with their new values, then a playbook to run.

    Strings among the values may contain `{names}`, as fixes do. A dict is merged into the existing one. If only one
    server has such a setting, `server` names it."""

    settings: dict[str, Any] = field(default_factory=dict)
    command: str = SITE
    server: str = ""


#: By code. Codes that are missing need a fix outside the inventory: in the project, the client, DNS, another machine.
#:
#: Without settings, something was stopped or edited by hand, and the playbook restores what the inventory says.
MENDS: dict[str, Mend] = {
    "E104_NOT_RUNNING": Mend(),
    "E107_STALE_SOCKET": Mend(),
    "E108_STALE_LOCK": Mend(),
    "E110_OPEN_FILES": Mend({"asgi_open_files": "{files}"}),
    "E117_NOT_DEPLOYED": Mend(),
    "W119_WSGI_DOWN": Mend(),
    "E202_ASGI_ATTRIBUTE": Mend({"asgi_application": "{module}:application"}),
    "E205_ASGI_PATH": Mend({"asgi_application": "{module}:application"}),
    "E032_CERT_NOT_SERVED": Mend(),
    "E033_RENEWAL_OFF": Mend(),
    "E301_UPGRADE_LOST": Mend(),
    "E414_TOKEN_LOGGED": Mend(),
    "E415_NOT_LOGGED": Mend(),
    "E906_NO_LIBRARY": Mend(),
    "E302_CONNECTION_LOST": Mend(),
    "E303_HTTP10": Mend(),
    "E304_HEADER_BUFFERS": Mend({"nginx_header_buffers": "1 12k"}),
    "E307_UPSTREAM_ELSEWHERE": Mend(),
    "E308_PROXY_DOWN": Mend(),
    "E309_PROXY_CONFIG": Mend(),
    "E321_EDGE_DOWN": Mend(),
    "E322_EDGE_CONFIG": Mend(),
    "W323_EDGE_CONFIG": Mend(),
    "E324_EDGE_PORT": Mend(),
    "E326_HOST_UNREACHABLE": Mend(),
    "E327_EDGE_UNKNOWN": Mend(),
    "E331_ADDRESS_NOWHERE": Mend(),
    "E333_PROXY_PROTOCOL": Mend(),
    "E340_PATH_CHANGED": Mend(),
    "E341_TLS_TO_PLAIN": Mend(),
    "E342_PLAIN_TO_TLS": Mend(),
    "E343_OTHER_PROTOCOL": Mend(),
    "E346_HEADERS_NOT_INHERITED": Mend(),
    "E347_HEADER_CHANGED": Mend(),
    "E349_NOT_RELOADED": Mend(),
    "E405_ORIGIN": Mend(),
    "E406_ALLOWED_HOSTS": Mend(),
    "E410_CONNECT_SLOW": Mend({"asgi_websocket_connect_timeout": "{longer}"}, server="daphne"),
    "E501_REDIS_DOWN": Mend(),
    "E502_REDIS_PASSWORD": Mend(),
    "E503_REDIS_ACL": Mend(),
    "W506_REDIS_EVICTS": Mend(),
    "E507_REDIS_CLIENTS": Mend({"redis_maxclients": "10000"}),
    "W511_REDIS_TIMEOUT": Mend(),
    "E601_IDLE_PROXY": Mend({"nginx_websocket_timeout": "3600"}),
    "W605_READ_TIMEOUT": Mend({"nginx_websocket_timeout": "3600"}),
    "E607_WEBSOCKET_TIMEOUT": Mend({"asgi_websocket_timeout": "-1"}),
    "W608_WEBSOCKET_TIMEOUT": Mend({"asgi_websocket_timeout": "-1"}),
}
