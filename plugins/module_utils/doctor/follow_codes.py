"""What the doctor finds by asking the application and by following the port. Data only; a part of the catalogue."""

from __future__ import annotations

from .entry import Entry

FOLLOW_ENTRIES = (
    # --- the application
    Entry("E251_NO_WEBSOCKET", "import", "The ASGI object does not know WebSockets",
          "{application} knows {types} and nothing else, so the server answers a handshake with 500. {other}",
          "{serve}"),
    Entry("E252_NO_HTTP", "import", "The ASGI object does not know HTTP",
          "{application} knows {types}, so sockets open, but the server answers pages with 500.",
          "In {module}: \"http\": get_asgi_application() in the ProtocolTypeRouter; or let a WSGI server answer pages "
          "(asgi_http: wsgi)"),
    Entry("E441_ORIGIN_LIST", "origin", "The validator's own list lacks the Origin",
          "The ASGI object has an OriginValidator with a list of its own, so ALLOWED_HOSTS does not matter. It allows "
          "{origins}, and the page is {origin}. An entry with a scheme must match in scheme, host and port.",
          "In the OriginValidator of {module}: add \"{origin}\" to its list"),
    Entry("E442_MIDDLEWARE_ORDER", "origin", "The ASGI middleware is in the wrong order",
          "{error} The outer middleware has to come first: cookies, then session, then user.",
          "In {module}: AuthMiddlewareStack(…) around what needs the user, in place of {chain}"),
    Entry("E443_AS_ASGI", "origin", "The route has a consumer without as_asgi()",
          "The route of {path} leads to the class {consumer}, and not to an instance for each socket.",
          "In routing.py: {consumer}.as_asgi() in place of {consumer}"),
    Entry("E444_SUBPROTOCOL", "origin", "The socket opens without a subprotocol",
          "The client offers {offered}, and the answer chooses none. Browsers close such a socket at once.",
          "In the consumer: await self.accept(subprotocol=…) with one of self.scope[\"subprotocols\"]; or have the "
          "client offer none"),
    Entry("E449_NOT_LOGGED_IN", "token", "The application refuses visitors who are not logged in",
          "The handshake is refused with {status}. AuthMiddleware takes the user from the session's cookie, and this "
          "handshake had neither a cookie nor a token.",
          "Log in on a page of the same host first. For the doctor: doctor_headers: {{Cookie: sessionid=…}}"),
    Entry("E450_THREAD_BUSY", "origin", "A synchronous consumer waits",
          "{consumer} is synchronous, and all synchronous consumers of a process take turns on one thread. Either its "
          "own connect() takes too long, or a handler of any socket does, and holds up all others.",
          "Have handlers do nothing that waits: an AsyncWebsocketConsumer that awaits, or a task queue; until then, "
          "more processes: {log}"),
    Entry("E451_NEVER_ACCEPTS", "origin", "The consumer never accepts the socket",
          "connect() of {consumer} {why}. So the handshake gets no answer, and the server drops it after a while.",
          "In {place}: {mend}"),
    Entry("E452_TOKEN_UNREAD", "token", "Nothing in the project reads the token",
          "The handshake has a token, but users come from the session's cookie alone: neither the middleware nor "
          "{consumer} reads a token. So the user is anonymous, and the handshake is refused with {status}.",
          "In {module}: inside AuthMiddlewareStack, around the URLRouter, a middleware of your own that sets "
          "scope[\"user\"] from the token; or log in on a page of the same host, so that its cookie is sent"),
    Entry("E453_CONSUMER_CLOSES", "origin", "The consumer itself refuses the handshake",
          "connect() of {consumer} closes the socket ({status}), and reads neither a token nor a user.",
          "See the condition for close() at {lines}, with the path {path}"),
    Entry("E454_OTHER_PATH", "origin", "The project has no WebSocket at this path",
          "The project's URLRouter has no route for {path}. Its routes: {routes}.",
          "In the client's URL: a path that is among the routes; or in routing.py: a route for {path}"),
    Entry("E455_MIDDLEWARE_CLOSES", "origin", "Middleware of the project's own refuses the handshake",
          "The handshake is refused with {status}. {names} comes before {consumer}, whose connect() refuses nobody; "
          "its source reads no token (it has: {what}).",
          "See what {names} in {module} asks of a handshake. For the doctor: doctor_headers: {{NAME: VALUE}}"),
    Entry("E445_MIGRATIONS", "origin", "A table is missing in the database",
          "Migrations have not been applied to the database that the processes use: {error}",
          "In the project's folder and environment: python manage.py migrate"),
    # --- who listens on the port
    Entry("E361_APACHE_UPGRADE", "proxy", "Apache drops the Upgrade header",
          "This rule passes the path on as plain HTTP, so the server sees a plain GET: {rule}",
          "In {where}: {right}, {how}; then {module}systemctl reload apache2"),
    Entry("E362_APACHE_ORDER", "proxy", "An earlier rule of Apache takes the path",
          "Apache uses the first rule that fits, which is {rule}. The one for WebSockets comes later, at {later}.",
          "Move the line {later} above {where}; then systemctl reload apache2"),
    Entry("E363_APACHE_MODULE", "proxy", "Apache lacks a module",
          "The rule for the path needs mod_{module}, which is not loaded: {rule}",
          "a2enmod {module} && systemctl restart apache2"),
    Entry("E364_TUNNEL_TIMEOUT", "idle", "HAProxy cuts idle sockets",
          "{frontend} has no timeout tunnel, so timeout {which} holds for open sockets too: one that is silent for "
          "{limit} is closed.",
          "In {section}: timeout tunnel 1h; then systemctl reload haproxy"),
    Entry("W364_TUNNEL_TIMEOUT", "idle", "HAProxy will cut idle sockets",
          "{frontend} has no timeout tunnel, so timeout {which} holds for open sockets too, and one that is silent for "
          "{limit} will be closed.",
          "In {section}: timeout tunnel 1h; then systemctl reload haproxy"),
    Entry("E365_FRONT_NO_RULE", "proxy", "Nothing passes this path on",
          "{front} listens on port {port}, and no rule of its configuration leads {path} to a server.",
          "In {where}: {right}"),
    Entry("E366_FRONT_ELSEWHERE", "proxy", "The proxy passes the path to an address where nothing listens",
          "{front} connects to {upstream}, and the server listens at {listening}.",
          "In {where}: {listening} in place of {upstream}; then systemctl reload {service}"),
    Entry("E367_WRONG_SERVER", "proxy", "The proxy passes the path to the wrong server",
          "{upstream} is {wrong}, which does not support WebSockets. {right_server} runs as well, at {listening}, and "
          "is not asked.",
          "In {where}: pass {path} to {listening} in place of {upstream}"),
    Entry("E368_FRONT", "proxy", "The program in front loses the handshake",
          "{front} listens on port {port}. Asked directly, the server accepts the handshake; through {front}, it does "
          "not come about.",
          "{right}"),
    Entry("E369_FRONT_DOWN", "tcp", "The proxy is not running",
          "Nothing listens on port {port}. {unit} is installed on this host, and {state}.",
          "{start}"),
    Entry("E370_APACHE_PATH", "proxy", "Apache asks the server for another path",
          "The rule changes {path} into {asked}, for which the application has no consumer: {rule}",
          "In {where}: {right}, in place of it; then systemctl reload apache2"),
    Entry("E371_REDIRECT_LOOP", "edge", "The address redirects to itself",
          "The answer is {status} with Location: {location}, which is where the client came from. What redirects does "
          "not know that the client already uses TLS, because a proxy in front has ended it.",
          "In {where}: redirect only if $http_x_forwarded_proto is http, or remove the redirect"),
    Entry("E372_SOMETIMES", "proxy", "The handshake fails now and then",
          "{failed} of {count} handshakes through the proxy failed, and the others succeeded: one of several servers "
          "or addresses behind it is at fault.",
          "Try each address behind {where} by itself, and take out the one that fails"),
    Entry("E376_ONE_OF_SEVERAL", "proxy", "One of the servers behind the proxy is not the application",
          "{where} leads to {all}. At {bad}, {what} answers, which does not accept handshakes, so some fail.",
          "Take {bad} out of the upstream at {where}, or serve the application there"),
    Entry("E377_SEND_PROXY", "proxy", "The program in front sends the PROXY protocol, and nginx does not expect it",
          "{front} begins each connection to {upstream} with a line of the PROXY protocol, which nginx takes for a bad "
          "request.",
          "In {where}: remove send-proxy from its server lines; or in {line}: proxy_protocol in the listen line"),
    Entry("E378_HEALTH_CHECK", "proxy", "The program in front has taken its server out",
          "{front} sends nothing to the server, because its health check fails: {error}",
          "In {where}: option httpchk with a path and a Host that the server answers with 200; or no check"),
    Entry("E379_FRONT_PATH", "proxy", "The program in front asks the server for another path",
          "A client asks for {path}, and {front} asks the server for {asked}, for which the application has no "
          "consumer.",
          "In {where}: pass {path} on unchanged: {how}"),
    Entry("E373_ADDRESSES_DIFFER", "tcp", "One of the name's addresses does not serve",
          "{host} has the addresses {all}. At {bad}, the handshake fails: {why}",
          "Remove {bad} from the DNS records of {host}, or have the site served there"),
    Entry("E374_UNDERSCORES", "proxy", "A header with an underscore is dropped",
          "The handshake needs {names}, and {who} drops headers with an underscore in their name.",
          "{right}"),
    Entry("E375_SOCKET_HIDDEN", "process", "The proxy sees another folder at the socket's path",
          "{who} has a {folder} of its own (PrivateTmp), so {socket} is not the same for both.",
          "Put the socket below /run: RuntimeDirectory=app in the server's unit, /run/app/app.sock in its command and "
          "in the proxy"),
    Entry("E151_SUPERVISORD_DOWN", "process", "supervisor does not run, and it should start the server",
          "{program} in {file} is the server's program, but supervisord {state}.",
          "{start}"),
    Entry("E124_UNIT_CANNOT_START", "process", "systemd cannot start the server",
          "{unit} fails before the server's program runs: {why}.",
          "{mend}; then systemctl daemon-reload && systemctl restart {unit}"),
    Entry("E125_UNIT_NOT_RELOADED", "process", "The server runs with the former file of its unit",
          "{file} was changed, and {how}.",
          "systemctl daemon-reload && systemctl restart {unit}"),
    Entry("E126_NOBODY_BEHIND", "process", "Nobody answers behind the program on the server's port",
          "{who} listens at {places} and passes connections on. It accepts them, and nobody behind it answers. In a "
          "container, a server that listens on 127.0.0.1 can be reached from inside alone.",
          "In the container's command: daphne -b 0.0.0.0 -p PORT, with the port that is published; docker ps --filter "
          "publish={published} names the container, and docker logs says whether the server runs"),
    Entry("E132_NOT_PUBLISHED", "process", "The server's port is in a container, and not on this host",
          "{server} listens at {inside} in a network of its own, as in a container. Nothing on this host passes "
          "{places} on to it.",
          "Publish the port: ports: [\"127.0.0.1:{published}:{published}\"] in compose.yml, or docker run -p, with a "
          "server that listens on 0.0.0.0; or have the proxy lead to the container's own address"),
    Entry("E133_NEVER_READY", "process", "systemd waits for the server in vain, and then ends it",
          "{unit} has Type={type}, so its start is over only when the server {does}, which it never does. systemd ends "
          "it after TimeoutStartSec, 90 s by default, again and again.",
          "In {file}: Type=simple; then systemctl daemon-reload && systemctl restart {unit}"),
    Entry("E127_SOCKET_FOLDER", "process", "The server cannot make its unix socket",
          "The folder of {socket} is not there, or the server's user may not write to it. What is below /run is gone "
          "after each start of the machine.",
          "In the unit: RuntimeDirectory=NAME, and the socket in /run/NAME/, here and in the proxy. Without a unit of "
          "its own: echo 'd {folder} 0755 USER USER -' > /etc/tmpfiles.d/channels.conf && systemd-tmpfiles --create, "
          "with the server's user, and the socket in {folder}/"),
    Entry("E128_BIND_ADDRESS", "process", "The server is to listen at an address that this host does not have",
          "bind(2) fails: {error}",
          "In the server's command: -b 127.0.0.1 (daphne), --host 127.0.0.1 (uvicorn) or --bind 127.0.0.1:PORT "
          "(gunicorn), if the proxy is on the same host"),
    Entry("E129_PORT_DENIED", "process", "The server's user may not listen on this port",
          "bind(2) fails: {error}. Ports below 1024 are for root.",
          "In the unit: AmbientCapabilities=CAP_NET_BIND_SERVICE; or a port above 1023 in the server's command, and a "
          "proxy in front"),
    Entry("E130_WORKER_CLASS", "process", "gunicorn does not find its worker class",
          "{error}",
          "In gunicorn's command or settings: -k uvicorn_worker.UvicornWorker, with the packages uvicorn-worker and "
          "uvicorn[standard] in the project's environment"),
    Entry("E131_FD_UNIX", "process", "daphne takes the unix socket that it was given for TCP",
          "{command} gets {socket} from the program that starts it, by --fd. daphne can only take TCP that way, and "
          "closes each connection.",
          "In supervisor: socket=tcp://127.0.0.1:8000 in the [fcgi-program], and the same in the proxy; or a [program] "
          "with daphne -u {socket}, and neither socket= nor --fd"),
    Entry("W447_PAGE_FAILS", "origin", "A page of the site fails",
          "GET / is answered with {status}, while sockets open.",
          "See the application's error: {log}"),
    Entry("E448_CSP", "edge", "The page's policy forbids the socket",
          "Content-Security-Policy of {page} has {directive}, which does not allow {socket}: browsers do not even "
          "connect.",
          "connect-src 'self' {socket}; in that header, which {setter} sends"),
    # --- the channel layer
    Entry("E531_LAYER_TLS_OPTIONS", "layer", "The channel layer has TLS options, but its address is without TLS",
          "{options} is for rediss:// only. With {address}, redis-py raises a TypeError at each connection.",
          "In CHANNEL_LAYERS: remove {options}; or rediss:// in place of redis://, if Redis speaks TLS"),
    Entry("E532_LAYER_TLS", "layer", "The channel layer uses TLS, and Redis does not",
          "The layer's address is {address}, but what listens there does not speak TLS.",
          "In the layer's address (REDIS_URL): redis:// in place of rediss://; and remove its ssl_ options"),
    Entry("E533_REDIS_WANTS_TLS", "layer", "Redis uses TLS, and the channel layer does not",
          "What listens at {address} answers TLS only.",
          "In the layer's address (REDIS_URL): rediss:// in place of redis://"),
    Entry("E534_LAYER_HOST", "layer", "A URL stands where the layer expects a host name",
          "The channel layer takes {host} for a host's name.",
          "In CHANNEL_LAYERS: \"hosts\": [{right}]"),
    Entry("E535_REDIS_NAME", "layer", "The name of Redis's host has no address",
          "The channel layer asks for {host}, which this host cannot resolve: it is misspelt, or a name that exists "
          "only among containers.",
          "In the layer's address (REDIS_URL): the host's real name or address{instead}"),
    Entry("E536_REDIS_ELSEWHERE", "layer", "Redis listens elsewhere",
          "A Redis runs on this host and listens at {listening}, but the channel layer connects to {address}.",
          "In the layer's address (REDIS_URL): {listening} in place of {address}; or port and bind in redis.conf"),
    Entry("E538_REDIS_READONLY", "layer", "This Redis is a replica, which takes no messages",
          "The channel layer connects to a read-only replica: {error}",
          "In the layer's address (REDIS_URL): the primary's, which redis-cli info replication names; or, if this one "
          "is to be the primary: redis-cli replicaof no one"),
    Entry("E539_REDIS_FULL", "layer", "Redis is full",
          "Redis has reached maxmemory and takes no more messages: {error}",
          "maxmemory in redis.conf: more, or 0 for no limit (redis_maxmemory); redis-cli info memory shows the use"),
    Entry("E540_REDIS_CANNOT_SAVE", "layer", "Redis takes no messages because it cannot save",
          "Redis could not write its snapshot to the disk: {error}",
          "Free the disk and let Redis write to its folder (redis-cli config get dir); or, since messages need not be "
          "kept: stop-writes-on-bgsave-error no in redis.conf"),
    Entry("E541_LAYER_BACKEND", "layer", "The channel layer's backend cannot be imported",
          "{error}",
          "In CHANNEL_LAYERS: \"BACKEND\": \"channels_redis.core.RedisChannelLayer\", and channels_redis in the "
          "project's environment"),
    Entry("E542_REDIS_SOCKET_DENIED", "layer", "The project may not open Redis's unix socket",
          "Redis's socket refuses the server's user: {error}",
          "usermod -aG redis USER, for the user of the server's processes, and unixsocketperm 770 in redis.conf; then "
          "restart both"),
    Entry("E543_NO_LAYER", "layer", "The project has no channel layer",
          "The consumer uses self.channel_layer, which is None: the server's settings have no CHANNEL_LAYERS with a "
          "\"default\".",
          "In the settings: CHANNEL_LAYERS = {{\"default\": {{\"BACKEND\": "
          "\"channels_redis.core.RedisChannelLayer\", \"CONFIG\": {{\"hosts\": [(\"127.0.0.1\", 6379)]}}}}}}"),
    Entry("E544_REDIS_PROTECTED", "layer", "Redis is in protected mode",
          "Redis has no password, so it refuses connections that do not come from loopback: {error}",
          "requirepass PASSWORD in redis.conf, then systemctl restart redis-server, and the same password in the "
          "layer's address (REDIS_URL); or, if Redis is on the same host, 127.0.0.1 as the layer's host"),
    Entry("E546_REDIS_CLUSTER", "layer", "The channel layer's Redis is a cluster",
          "It answers as a node of Redis Cluster, which channels_redis does not support: {error}",
          "In the layer's address (REDIS_URL): a Redis without cluster mode, with replicas and Sentinel if it must not "
          "fail; of a provider's, the one with cluster mode disabled"),
    Entry("E547_DATABASE_FULL", "layer", "The database accepts no more connections",
          "All of its connections are taken: {error}",
          "Fewer for each process: CONN_MAX_AGE = 0 in DATABASES, and ASGI_THREADS in the server's environment; "
          "PgBouncer in between; or more in postgresql.conf: max_connections"),
    Entry("E537_LAYER_WORKERS", "layer", "The channel layer does not leave the process",
          "InMemoryChannelLayer reaches only sockets of the process that sends, and {workers} sends from a process of "
          "its own. Nothing arrives, and nothing is logged.",
          "CHANNEL_LAYERS = {{\"default\": {{\"BACKEND\": \"channels_redis.pubsub.RedisPubSubChannelLayer\", …}}}} for "
          "both"),
    Entry("E545_OTHER_LAYER", "layer", "A worker sends over another channel layer",
          "{worker} has another {name} than the server: {worker_place}, and not {server}. What it sends reaches no "
          "socket, and nothing is logged.",
          "{name}: the same for both, in the unit or the EnvironmentFile of {worker}; then restart it"),
    Entry("W537_LAYER_WORKERS", "layer", "The channel layer does not reach workers",
          "InMemoryChannelLayer reaches only sockets of the process that sends. {workers} runs beside it; what it "
          "sends would be lost.",
          "CHANNEL_LAYERS = {{\"default\": {{\"BACKEND\": \"channels_redis.pubsub.RedisPubSubChannelLayer\", …}}}} for "
          "both, if it is to send messages"),
)  # fmt: skip

