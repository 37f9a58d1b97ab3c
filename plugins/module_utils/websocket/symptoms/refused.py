"""The server answered the handshake, but not with 101."""

from __future__ import annotations

from .symptom import LOOK_AT_LOG, Symptom

_UPGRADE_FIX = (
    "In the proxy's location for the WebSocket path: proxy_http_version 1.1, proxy_set_header Upgrade $http_upgrade, "
    "proxy_set_header Connection $connection_upgrade (with the map). Check every proxy in between."
)

REFUSED: tuple[Symptom, ...] = (
    Symptom(
        "refused",
        "The URL is not the final one: plain http is redirected to https, a slash is missing at the end of the path, "
        "or the path leads to a login page. WebSocket clients do not follow redirects.",
        "Use the address that the redirect names: wss:// instead of ws://, or the exact path of the route.",
        codes=(301, 302, 303, 307, 308),
    ),
    Symptom(
        "refused",
        "A plain WebSocket (ws://) reached a TLS port.",
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
        "The request line or a header is larger than the server accepts: a long token or many cookies.",
        "nginx: large_client_header_buffers, at least 4 16k. Or make the token shorter.",
        codes=(400,),
        text=r"too (large|long)",
    ),
    Symptom(
        "refused",
        "A proxy passed the request on without the Connection or Upgrade header, or the server needs another WebSocket "
        "version.",
        _UPGRADE_FIX,
        codes=(400, 426),
        text=r"connection.{0,40}upgrade|upgrade|websocket",
    ),
    Symptom(
        "refused",
        "The request arrived incomplete: a proxy lost the Connection or Upgrade header; or the host name is not in "
        "ALLOWED_HOSTS; or the token is too long for the proxy's header buffers.",
        _UPGRADE_FIX + " Then compare the host name with ALLOWED_HOSTS.",
        codes=(400,),
    ),
    Symptom(
        "refused",
        "Something in front of the application requires a login (basic authentication, a gateway), or the token is "
        "missing.",
        "Let the WebSocket path through without that login, or send an Authorization header.",
        codes=(401, 407),
    ),
    Symptom(
        "refused",
        "The application rejected the connection: the token is missing, wrong or expired; or the Origin is absent, or "
        "its host is not in ALLOWED_HOSTS (AllowedHostsOriginValidator).",
        "Make a fresh token and try again; then compare the Origin that was sent with ALLOWED_HOSTS. A firewall or a "
        "deny rule of the proxy also answers 403: check whether the connection is in the application's log.",
        codes=(403,),
    ),
    Symptom(
        "refused",
        "The Upgrade header was lost at a proxy, so the application saw a plain GET; or the server is not an ASGI "
        "server with WebSockets (it is gunicorn or uwsgi, runserver without daphne first in INSTALLED_APPS, or uvicorn "
        "without a WebSocket library); or the path has no route.",
        _UPGRADE_FIX + " On a process's own socket: run an ASGI server (daphne MODULE:application), and compare the "
        "path with the URL routes, including the slash at its end.",
        codes=(404, 405, 200),
    ),
    Symptom(
        "refused",
        "The token makes the URL longer than a server in between accepts.",
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
        "The proxy or the application limits the rate of requests.",
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
        "Redis no longer lets the application in: a wrong password, or a command that its ACL does not allow.",
        "Compare the channel layer's user and password with those in Redis, and the ACL with the layer's commands.",
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
        "The application failed while it opened the connection: there is no route for this path, Redis is down or its "
        "password is wrong, the database cannot be reached, or the consumer's connect() has an error.",
        LOOK_AT_LOG + " 'No route found' means the path, 'Error 111' means Redis, 'AuthenticationError' and "
        "'NoPermissionError' mean Redis's password and ACL.",
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
        "The limit of connections is reached (limit_conn), the site is in maintenance, or the proxy considers all "
        "backends dead.",
        "Compare the open sockets with the proxy's limits; end the maintenance mode; look at the proxy's error log.",
        codes=(503,),
    ),
    Symptom(
        "refused",
        "The application took too long to accept: its connect() waits for a database, Redis or another service, or "
        "its event loop is blocked.",
        "Find out what connect() waits for. If it must wait, raise proxy_read_timeout or the server's connect timeout.",
        codes=(408, 504, 524),
    ),
    Symptom(
        "refused",
        "What answered is not the WebSocket endpoint, or the endpoint does not accept this request.",
        "Compare the URL's host, port and path with the route of the consumer, and read the server's answer.",
    ),
)
