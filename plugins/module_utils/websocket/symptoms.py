"""What a WebSocket that does not open, or does not stay open, looks like; what it likely is, and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Symptom:
    """One row of the table: what it looks like, what it likely is, what to do.

    `kind` is `refused`, `failed`, `closed` or `ended`, which is a process by its last lines. `codes` are HTTP statuses
    or close codes, none for any; `stage` is a HandshakeFailed's, empty for any; `text` is a pattern to be found in the
    reason, the headers, the body or the log.
    """

    kind: str
    likely: str
    fix: str
    codes: Sequence[int] = ()
    stage: str = ""
    text: str = ""

    def matches(self, kind: str, code: int | None, stage: str, text: str) -> bool:
        """Whether this row is about such a problem."""
        return (
            self.kind == kind
            and (not self.codes or code in self.codes)
            and (not self.stage or self.stage == stage)
            and (not self.text or re.search(self.text, text, re.IGNORECASE) is not None)
        )


_UPGRADE_FIX = (
    "In the proxy's location for the WebSocket path: proxy_http_version 1.1, proxy_set_header Upgrade $http_upgrade, "
    "proxy_set_header Connection $connection_upgrade (with the map). Check every proxy on the way."
)
_LOOK_AT_LOG = "Read the application's log at this second: the traceback is there."

#: The first row that matches is the answer; the last of each kind matches anything of that kind.
SYMPTOMS: tuple[Symptom, ...] = (
    # -- the server answered, but not with 101
    Symptom(
        "refused",
        "The URL is not the final one: plain http is redirected to https, a slash is missing at the end of the path, "
        "or the path leads to a login page. WebSocket clients do not follow redirects.",
        "Use the address that the redirect names: wss:// in place of ws://, or the exact path of the route.",
        codes=(301, 302, 303, 307, 308),
    ),
    Symptom(
        "refused",
        "A plain WebSocket (ws://) was spoken to a TLS port.",
        "Use wss:// in the URL.",
        codes=(400,),
        text=r"plain HTTP request was sent to HTTPS port|HTTP request to an HTTPS server",
    ),
    Symptom(
        "refused",
        "The Host header is not one that Django serves (DisallowedHost).",
        "Add the host name of the URL to ALLOWED_HOSTS.",
        codes=(400,),
        text=r"DisallowedHost|ALLOWED_HOSTS|Invalid HTTP_HOST|Invalid host",
    ),
    Symptom(
        "refused",
        "The request line or a header is larger than the server takes: a long token or many cookies.",
        "nginx: large_client_header_buffers, at least 4 16k. Or make the token shorter.",
        codes=(400,),
        text=r"too (large|long)",
    ),
    Symptom(
        "refused",
        "A proxy passed the request on without the Connection or Upgrade header, or the server wants another WebSocket "
        "version.",
        _UPGRADE_FIX,
        codes=(400, 426),
        text=r"connection.{0,40}upgrade|upgrade|websocket",
    ),
    Symptom(
        "refused",
        "The request did not arrive whole: a proxy lost the Connection or Upgrade header; or the host name is not in "
        "ALLOWED_HOSTS; or the token is too long for the proxy's header buffers.",
        _UPGRADE_FIX + " Then compare the host name with ALLOWED_HOSTS.",
        codes=(400,),
    ),
    Symptom(
        "refused",
        "Something before the application wants a login (basic authentication, a gateway), or the token is missing.",
        "Let the WebSocket path through without that login, or send an Authorization header.",
        codes=(401, 407),
    ),
    Symptom(
        "refused",
        "The application rejected the connection: the token is missing, wrong or expired; or the Origin is absent, or "
        "its host is not in ALLOWED_HOSTS (AllowedHostsOriginValidator).",
        "Make a fresh token and try again; then compare the Origin that was sent with ALLOWED_HOSTS. A firewall or "
        "deny rule of the proxy gives 403 as well: see whether the application's log has the connection.",
        codes=(403,),
    ),
    Symptom(
        "refused",
        "The Upgrade header was lost at a proxy, so that the application saw a plain GET; or what listens is not an "
        "ASGI server with WebSockets (gunicorn or uwsgi, runserver without daphne first in INSTALLED_APPS, uvicorn "
        "without a WebSocket library); or the path has no route.",
        _UPGRADE_FIX + " On a process's own socket: run an ASGI server (daphne MODULE:application), and compare the "
        "path with the URL routes, including the slash at its end.",
        codes=(404, 405, 200),
    ),
    Symptom(
        "refused",
        "The token makes the URL longer than a server on the way takes.",
        "nginx: large_client_header_buffers, at least 4 16k. Or make the token shorter.",
        codes=(413, 414, 431, 494),
    ),
    Symptom(
        "refused",
        "A proxy passed the request on without the Connection or Upgrade header, or with HTTP/1.0.",
        _UPGRADE_FIX,
        codes=(426,),
    ),
    Symptom(
        "refused",
        "A rate limit of the proxy, or of the application.",
        "Wait, or raise the limit for the WebSocket path (limit_req, limit_conn).",
        codes=(429,),
    ),
    Symptom(
        "refused",
        "No WebSocket route matches the path.",
        "Compare the URL's path with the routes of the URLRouter, including the slash at its end.",
        codes=(500,),
        text=r"No route found",
    ),
    Symptom(
        "refused",
        "Redis lets the application in no more: a wrong password, or a command that its ACL does not allow.",
        "Compare the channel layer's user and password with Redis's, and its ACL with the layer's commands.",
        codes=(500,),
        text=r"AuthenticationError|NoPermission|NOPERM|NOAUTH|WRONGPASS",
    ),
    Symptom(
        "refused",
        "The channel layer's Redis does not answer.",
        "Start Redis and check the address in the channel layer's settings.",
        codes=(500,),
        text=r"redis|Error 111|Connection refused",
    ),
    Symptom(
        "refused",
        "The application failed while it opened the connection: no route for this path, Redis down or its password "
        "wrong, the database out of reach, or an error in the consumer's connect().",
        _LOOK_AT_LOG + " 'No route found' is the path; 'Error 111' is Redis; 'AuthenticationError' and "
        "'NoPermissionError' are Redis's password and ACL.",
        codes=(500,),
    ),
    Symptom(
        "refused",
        "The proxy reached no application process: it is not running, still starting, or listens elsewhere.",
        "Look at the state and log of the application's processes, and at the proxy's error log for the address it "
        "tried.",
        codes=(502,),
    ),
    Symptom(
        "refused",
        "A limit of connections (limit_conn), a maintenance page, or no backend that the proxy holds for alive.",
        "Compare the open sockets with the proxy's limits; end the maintenance mode; look at the proxy's error log.",
        codes=(503,),
    ),
    Symptom(
        "refused",
        "The application took too long to accept: its connect() waits for a database, Redis or another service, or "
        "its event loop is blocked.",
        "Find what connect() waits for. If it must be so, raise proxy_read_timeout or the server's connect timeout.",
        codes=(408, 504, 524),
    ),
    Symptom(
        "refused",
        "What answered is not the WebSocket endpoint, or it does not want this request.",
        "Compare the URL's host, port and path with the route of the consumer, and read the server's answer.",
    ),
    # -- no answer to judge
    Symptom(
        "failed",
        "The process does not run, it died while starting, it hangs before it listens, or it listens on another path. "
        "daphne leaves without a word when the socket's folder is missing.",
        "Look at the process's state and log, and whether the socket's folder exists.",
        stage="socket",
        text=r"no such file",
    ),
    Symptom(
        "failed",
        "The socket file is left over from a process that is gone.",
        "Look at the process's state and log; its next start replaces the file.",
        stage="socket",
        text=r"refused",
    ),
    Symptom(
        "failed",
        "The socket's mode or its folder's does not let this user in.",
        "Run the check as root or as a member of the socket's group; compare with the proxy's user.",
        stage="socket",
        text=r"permission",
    ),
    Symptom(
        "failed",
        "The path is not a socket that can be connected to, or its process takes no more connections.",
        "Check the path; look at the process's state and log.",
        stage="socket",
    ),
    Symptom(
        "failed",
        "The name is misspelt, has no DNS record yet, or this host cannot resolve it.",
        "Correct the host name or its DNS record; or connect to an address with connect_to.",
        stage="name",
    ),
    Symptom(
        "failed",
        "Nothing listens on this port: the proxy or the server is not running, or listens on another address.",
        "Start it, or compare the port and the listen address.",
        stage="tcp",
        text=r"refused",
    ),
    Symptom(
        "failed",
        "There is no way to this address: network, routing or firewall.",
        "Check the address, and that the firewall lets this host in.",
        stage="tcp",
    ),
    Symptom(
        "failed",
        "The port speaks plain HTTP.",
        "Use ws:// in the URL, or the TLS port.",
        stage="tls",
        text=r"wrong.version.number|http.request|record.layer",
    ),
    Symptom(
        "failed",
        "The certificate has expired, or a clock is wrong.",
        "Renew the certificate and reload the proxy; check its renewal timer.",
        stage="tls",
        text=r"expired|not yet valid",
    ),
    Symptom(
        "failed",
        "The certificate is not for this host name.",
        "Use the name in the certificate, or make one that has this name.",
        stage="tls",
        text=r"mismatch|not valid for|doesn't match",
    ),
    Symptom(
        "failed",
        "The certificate or its authority's was made without fields that Python 3.13 (Debian 13) insists on; browsers "
        "do not, so that they may accept it.",
        "Make both anew with basicConstraints, keyUsage, subjectKeyIdentifier and authorityKeyIdentifier.",
        stage="tls",
        text=r"key identifier|key ?usage|basic constraints|CA cert",
    ),
    Symptom(
        "failed",
        "The certificate is not from an authority that this host trusts, or the chain is incomplete.",
        "Serve the full chain (fullchain.pem); with an authority of your own, give its certificate as ca_path.",
        stage="tls",
        text=r"certificate verify failed|self.signed|local issuer",
    ),
    Symptom(
        "failed",
        "TLS could not be set up: the server has no certificate for this name, or the port speaks plain HTTP.",
        "Check the certificate and the server name in the proxy's configuration, and the port; without TLS use ws://.",
        stage="tls",
    ),
    Symptom(
        "failed",
        "The server hung up within the handshake: its connect() took longer than daphne's --websocket_connect_timeout "
        "(5 s), the process died or ran out of open files, or a proxy or firewall cut the connection.",
        "Look at the process's log and its open-files limit; find what connect() waits for.",
        stage="handshake",
        text=r"closed the connection|reset|broken pipe",
    ),
    Symptom(
        "failed",
        "The 101 is not an answer to this handshake: a cache or a faulty proxy stands between.",
        "Try the process's own socket; then go outwards, proxy by proxy.",
        stage="handshake",
        text=r"accept token|missing header|unrecognized",
    ),
    Symptom(
        "failed",
        "What listens there does not speak HTTP; a TLS port spoken to in the plain looks like this too.",
        "Check the port; use wss:// for a TLS port.",
        stage="handshake",
    ),
    Symptom(
        "failed",
        "A firewall drops the packets, or the host is down.",
        "Check the address, and that the firewall lets this host in.",
        stage="timeout",
        text=r"connecting to",
    ),
    Symptom(
        "failed",
        "The process accepted the connection and does not answer: it is still starting, its event loop is blocked, or "
        "the consumer's connect() waits for a database, Redis or another service.",
        "Look at the process's log and its CPU; find what connect() waits for.",
        stage="timeout",
    ),
    Symptom("failed", "The connection could not be made.", "Read the reason; try the process's own socket next."),
    # -- open, then closed
    Symptom(
        "closed",
        "The application ended the connection, or daphne's --websocket_timeout did (it closes active sockets too).",
        "Look in the consumer for close(); compare the server's WebSocket timeout.",
        codes=(1000, 1005),
    ),
    Symptom(
        "closed",
        "The server is going away: a stop, a restart or a deploy.",
        "Nothing, if this was a deploy: clients reconnect. Otherwise look at the process's log.",
        codes=(1001, 1012),
    ),
    Symptom(
        "closed",
        "What this client sent, or what a proxy made of it, does not follow the protocol or the consumer's format.",
        "Try the process's own socket; compare what is sent with what the consumer expects.",
        codes=(1002, 1003, 1007),
    ),
    Symptom(
        "closed",
        "The connection was cut without a close frame: the process died or was stopped (daphne cuts its sockets on "
        "SIGTERM), or a proxy's idle timeout ended it (60 s is nginx's default, 100 s a CDN's).",
        "See whether the process restarted at that second. If it lives: server pings below the proxy's "
        "proxy_read_timeout.",
        codes=(1006,),
    ),
    Symptom(
        "closed",
        "A rule of the server forbids this connection or message.",
        "Look in the consumer for this code; check the token.",
        codes=(1008, 3000, 3003),
    ),
    Symptom(
        "closed",
        "A message was larger than the receiver takes.",
        "Send smaller messages, or raise the server's limit.",
        codes=(1009,),
    ),
    Symptom(
        "closed",
        "The consumer failed with an exception: often Redis (down, wrong password, ACL), and about every 5 s on idle "
        "sockets with redis-py 8 and a channel layer without socket_timeout.",
        _LOOK_AT_LOG + " For 'Timeout reading': redis<8, or socket_timeout null in the channel layer's host.",
        codes=(1011,),
    ),
    Symptom(
        "closed",
        "The server, or a proxy, is overloaded or reached no backend.",
        "Look at the load and at the proxy's error log; try again later.",
        codes=(1013, 1014),
    ),
    Symptom(
        "closed",
        "The application accepted the connection and then turned it away: the token is missing, wrong, expired or not "
        "allowed here.",
        "Make a fresh token and try again; look in the consumer for this code.",
        codes=(4001, 4003, 4401, 4403),
    ),
    Symptom(
        "closed",
        "The application closed with a code of its own.",
        "Look in the consumer for this code.",
        codes=range(3000, 5000),
    ),
    Symptom("closed", "The server closed the connection.", "Look at the application's log at this second."),
    # -- a process that does not stay alive, by its last lines
    Symptom(
        "ended",
        "Redis forbids it a command, a key or a channel: it does not use the project's own user, prefix or database, "
        "as with a broker's address that is written into the code, or it needs a right that this user has not.",
        "Have it use the project's REDIS_URL (release_environment, release_secrets), or give a user of its own the "
        "rights that it needs: redis_extra_users.",
        text=r"NOPERM|NoPermission|has no permissions",
    ),
    Symptom(
        "ended",
        "Redis does not know the user or the password that it gives, or it gives none.",
        "Give it the channel layer's address, redis://USER:PASSWORD@HOST:PORT/0, under the name that the project reads "
        "(release_secrets); or a user of its own: redis_extra_users.",
        text=r"WRONGPASS|NOAUTH|AuthenticationError|invalid username-password|Authentication required",
    ),
    Symptom(
        "ended",
        "kombu and redis-py do not fit: this version of one wants another version of the other.",
        'release_constraints, such as ["redis<6"], or what the extra celery[redis] of the installed version asks for.',
        text=r"VersionMismatch|requires redis-py|kombu/transport/redis[\s\S]*(Attribute|Type|Import)Error",
    ),
    Symptom(
        "ended",
        "Two packages do not fit: one has not what the other imports.",
        'release_constraints, with the version that has it, such as ["PACKAGE<2"].',
        text=r"cannot import name|VersionConflict|DistributionNotFound|ContextualVersionConflict",
    ),
    Symptom(
        "ended",
        "A module is not installed, or is spelt otherwise in the command.",
        "release_packages, with the package that has it; or correct the command (asgi_workers).",
        text=r"No module named|ModuleNotFoundError",
    ),
    Symptom(
        "ended",
        "The command is not there.",
        "release_packages, with the package that brings it (release_system_packages for one of Debian's); or correct "
        "the command (asgi_workers).",
        text=r"command not found|: not found|status=(127|203)|Unknown command",
    ),
    Symptom(
        "ended",
        "It reaches no Redis, broker or database at its address.",
        "Compare the address in its settings with where that listens (release_environment, release_secrets); start it.",
        text=r"Connection refused|Errno 111|Error 111|Connect call failed|Name or service not known|"
        r"could not (connect|translate)|Error -[23] connecting",
    ),
    Symptom(
        "ended",
        "The database refuses it: its password, its name, or migrations that were not run.",
        "Compare the database's address with the project's (postgresql_url in release_secrets); release_migrate.",
        text=r"OperationalError|ProgrammingError|password authentication failed|no such table|does not exist",
    ),
    Symptom(
        "ended",
        "A setting or a variable of the environment is missing.",
        "release_environment, or release_secrets, under the name in its last lines.",
        text=r"ImproperlyConfigured|KeyError|UndefinedValueError|not found\. Declare it",
    ),
    Symptom(
        "ended",
        "It may not write where it writes: units see the code read-only.",
        "release_shared_paths, with that path.",
        text=r"Permission denied|Read-only file system|PermissionError",
    ),
    Symptom(
        "ended",
        "It was killed, most likely for its memory.",
        "Raise its limit (memory_max of the worker, asgi_memory_max), or have it take less.",
        text=r"status=9/KILL|code=killed|oom.kill|Out of memory|MemoryError|Killed",
    ),
    Symptom("ended", "Its last lines say no cause that is known.", "Read its log, and correct what it says."),
)


def of_log(lines: Sequence[str]) -> Symptom:
    """What the last lines of a process that has ended are a sign of."""
    text = "\n".join(lines)
    return next(symptom for symptom in SYMPTOMS if symptom.matches("ended", None, "", text))


def telling_line(lines: Sequence[str], symptom: Symptom) -> str:
    """The line that a symptom was known by, or the last one."""
    kept = [line.strip() for line in lines if line.strip()]
    known = (line for line in reversed(kept) if symptom.text and re.search(symptom.text, line, re.IGNORECASE))
    return next(known, kept[-1] if kept else "")