#: What a code explains: these others are what the same fault looks like to rules that know less.
_GENERAL = ("E408_CONSUMER_RAISES", "E410_CONNECT_SLOW", "E111_SERVER_SILENT", "E905_UNEXPLAINED")
_SILENT = ("E111_SERVER_SILENT", "E410_CONNECT_SLOW")
_PROXY = (
    "E301_UPGRADE_LOST", "E302_CONNECTION_LOST", "E303_HTTP10", "E307_UPSTREAM_ELSEWHERE", "E310_PROXY_REFUSES",
    "E312_EDGE", "E313_PATH_NOT_PROXIED", "E905_UNEXPLAINED",
)  # fmt: skip
_LAYER = (*_GENERAL, "E501_REDIS_DOWN", "E510_LAYER", "E514_REDIS_TLS")
_TOKEN = ("E401_NO_TOKEN", "E402_TOKEN_BAD", "E413_OTHER_SECRET")
EXPLAINS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "E201_ASGI_MODULE",
            "E202_ASGI_ATTRIBUTE",
            "E203_APPS_NOT_READY",
            "E204_IMPORT_ERROR",
            "E205_ASGI_PATH",
            "E206_SETTINGS_MODULE",
            "E207_NO_SETTINGS",
            "E130_WORKER_CLASS",
        ),
        _SILENT,
    ),
    "E251_NO_WEBSOCKET": (*_GENERAL, "E252_NO_HTTP", "E301_UPGRADE_LOST", "E312_EDGE", *_TOKEN),
    "E358_SITE_NOT_ENABLED": (
        *_PROXY,
        "E011_TCP_REFUSED",
        "E305_REDIRECT_HTTPS",
        "E306_REDIRECT_PATH",
        "E354_RULE_ANSWERS",
    ),
    "E361_APACHE_UPGRADE": _PROXY,
    "E362_APACHE_ORDER": _PROXY,
    "E363_APACHE_MODULE": _PROXY,
    "E364_TUNNEL_TIMEOUT": ("E601_IDLE_PROXY", "E602_IDLE_BALANCER"),
    "E365_FRONT_NO_RULE": _PROXY,
    "E366_FRONT_ELSEWHERE": (*_PROXY, "E104_NOT_RUNNING"),
    "E377_SEND_PROXY": _PROXY,
    "E378_HEALTH_CHECK": (*_PROXY, "E368_FRONT"),
    "E379_FRONT_PATH": (*_PROXY, "E368_FRONT", "E404_NO_ROUTE"),
    "E367_WRONG_SERVER": ("E101_RUNSERVER", "E102_WSGI", *_PROXY),
    "E368_FRONT": _PROXY,
    "E369_FRONT_DOWN": ("E011_TCP_REFUSED", "E905_UNEXPLAINED"),
    "E370_APACHE_PATH": (*_PROXY, "E404_NO_ROUTE", "E379_FRONT_PATH"),
    "E371_REDIRECT_LOOP": ("E305_REDIRECT_HTTPS", "E306_REDIRECT_PATH", "E312_EDGE"),
    "E372_SOMETIMES": _PROXY,
    "E376_ONE_OF_SEVERAL": ("E102_WSGI", "E367_WRONG_SERVER", "E372_SOMETIMES", "E404_NO_ROUTE", *_PROXY),
    "E374_UNDERSCORES": (*_PROXY, "E401_NO_TOKEN", "E402_TOKEN_BAD"),
    "E375_SOCKET_HIDDEN": ("E113_SOCKET_PERMISSION", "E307_UPSTREAM_ELSEWHERE", "E104_NOT_RUNNING", *_PROXY),
    "E102_WSGI": ("E408_CONSUMER_RAISES",),
    "E109_TWO_SERVERS": ("E101_RUNSERVER", "E102_WSGI"),
    "E127_SOCKET_FOLDER": _GENERAL,
    "E128_BIND_ADDRESS": _GENERAL,
    "E133_NEVER_READY": ("E104_NOT_RUNNING", "E105_CRASH_LOOP", "E118_STARTING", "E121_PROCESS_UNSTEADY", *_GENERAL),
    "E131_FD_UNIX": (*_GENERAL, "E113_SOCKET_PERMISSION"),
    "E126_NOBODY_BEHIND": (*_GENERAL, "E312_EDGE"),
    "E125_UNIT_NOT_RELOADED": ("E104_NOT_RUNNING", "E307_UPSTREAM_ELSEWHERE"),
    "E151_SUPERVISORD_DOWN": ("E104_NOT_RUNNING", "E107_STALE_SOCKET", "E201_ASGI_MODULE", "E905_UNEXPLAINED"),
    "E441_ORIGIN_LIST": ("E405_ORIGIN", "E401_NO_TOKEN", "E402_TOKEN_BAD", "E413_OTHER_SECRET"),
    "E442_MIDDLEWARE_ORDER": _GENERAL,
    "E443_AS_ASGI": _GENERAL,
    "E445_MIGRATIONS": _GENERAL,
    "E449_NOT_LOGGED_IN": ("E401_NO_TOKEN",),
    "E450_THREAD_BUSY": _GENERAL,
    "E451_NEVER_ACCEPTS": (*_GENERAL, "E450_THREAD_BUSY"),
    "E452_TOKEN_UNREAD": (*_TOKEN, "E403_TOKEN_EXPIRED", "E409_CLOCK"),
    "E453_CONSUMER_CLOSES": (*_TOKEN, "E403_TOKEN_EXPIRED", "E409_CLOCK", "E449_NOT_LOGGED_IN"),
    "E454_OTHER_PATH": ("E101_RUNSERVER", "E102_WSGI", "E367_WRONG_SERVER", *_PROXY),
    "E455_MIDDLEWARE_CLOSES": (*_TOKEN, "E403_TOKEN_EXPIRED", "E409_CLOCK", "E449_NOT_LOGGED_IN"),
    "E513_DATABASE": _GENERAL,
    "E546_REDIS_CLUSTER": _LAYER,
    "E547_DATABASE_FULL": (*_GENERAL, "E513_DATABASE"),
    "E514_REDIS_TLS": (*_GENERAL, "E510_LAYER"),
    "E541_LAYER_BACKEND": (*_LAYER, "E201_ASGI_MODULE", "E202_ASGI_ATTRIBUTE", "E204_IMPORT_ERROR"),
    "E542_REDIS_SOCKET_DENIED": _LAYER,
    "E543_NO_LAYER": _GENERAL,
    "E544_REDIS_PROTECTED": (*_LAYER, "E502_REDIS_PASSWORD"),
    "E531_LAYER_TLS_OPTIONS": _LAYER,
    "E532_LAYER_TLS": _LAYER,
    "E533_REDIS_WANTS_TLS": _LAYER,
    "E534_LAYER_HOST": _LAYER,
    "E535_REDIS_NAME": _LAYER,
    "E536_REDIS_ELSEWHERE": _LAYER,
}
