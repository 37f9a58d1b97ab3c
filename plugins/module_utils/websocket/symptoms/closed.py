"""A socket was open, and then closed."""

from __future__ import annotations

from .symptom import LOOK_AT_LOG, Symptom

CLOSED: tuple[Symptom, ...] = (
    Symptom(
        "closed",
        "The application ended the connection, or daphne's --websocket_timeout did (it closes active sockets too).",
        "Look for close() in the consumer; compare the server's WebSocket timeout.",
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
        "The client's message, or what a proxy made of it, does not follow the protocol or the consumer's format.",
        "Try the process's own socket; compare the message with what the consumer expects.",
        codes=(1002, 1003, 1007),
    ),
    Symptom(
        "closed",
        "The connection was cut without a close frame: the process died or was stopped (daphne cuts its sockets on "
        "SIGTERM), or a proxy's idle timeout ended it (60 s is nginx's default, 100 s a CDN's).",
        "Check whether the process restarted at that moment. If it did not, have the server send pings more often than "
        "the proxy's proxy_read_timeout.",
        codes=(1006,),
    ),
    Symptom(
        "closed",
        "A rule on the server forbids this connection or message.",
        "Look for this code in the consumer; check the token.",
        codes=(1008, 3000, 3003),
    ),
    Symptom(
        "closed",
        "A message was larger than the receiver accepts.",
        "Send smaller messages, or raise the server's limit.",
        codes=(1009,),
    ),
    Symptom(
        "closed",
        "The consumer failed with an exception: often Redis (down, wrong password, ACL), and about every 5 s on idle "
        "sockets with redis-py 8 and a channel layer without socket_timeout.",
        LOOK_AT_LOG + " For 'Timeout reading': install redis<8, or set socket_timeout: null for the layer's host.",
        codes=(1011,),
    ),
    Symptom(
        "closed",
        "The server or a proxy is overloaded, or a proxy reached no backend.",
        "Look at the load and at the proxy's error log; try again later.",
        codes=(1013, 1014),
    ),
    Symptom(
        "closed",
        "The application accepted the connection and then rejected it: the token is missing, wrong, expired or not "
        "allowed here.",
        "Make a fresh token and try again; look for this code in the consumer.",
        codes=(4001, 4003, 4401, 4403),
    ),
    Symptom(
        "closed",
        "The application closed the connection with its own code.",
        "Look for this code in the consumer.",
        codes=range(3000, 5000),
    ),
    Symptom("closed", "The server closed the connection.", "Look at the application's log at that moment."),
)
