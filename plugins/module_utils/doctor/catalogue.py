"""Everything that the doctor can find, with a stable code, the hop that it breaks, the cause and the fix. Data only.

`fix` and `cause` may hold `{names}`, which the diagnosis fills from what it saw. A code never changes its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass

#: The hops of a handshake in order, each with its name in a report.
HOPS: dict[str, str] = {
    "name": "Name",
    "tcp": "TCP",
    "tls": "TLS",
    "edge": "Edge proxy",
    "proxy": "App proxy",
    "process": "Process",
    "import": "ASGI import",
    "token": "Token",
    "origin": "Origin and route",
    "layer": "Channel layer",
    "idle": "Idle time",
}


@dataclass(frozen=True)
class Entry:
    """One thing that can be found. `code` begins with E (an error), W (a warning) or N (a note)."""

    code: str
    hop: str
    title: str
    cause: str
    fix: str

    @property
    def severity(self) -> str:
        """`error`, `warning` or `note`."""
        return {"E": "error", "W": "warning", "N": "note"}[self.code[0]]


UPGRADE_LINES = (
    "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
    "proxy_set_header Connection $connection_upgrade; and, once in the http block: "
    "map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}"
)

_ENTRIES = (
    # --- the way there
    Entry("E001_NAME", "name", "The host name has no address",
          "The name is misspelt, or has no DNS record yet.",
          "Correct the name in the URL, or add its DNS record: dig +short {host}"),
    Entry("E011_TCP_REFUSED", "tcp", "The port is closed",
          "Nothing listens on this port of this address: the proxy listens on another address or port, or a firewall "
          "rejects the connection.",
          "On the host: ss -ltnp 'sport = :{port}'; then the proxy's listen line, or the firewall's rule for {port}"),
    Entry("E012_TCP_FILTERED", "tcp", "The address does not answer",
          "A firewall drops the packets, the host is down, or there is no route.",
          "Allow this machine: ufw allow {port}/tcp, nft or the provider's security group; then check the address"),
    Entry("E021_CERT_EXPIRED", "tls", "The certificate has expired",
          "It was not renewed, or it was and the proxy was not reloaded; or the clock of this machine is wrong.",
          "certbot renew && systemctl reload nginx; then find out why its timer did not: systemctl list-timers"),
    Entry("E022_CERT_NAME", "tls", "The certificate is for another name",
          "The certificate does not include the name in the URL.",
          "Use a name that the certificate has, or get one for this: certbot --nginx -d {host}"),
    Entry("E023_CERT_CHAIN", "tls", "The certificate's chain is incomplete",
          "The proxy serves its own certificate without the intermediate one, {issuer}. Browsers may have it cached; "
          "other clients do not.",
          "ssl_certificate /etc/letsencrypt/live/{host}/fullchain.pem; in place of cert.pem"),
    Entry("E024_CERT_UNTRUSTED", "tls", "The certificate's authority is not trusted",
          "It is self-signed, or from a private authority that this machine does not know: {issuer}.",
          "Get one from a public authority (certbot --nginx -d {host}), or give clients your authority's certificate"),
    Entry("E025_PORT_SPEAKS_HTTP", "tls", "The port speaks plain HTTP",
          "The client uses wss://, but the port does not use TLS.",
          "listen {port} ssl; in the proxy's server block, or ws:// in the URL"),
    Entry("E026_TLS", "tls", "TLS could not be set up",
          "The server has no certificate for this name, or shares no TLS version with this machine.",
          "openssl s_client -connect {host}:{port} -servername {host}"),
    Entry("E027_PORT_SPEAKS_TLS", "edge", "The port speaks TLS",
          "The client uses ws://, but the port expects TLS.",
          "Use wss://{host}:{port} in place of ws:// in the client"),
    Entry("E028_MIXED_CONTENT", "edge", "ws:// from an https page",
          "Browsers block unencrypted sockets on https pages (Mixed Content). The request never leaves the browser.",
          "In the page: const scheme = location.protocol === 'https:' ? 'wss' : 'ws'"),
    Entry("W029_CERT_EXPIRES_SOON", "tls", "The certificate expires soon",
          "It expires in {days} days, and has not been renewed yet.",
          "{renew}"),
    Entry("E031_RENEWAL_FAILED", "tls", "The certificate was not renewed",
          "The last attempt to renew it failed. The present certificate works until it expires. Usually, a name leads "
          "elsewhere, or the authority cannot reach port 80.",
          "Fix what is reported here, then on the host: /usr/local/sbin/channels-renew; full log: "
          "/var/log/letsencrypt"),
    Entry("E032_CERT_NOT_SERVED", "tls", "nginx does not serve the present certificate",
          "A new certificate was installed, but nginx did not reload, for example because it refused its "
          "configuration.",
          "nginx -t && systemctl reload nginx; on an edge: systemctl reload haproxy"),
    Entry("E033_RENEWAL_OFF", "tls", "Nothing renews the certificate",
          "The renewal timer (or cron job, if systemd does not run) is off.",
          "{on}"),
    # --- processes
    Entry("E101_RUNSERVER", "process", "The server is runserver, without Daphne",
          "Django's development server does not support WebSockets unless daphne is first in INSTALLED_APPS: a "
          "handshake gets 404.",
          "Serve with: daphne {application}. For development, put \"daphne\" first in INSTALLED_APPS"),
    Entry("E102_WSGI", "process", "The server is a WSGI server",
          "{server} answers HTTP but does not support WebSockets: a handshake gets 404 or 200.",
          "Serve with: daphne {application} in place of: {server}"),
    Entry("E103_SERVER_MISSING", "process", "The server is not installed",
          "The command that starts the server is not in the project's environment.",
          "Add {server} to the project's requirements and deploy, or: {venv}/bin/pip install {server}"),
    Entry("E104_NOT_RUNNING", "process", "The process is not running",
          "It was stopped, was never started, or exited and was not restarted.",
          "{start}"),
    Entry("E105_CRASH_LOOP", "process", "The process crashes again and again",
          "It exits soon after each start; its last log line says why.",
          "{log}"),
    Entry("E106_OUT_OF_MEMORY", "process", "The process ran out of memory and was killed",
          "The kernel killed it: it grew beyond its unit's limit or the host's memory.",
          "Raise the limit (asgi_memory_max, or MemoryMax= of the unit) or run fewer processes: {log}"),
    Entry("E107_STALE_SOCKET", "process", "The unix socket is left over",
          "The socket's file exists, but no process listens on it: its process was killed.",
          "Start the process, which replaces the file: {start}"),
    Entry("E108_STALE_LOCK", "process", "A stale lock keeps the process from listening",
          "daphne keeps a lock file next to its unix socket. A killed process leaves it behind.",
          "Remove it before each start: ExecStartPre=/bin/rm -f {socket} {socket}.lock"),
    Entry("E109_TWO_SERVERS", "process", "Two servers want the same port",
          "One of them has the address. The other one cannot start, or gets half of the connections.",
          "Stop the wrong one: {listeners}"),
    Entry("E110_OPEN_FILES", "process", "The process has too many open files",
          "Each socket is an open file. The process is at its limit ({limit}), so further connections are reset.",
          "LimitNOFILE=65536 in the unit (asgi_open_files), then systemctl daemon-reload and a restart"),
    Entry("E111_SERVER_SILENT", "process", "The process accepts connections, but does not answer",
          "Its event loop is blocked, it is still starting, or connect() waits for a database, Redis or another "
          "service.",
          "Find out what it waits for: py-spy dump --pid {pid}; {log}"),
    Entry("E112_NO_WEBSOCKET_LIBRARY", "process", "The server has no WebSocket library",
          "Without websockets or wsproto, or with --ws none, uvicorn treats a handshake as plain HTTP.",
          "{venv}/bin/pip install 'uvicorn[standard]', and remove --ws none"),
    Entry("E113_SOCKET_PERMISSION", "process", "The proxy has no permission to open the unix socket",
          "The mode of the socket or of its folder does not let the proxy's user in.",
          "chgrp www-data {socket} && chmod 660 {socket}; and in daphne's endpoint: unix:{socket}:mode=660"),
    Entry("E114_ENVIRONMENT_STALE", "process", "Processes run with an old environment",
          "{names} changed on the disk after the processes had started, so tokens and passwords differ.",
          "If the values on disk are right: {restart}. On a host of this bundle they belong in release_environment "
          "and release_secrets: ansible-playbook playbooks/deploy.yml"),
    Entry("W115_RUNSERVER_SERVES", "process", "The server is runserver",
          "With daphne in INSTALLED_APPS it supports WebSockets, but it is a development server: one process, which "
          "reloads.",
          "Serve with: daphne {application}"),
    Entry("W116_DAPHNE_OLD", "process", "This daphne has known vulnerabilities",
          "Versions before 4.2.2 are vulnerable to CVE-2026-44545 (unbounded messages) and CVE-2026-44546 (headers).",
          "daphne>=4.2.2 in the project's requirements"),
    Entry("E117_NOT_DEPLOYED", "process", "Nothing has been deployed yet",
          "{home}/live does not exist, and no server runs on this host.",
          "ansible-playbook site.yml"),
    Entry("E118_STARTING", "process", "The process is still starting",
          "It started {age} s ago and does not listen yet. It is importing the project, or waiting for a database or "
          "another service.",
          "Ask again in a minute. If nothing changes, its log says what it waits for: {log}"),
    Entry("W119_WSGI_DOWN", "process", "Plain HTTP is not answered",
          "The gunicorn next to the ASGI processes (asgi_http: wsgi) does not run or does not answer. Sockets still "
          "open, but pages get 502 or 504.",
          "{app}-generations start {generation}; its latest messages: {app}-generations logs {generation}"),
    Entry("W120_SHARED_PATH", "process", "A shared path is not shared",
          "A path of release_shared_paths is not as the deploy left it: it is not a link, it points to nothing, or the "
          "project may not write there. Writes fail, or are lost with the release.",
          "On the host: {mend}"),
    Entry("E121_PROCESS_UNSTEADY", "process", "A process does not stay alive",
          "It is not running, exited during the examination, or was restarted three times or more, last within a "
          "minute: {what}. {likely}", "{fix} Its full log: {logs}"), Entry("E122_WORKER_UNSTEADY", "process", "A "
          "worker does not stay alive",
          "Sockets still open, but its work is not done. It is not running, exited during the examination, or was "
          "restarted three times or more, last within a minute: {what}. {likely}",
          "{fix} Its full log: {logs}"),
    Entry("W123_STARTED_AGAIN", "process", "A process was restarted",
          "It exited within the last hour, and was restarted: {what}.",
          "See its earlier messages: {logs}"),
    # --- import
    Entry("E201_ASGI_MODULE", "import", "The ASGI module was not found",
          "The module of the ASGI path cannot be imported: it is misspelt, or the working directory is not the folder "
          "that holds manage.py.",
          "Correct the path (asgi_application) or the folder: cd FOLDER-OF-manage.py && daphne {application}"),
    Entry("E202_ASGI_ATTRIBUTE", "import", "The ASGI module has no such attribute",
          "The module imports, but does not contain the name after the colon.",
          "asgi_application: {module}:application, as Django's startproject writes it"),
    Entry("E203_APPS_NOT_READY", "import", "Consumers are imported too early",
          "AppRegistryNotReady: the ASGI module imports consumers or models before get_asgi_application() has set "
          "Django up.",
          "In {module}: django_application = get_asgi_application() first, then the imports of routing and consumers"),
    Entry("E204_IMPORT_ERROR", "import", "The ASGI application cannot be imported",
          "Importing it raises: {error}",
          "Correct it. To reproduce it: python -c 'import {module}' in the project's folder and environment"),
    Entry("E205_ASGI_PATH", "import", "The ASGI path has the wrong form",
          "Servers need module:attribute; Django's ASGI_APPLICATION needs dots only.",
          "daphne {module}:application on the command line, ASGI_APPLICATION = \"{module}.application\" in settings"),
    # --- proxies
    Entry("E301_UPGRADE_LOST", "proxy", "The proxy drops the Upgrade header",
          "nginx passes neither Upgrade nor Connection on by itself, so the server sees a plain GET and answers 404.",
          "In {where}: " + UPGRADE_LINES),
    Entry("E302_CONNECTION_LOST", "proxy", "The proxy drops the Connection header",
          "Upgrade arrives but Connection: upgrade does not, so the request is not a handshake: 400 or 404.",
          "In {where}: " + UPGRADE_LINES),
    Entry("E303_HTTP10", "proxy", "The proxy uses HTTP/1.0 to the server",
          "This is nginx's default for upstreams before 1.29.7. WebSockets need HTTP/1.1.",
          "In {where}: " + UPGRADE_LINES),
    Entry("E304_HEADER_BUFFERS", "proxy", "The token is too long for the proxy's buffers",
          "The request line, which contains the token, is longer than large_client_header_buffers allows: 414 or 400.",
          "In {where}: large_client_header_buffers 4 16k; (nginx_header_buffers)"),
    Entry("E305_REDIRECT_HTTPS", "edge", "The handshake is redirected to https",
          "The answer is {status} with Location: {location}. WebSocket clients do not follow redirects.",
          "Use {location_ws} in the client"),
    Entry("E306_REDIRECT_PATH", "edge", "The handshake is redirected to another path",
          "The answer is {status} with Location: {location}. Usually, a slash is missing at the end. WebSocket clients "
          "do "
          "not follow redirects.",
          "Use {location_ws} in the client, or add a route for the requested path"),
    Entry("E307_UPSTREAM_ELSEWHERE", "proxy", "The proxy connects to an address where nothing listens",
          "The server is running, but does not listen at {upstream}.",
          "Point proxy_pass or its upstream to {listening}, then nginx -t && systemctl reload nginx"),
    Entry("E308_PROXY_DOWN", "proxy", "The proxy is not running",
          "nginx is installed, but no process of it is running.",
          "nginx -t && systemctl start nginx"),
    Entry("E309_PROXY_CONFIG", "proxy", "The proxy's configuration has an error",
          "nginx -t: {error}",
          "Correct it, then: nginx -t && systemctl restart nginx"),
    Entry("E310_PROXY_REFUSES", "edge", "Something in front of the application refuses the handshake",
          "The server accepts the handshake, but a proxy, a firewall or a login in front of it answers {status}.",
          "Let the WebSocket path through: look for deny, auth_basic and limit_ lines in {where}"),
    Entry("E311_LIMIT", "edge", "A limit of the proxy was reached",
          "{status}: limit_req or limit_conn has been reached, or maintenance is on.",
          "Raise limit_req and limit_conn for the WebSocket path in {where}; or switch maintenance off"),
    Entry("E312_EDGE", "edge", "A proxy in front loses the handshake",
          "It works on the host itself, but from outside the answer is {status}: a load balancer, CDN or proxy in "
          "between drops the upgrade.",
          "In that proxy, for the WebSocket path: " + UPGRADE_LINES),
    Entry("E313_PATH_NOT_PROXIED", "proxy", "The proxy does not pass this path on",
          "No location in the proxy passes {path} to a server. The proxy itself answers {status}.",
          "In {where}: location {path} {{ proxy_pass http://…; and " + UPGRADE_LINES + " }}"),
    Entry("E315_NGINX_ORIGINS", "edge", "nginx refuses the Origin",
          "nginx_origins does not include {origin}, so nginx did not ask the project.",
          "Add {origin} to nginx_origins if that page may open sockets. The list replaces the default, so include the "
          "site's own origins"),
    Entry("N314_HTTP2", "tls", "HTTP/2 is offered",
          "nginx does not support WebSockets over HTTP/2 (extended CONNECT), so browsers open HTTP/1.1 connections for "
          "them.",
          "Nothing: this is how it should be"),
    # --- token, Origin, route
    Entry("E401_NO_TOKEN", "token", "The application requires a token, and none was sent",
          "The handshake without a token is refused with {status}.",
          "Send one: ?token=… in the URL. For the doctor: doctor_token_command, or a URL with a token"),
    Entry("E402_TOKEN_BAD", "token", "The token is refused",
          "The token has not expired, but the application refuses it with {status}: it is signed with another secret, "
          "for another audience, or for a user who has no access.",
          "Create a new one on the host that serves. Compare the signing secrets of issuer and server"),
    Entry("E403_TOKEN_EXPIRED", "token", "The token has expired",
          "It expired {ago}.",
          "Have the client fetch a new token before each connection, including reconnections"),
    Entry("E404_NO_ROUTE", "origin", "The path has no consumer",
          "URLRouter: No route found for path. Slashes at both ends count.",
          "In routing.py: re_path(r\"^{pattern}$\", MyConsumer.as_asgi()), or correct the client's path"),
    Entry("E405_ORIGIN", "origin", "The Origin is refused",
          "AllowedHostsOriginValidator or a similar rule does not allow {origin}; a valid token from another Origin is "
          "accepted.",
          "Add the host of {origin} to ALLOWED_HOSTS (release_environment), and deploy"),
    Entry("E406_ALLOWED_HOSTS", "origin", "The Host header is refused",
          "Django answers 400 (DisallowedHost) to {host}.",
          "Add {host} to ALLOWED_HOSTS (release_environment), and deploy; nginx: proxy_set_header Host $http_host;"),
    Entry("W407_ORIGIN_UNCHECKED", "origin", "Any Origin is accepted",
          "Pages of any site can open sockets with their visitors' cookies (cross-site WebSocket hijacking).",
          "\"websocket\": AllowedHostsOriginValidator(…) around the URLRouter in the ASGI module; or, if sockets need "
          "no cookie and every site may open them, handshake_foreign_origin: \"\" in the inventory"),
    Entry("E408_CONSUMER_RAISES", "origin", "The consumer fails in connect()",
          "The handshake ends with {status}: {error}",
          "Correct the consumer; the traceback is in the log: {log}"),
    Entry("E409_CLOCK", "token", "The clocks differ",
          "The host's clock is {skew} s off, so new tokens are not yet valid, or valid ones have already expired.",
          "timedatectl set-ntp true (systemd-timesyncd or chrony) on the host whose clock is wrong"),
    Entry("W409_CLOCK", "token", "The clocks differ",
          "The host's clock is {skew} s off this machine's. Short-lived tokens will be refused.",
          "timedatectl set-ntp true (systemd-timesyncd or chrony) on the host whose clock is wrong"),
    Entry("E410_CONNECT_SLOW", "origin", "connect() takes too long",
          "daphne drops a handshake that is not accepted within --websocket_connect_timeout (5 s).",
          "Accept first and load later, or daphne --websocket_connect_timeout 20: {log}"),
    Entry("E411_TOKEN_COMMAND", "token", "No token could be created",
          "The command for a token failed: {error}",
          "Correct doctor_token_command (handshake_token_command), which runs in the project's folder and environment"),
    Entry("E417_HTTPS_LOOP", "origin", "Pages redirect to themselves",
          "SECURE_SSL_REDIRECT redirects every page to https, and Django takes https requests for plain HTTP.",
          "SECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\") in the settings: nginx sets that header "
          "itself"),
    Entry("W417_HTTPS_UNKNOWN", "origin", "Django takes https for plain HTTP",
          "Its links start with http://, and forms from {origin} are refused with 403.",
          "SECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\") in the settings: nginx sets that header "
          "itself"),
    Entry("E418_HTTPS_MISSING", "origin", "Pages redirect to https, which the site does not support",
          "SECURE_SSL_REDIRECT is on in the settings, but the site is at {origin}.",
          "certificate_source: acme (docs/tls.md); or SECURE_SSL_REDIRECT = False until the site has TLS"),
    Entry("W418_COOKIES_LOST", "origin", "Browsers do not send the session's cookie",
          "{names}: browsers send such a cookie only over https, but the site is at {origin}, so nobody stays logged "
          "in.",
          "certificate_source: acme (docs/tls.md); or set it to False until the site has TLS"),
    Entry("W419_CSRF_ORIGIN", "origin", "Django refuses the forms of the site's own pages",
          "It sees a different host than browsers do, and CSRF_TRUSTED_ORIGINS does not include {origin}: 403, "
          "\"Origin "
          "checking failed\".",
          "CSRF_TRUSTED_ORIGINS = [\"{origin}\"] in the settings"),
    Entry("W420_SESSION_EXPOSED", "origin", "The session's cookie goes over plain HTTP as well",
          "SESSION_COOKIE_SECURE is off, though the site has TLS: one request to http:// shows the cookie to the "
          "network.",
          "SESSION_COOKIE_SECURE = True in the settings"),
    Entry("W412_TOKEN_UNCHECKED", "token", "The socket opens without a token",
          "A handshake with {kind} token was accepted as well.",
          "Check the token before accept(). If nobody has to log in, leave the token out of the path"),
    Entry("E413_OTHER_SECRET", "token", "A new token is refused",
          "It was created with the environment on disk, but the processes refuse it: they run with another secret.",
          "ansible-playbook playbooks/deploy.yml (or restart the processes): {log}"),
    Entry("E414_TOKEN_LOGGED", "token", "A log contains the token",
          "Anybody who can read {logs} can open sockets in the name of others.",
          "Have nginx log $uri and not $request, and keep the server from logging queries"),
    Entry("E415_NOT_LOGGED", "proxy", "The access log does not show the handshake",
          "nginx does not log to {logs}, or the handshake did not reach it.",
          "access_log {logs} FORMAT; in the proxy's server block, with a format that hides tokens (docs/logs.md)"),
    Entry("E416_NO_ECHO", "origin", "The socket opens, but does not answer",
          "The consumer got a message that it should answer (handshake_send), but did not: {error}",
          "See the consumer's error: {log}"),
    # --- channel layer
    Entry("E501_REDIS_DOWN", "layer", "Redis does not answer",
          "It is not running, or listens elsewhere than the channel layer's address.",
          "systemctl start redis-server; then compare the channel layer's hosts with bind and port in redis.conf"),
    Entry("E502_REDIS_PASSWORD", "layer", "Redis refuses the password",
          "The channel layer's user or password does not match Redis's.",
          "Compare REDIS_URL with /etc/redis/users.acl or requirepass: ansible-playbook site.yml --tags redis,asgi"),
    Entry("E503_REDIS_ACL", "layer", "Redis forbids a command",
          "The ACL of the channel layer's user lacks a command, or is for another prefix.",
          "Compare the layer's prefix with redis_prefix, and its user in /etc/redis/users.acl: redis_extra_users"),
    Entry("E504_REDIS_DATABASE", "layer", "The Redis database is wrong",
          "The number at the end of REDIS_URL is out of range, or the processes use different ones.",
          "Use the same REDIS_URL for all processes, ending in /0, and deploy"),
    Entry("E505_REDIS_OLD", "layer", "Redis is too old",
          "channels_redis needs BZPOPMIN, which came with Redis 5.",
          "apt-get install redis-server (Debian 12 has 7.0); stop an older one that still uses the port"),
    Entry("W506_REDIS_EVICTS", "layer", "Redis drops messages when its memory is full",
          "maxmemory-policy is {policy}: messages and groups vanish silently.",
          "maxmemory-policy noeviction in {file}, then systemctl restart redis-server"),
    Entry("E507_REDIS_CLIENTS", "layer", "Redis accepts no more clients",
          "Redis has reached maxclients.",
          "maxclients 10000 in redis.conf (redis_maxclients), and LimitNOFILE of redis-server above it"),
    Entry("E508_LAYER_MEMORY", "layer", "Processes do not share a channel layer",
          "InMemoryChannelLayer reaches only the sockets of one process, but {count} processes serve.",
          "CHANNEL_LAYERS = {{\"default\": {{\"BACKEND\": \"channels_redis.pubsub.RedisPubSubChannelLayer\", …}}}}"),
    Entry("W509_CAPACITY", "layer", "Messages were dropped: over capacity",
          "A channel held more messages than the layer's capacity (100 in 60 s by default).",
          "\"capacity\": 1500 in the layer's CONFIG; find the consumer that reads too slowly"),
    Entry("E510_LAYER", "layer", "The channel layer does not carry a message",
          "{error}",
          "See CHANNEL_LAYERS in the project's settings: {log}"),
    Entry("E512_NOT_SHARED", "layer", "A message does not reach the other processes",
          "They do not share a channel layer, or the consumer does not pass the message on (handshake_broadcast).",
          "One layer of channels_redis for all, with the same Redis database and prefix: {log}"),
    Entry("E513_DATABASE", "layer", "The database does not answer",
          "The project's processes cannot connect to it: {error}",
          "Start it. Compare its address and password with the project's: systemctl start postgresql on its host; "
          "postgresql_url in release_secrets; then ansible-playbook site.yml"),
    Entry("W513_DATABASE", "layer", "The database does not answer",
          "The socket still opens, but the project cannot connect to its database: {error}",
          "Start it. Compare its address and password with the project's: systemctl start postgresql on its host; "
          "postgresql_url in release_secrets; then ansible-playbook site.yml"),
    Entry("E514_REDIS_TLS", "layer", "Redis and the project do not agree on TLS",
          "The project does not accept Redis's certificate, or only one of them uses TLS.",
          "REDIS_URL: \"{{{{ redis_url }}}}\" in release_secrets; then ansible-playbook site.yml (docs/stores.md)"),
    Entry("W515_STORE_CERT_EXPIRES", "layer", "The certificate of Redis or PostgreSQL expires soon",
          "The certificate of {place} ({name}) expires in {days} days. Any run of the bundle renews those of its own "
          "authority.",
          "ansible-playbook playbooks/provision.yml --tags stores,redis,postgresql"),
    Entry("W511_REDIS_TIMEOUT", "layer", "Redis cuts idle connections",
          "timeout is {timeout}, but consumers wait longer than that for a message.",
          "timeout 0 in {file}, then systemctl restart redis-server"),
    # --- idle
    Entry("E601_IDLE_PROXY", "idle", "The proxy cuts idle sockets",
          "A silent socket through the proxy was closed after {seconds} s, but one directly to the process stays open. "
          "proxy_read_timeout is {timeout}.",
          "In {where}: proxy_read_timeout 3600s; proxy_send_timeout 3600s; (nginx_websocket_timeout)"),
    Entry("E602_IDLE_BALANCER", "idle", "Something in front cuts idle sockets",
          "A silent socket from outside was closed after {seconds} s, but one on the host stays open.",
          "Raise the idle timeout of the load balancer or CDN, or have the client send a ping every {half} s"),
    Entry("E603_REDIS_PY_8", "idle", "redis-py cuts idle consumers",
          "redis-py {version} reads with a timeout of 5 s, as long as the core layer's own wait: silent sockets were "
          "closed with {close} after {seconds} s.",
          "redis<8 in the project's requirements, or socket_timeout 30 in the layer's hosts, or "
          "channels_redis.pubsub.RedisPubSubChannelLayer"),
    Entry("E604_IDLE_SERVER", "idle", "The server closes silent sockets",
          "Silent sockets directly to the process were closed with {close} after {seconds} s.",
          "Look for close() in the consumer, and check the server's --websocket_timeout: {log}"),
    Entry("E609_DEAF", "idle", "Silent sockets stay open, but no longer receive messages",
          "After {seconds} s of silence, a message was not answered: {error}. The consumer stopped silently, or "
          "something on the way dropped the connection.",
          "Look for the consumer's last error, and check firewalls and balancers on the way: {log}"),
    Entry("W605_READ_TIMEOUT", "idle", "The proxy's timeout is shorter than the server's ping",
          "proxy_read_timeout is {timeout} s and the server pings every {ping} s: silent sockets will be cut.",
          "In {where}: proxy_read_timeout 3600s; or --ping-interval below the timeout"),
    Entry("W606_REDIS_PY_8", "idle", "This redis-py may cut idle consumers",
          "With the core layer, redis-py {version} closes silent consumers after 5 s. The test was too short to see "
          "it.",
          "redis<8 in the project's requirements, or socket_timeout 30 in the layer's hosts, or "
          "channels_redis.pubsub.RedisPubSubChannelLayer"),
    Entry("E607_WEBSOCKET_TIMEOUT", "idle", "The server closes every socket after a while",
          "--websocket_timeout {limit} closes sockets at that age, even active ones. This one was closed after "
          "{seconds} s, with {close}.",
          "--websocket_timeout -1 (asgi_websocket_timeout)"),
    Entry("W608_WEBSOCKET_TIMEOUT", "idle", "The server will close every socket",
          "--websocket_timeout {limit} closes sockets after that many seconds, even active ones.",
          "--websocket_timeout -1 (asgi_websocket_timeout)"),
    # --- the examination itself
    Entry("E901_UNREACHABLE", "process", "The host cannot be examined",
          "SSH could not reach it: {error}",
          "ssh {name} true; correct ansible_host, the key, or the user in the inventory"),
    Entry("E902_NO_RIGHTS", "process", "Becoming root is not possible on the host",
          "Becoming root failed: {error}",
          "Use --ask-become-pass, or log in as root: -u root"),
    Entry("E903_NO_PYTHON", "process", "The host has no Python",
          "The examination on the host needs Python 3.10 or later: {error}",
          "apt-get install python3-minimal, or ansible_python_interpreter in the inventory"),
    Entry("W904_NOT_ROOT", "process", "Not everything could be seen",
          "The examination ran as {user}, who cannot see the processes, logs and configuration of others.",
          "Use --become, or log in as root: -u root"),
    Entry("E906_NO_LIBRARY", "process", "The proof's library is missing",
          "python3-wsproto is not installed on this host.",
          "apt-get install python3-wsproto"),
    Entry("E905_UNEXPLAINED", "process", "The handshake fails, and the cause was not found",
          "{what} {likely}",
          "{fix}"),
)  # fmt: skip

#: Errors that do not keep a handshake from succeeding.
BESIDE = frozenset(["E122_WORKER_UNSTEADY", "E031_RENEWAL_FAILED", "E032_CERT_NOT_SERVED", "E033_RENEWAL_OFF"])

CATALOGUE: dict[str, Entry] = {entry.code: entry for entry in _ENTRIES}
