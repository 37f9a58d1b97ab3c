"""Random configurations of nginx, and what really arrives behind them: the measure for the doctor's idea of nginx."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

ECHO, FIRST = 19990, 20001
#: Paths with their queries, as a client would ask for them.
TARGETS = (
    "/", "/ws", "/ws/", "/ws/chat/", "/ws/chat/?token=a%2Fb&x=1", "/ws/chat", "/WS/chat/", "/ws//chat/", "/ws/a%20b/?",
    "/other/x.json?a=1", "/ws/chat/../x/", "/live/room/7?flag", "/other/",
)  # fmt: skip
HEADERS = (
    ("Host", "{name}:{port}"), ("User-Agent", "doctor"), ("Upgrade", "websocket"), ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13"), ("Cookie", "a=1; b=2"),
    ("Origin", "http://localhost"), ("X_Token", "underscored"), ("TE", "trailers"),
)  # fmt: skip
_PREFIXES = ("/", "/ws", "/ws/", "/ws/chat/", "^~ /ws/", "= /ws/chat/", "= /ws/", "/other/", "/live/room")
_EXPRESSIONS = (r"~ ^/ws/(.*)$", r"~* \.JSON$", r"~ chat", r"~ ^/live/(?<room>\w+)/(\d+)", r"~* ^/WS/")
_LINES = (
    "proxy_http_version 1.1;", "proxy_set_header Upgrade $http_upgrade;", "proxy_set_header Connection $up;",
    'proxy_set_header Connection "upgrade";', "proxy_set_header Host $host;", "proxy_set_header Host $http_host;",
    "proxy_set_header X-Real $remote_addr;", 'proxy_set_header Origin "";', "proxy_set_header X-A one;",
    "proxy_set_header X-A two;", "proxy_set_header X-Arg $arg_token$mine;", "proxy_set_header cookie $cookie_b;",
    "underscores_in_headers off;", "proxy_set_header X-For $proxy_add_x_forwarded_for;", "proxy_http_version 1.0;",
    "proxy_pass_request_headers off;", "proxy_set_header X-Named $named$uri$is_args$args;",
    "proxy_set_header X-Net $net;",
)  # fmt: skip
_RULES = (
    "rewrite ^/ws/(.*)$ /$1 break;", "rewrite ^/ws/(.*)$ /live/$1;", "rewrite ^/ws/(.*)$ /other/$1 last;",
    "rewrite ^/live/(.*)$ /y/$1?more=1 break;", "rewrite ^/other/ /z? break;", "set $mine $uri;", "break;",
    "rewrite ^/WS/(.*) /ws/$1 permanent;", "if ($http_upgrade = websocket) { set $mine up; }",
    "if ($arg_token) { rewrite ^ /tokened break; }", "if ($args ~ ^a=(\\d)) { set $mine $1; }",
    "if ($request_uri ~* room) { proxy_pass http://echo; }", "if ($uri = /other/) { return 403; }",
    "if ($http_origin != http://localhost) { return 404; }", "if ($mine) { return 302 /again$is_args$args; }",
)  # fmt: skip
_PASSES = (f"http://127.0.0.1:{ECHO}", "http://echo", "http://$up_name", f"http://127.0.0.1:{ECHO}$request_uri")
_TAILS = ("/", "/x", "/ws/", "/x?q=1", "/deep/er/")
_ENDS = (
    "return 204;",
    "return 301 /z$is_args$args;",
    "return 418;",
    "try_files /none @named;",
    "try_files /none =405;",
)


@st.composite
def _body(draw: Any, plain: bool) -> list[str]:
    """What a location does: lines, rules and an end. Only plain prefixes may have a path in their proxy_pass."""
    lines = draw(st.lists(st.sampled_from(_LINES), max_size=4))
    lines = [*dict.fromkeys(line for line in lines if not line.startswith("underscores"))]
    if "proxy_http_version 1.0;" in lines and "proxy_http_version 1.1;" in lines:
        lines.remove("proxy_http_version 1.0;")
    lines += draw(st.lists(st.sampled_from(_RULES), max_size=2))
    kind = draw(st.integers(0, 9))
    if kind < 7:
        target = draw(st.sampled_from(_PASSES))
        tail = draw(st.sampled_from(_TAILS)) if plain and kind < 3 and "$" not in target else ""
        lines.append(f"proxy_pass {target}{tail};")
    elif kind < 9:
        lines.append(draw(st.sampled_from(_ENDS)))
    return lines


@st.composite
def _location(draw: Any, words: str, nested: bool = True) -> list[str]:
    exact, expression = words.startswith("="), words.startswith("~")
    body = draw(_body(not expression))
    if nested and not exact and draw(st.integers(0, 2)) == 0:
        prefix = words.split()[-1]
        inside = [one for one in _PREFIXES if one.split()[-1].startswith(prefix) and one.split()[-1] != prefix]
        choices = [*_EXPRESSIONS, *([] if expression else inside)]
        chosen = draw(st.lists(st.sampled_from(choices), max_size=2, unique_by=lambda one: one.split()[-1]))
        for one in chosen:
            body += draw(_location(one, nested=False))
    return [f"location {words} {{", *(f"    {line}" for line in body), "}"]


@st.composite
def server(draw: Any) -> list[str]:
    """The inside of a server block."""
    lines = [one for one in draw(st.lists(st.sampled_from(_LINES[:-4]), max_size=3, unique=True))
             if not one.startswith("proxy_http_version 1.0")]  # fmt: skip
    lines += draw(st.lists(st.sampled_from([one for one in _RULES if "proxy_pass" not in one]), max_size=1))
    lines += ["set $up_name echo;", 'set $mine "";'] if draw(st.booleans()) else ['set $mine "";', "set $up_name echo;"]
    if draw(st.integers(0, 3)) == 0:
        lines.append("error_page 418 = @named;")
    chosen = draw(st.lists(st.sampled_from([*_PREFIXES, *_EXPRESSIONS]), min_size=1, max_size=5,
                           unique_by=lambda one: (one[0] == "=", one.split()[-1])))  # fmt: skip
    for words in chosen:
        lines += draw(_location(words))
    return [*lines, "location @named {", "    proxy_set_header X-Named yes;", "    proxy_pass http://echo;", "}"]


def names_of(number: int) -> list[tuple[str, ...]]:
    """The names of the servers on one port: the first is the default, and two have the same."""
    return [("one.example.org", "*.wild.org"), ("two.example.org", ".dotted.org", "first.*"),
            ("two.example.org",), ("~^re\\d+\\.", "_")][: 1 + number % 4]  # fmt: skip


ASKED_NAMES = ("one.example.org", "two.example.org", "a.wild.org", "dotted.org", "x.dotted.org", "first.net",
               "re12.net", "nobody.net", "127.0.0.1")  # fmt: skip


def configuration(bodies: list[list[str]]) -> str:
    """A whole configuration: several servers on each port, and one body for each of them."""
    lines = [
        "pid /tmp/random.pid;", "error_log /dev/null;", "events { }", "http {", "access_log off; root /nowhere;",
        "client_body_temp_path /tmp/r1; proxy_temp_path /tmp/r2; fastcgi_temp_path /tmp/r3; uwsgi_temp_path /tmp/r4;",
        "scgi_temp_path /tmp/r5; variables_hash_max_size 4096; server_names_hash_bucket_size 128;",
        "map $http_upgrade $up { default upgrade; '' close; }",
        "map $uri $named { ~^/ws/(?<tail>.*)$ t-$tail; /other/ exact; default \"${args}none\"; }",
        "geo $net { default far; 127.0.0.0/8 near; 127.0.0.1/32 nearest; }",
        f"upstream echo {{ server 127.0.0.1:{ECHO}; server 127.0.0.1:1 down; }}",
    ]  # fmt: skip
    left = list(bodies)
    for number in range(len(bodies)):
        for names in names_of(number):
            if left:
                lines += ["server {", f"listen {FIRST + number};", f"server_name {' '.join(names)};", *left.pop(), "}"]
    return "\n".join([*lines, "}"])


#: Runs on the host: a server that answers with what it got, and a client that asks nginx and prints all answers.
PROGRAM = r"""
import http.server, json, os, re, signal, socket, subprocess, sys, threading, time
asked = json.load(open(sys.argv[1]))

def whole(way):
    data = b""
    while b"\r\n\r\n" not in data:
        more = way.recv(65536)
        if not more:
            return data
        data += more
    return data

def answer(way):
    with way:
        head = whole(way).partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        body = json.dumps([head[0], [line.split(": ", 1) for line in head[1:]]]).encode()
        lines = b"HTTP/1.1 200 OK\r\nX-Echo: 1\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        way.sendall(lines % len(body) + body)

def serve(listening):
    while True:
        way, _ = listening.accept()
        threading.Thread(target=answer, args=(way,), daemon=True).start()

listening = socket.create_server(("127.0.0.1", asked["echo"]), backlog=200)
threading.Thread(target=serve, args=(listening,), daemon=True).start()
done = subprocess.run(["/usr/sbin/nginx", "-T", "-c", sys.argv[2]], capture_output=True, text=True)
if done.returncode:
    sys.exit(done.stderr)
nginx = subprocess.Popen(["/usr/sbin/nginx", "-c", sys.argv[2], "-g", "daemon off;"])
found = []
try:
    for port, head in asked["requests"]:
        for _ in range(600):
            try:
                way = socket.create_connection(("127.0.0.1", port), 30)
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        with way:
            way.sendall(head.encode("latin-1"))
            data = whole(way)
            head, _, body = data.partition(b"\r\n\r\n")
            text = head.decode("latin-1")
            length = int((re.search(r"(?i)content-length: (\d+)", text) or [0, 0])[1])
            while len(body) < length and (more := way.recv(65536)):
                body += more
        status = int(text.split(" ", 2)[1])
        where = re.search(r"(?im)^location: (.*?)\r?$", text)
        echoed = json.loads(body) if "x-echo" in text.lower() else None
        found.append([status, where[1] if where else "", echoed])
finally:
    nginx.send_signal(signal.SIGTERM)
    nginx.wait()
print(json.dumps({"configuration": done.stdout, "found": found}))
"""


def requests_of(bodies: int) -> list[tuple[int, str, str]]:
    """Each request: its port, its Host and its target. Every port is asked for every path, each name for one."""
    made = []
    for number in range(bodies):
        port = FIRST + number
        if sum(len(names_of(one)) for one in range(number)) >= bodies:
            break
        made += [(port, "one.example.org", target) for target in TARGETS]
        made += [(port, name, "/ws/chat/") for name in ASKED_NAMES[1:]]
    return made


def head_of(port: int, name: str, target: str) -> tuple[list[tuple[str, str]], str]:
    """The headers of a request, and the whole head."""
    headers = [(key, value.format(name=name, port=port)) for key, value in HEADERS]
    lines = [f"GET {target} HTTP/1.1", *(f"{key}: {value}" for key, value in headers)]
    return headers, "\r\n".join(lines) + "\r\n\r\n"


def expected(route: dict[str, Any]) -> list[Any]:
    """What the doctor expects, in the form of what the program prints."""
    if route["handler"] != "proxy_pass" or route["status"]:
        return [route["status"] or 404, route["redirects"], None]
    return [200, "", [f"GET {route['uri']} HTTP/{route['http_version']}", sorted(map(list, _lower(route["sends"])))]]


def seen(found: list[Any]) -> list[Any]:
    """What a request has met: only its path counts of where it is sent to."""
    status, location, echoed = found
    if echoed is None:
        where = location.partition("?")[0]
        return [status, "/" + where.split("/", 3)[3] if where.startswith("http") else where, None]
    return [200, "", [echoed[0], sorted(map(list, _lower(echoed[1])))]]


def _lower(pairs: list[Any]) -> list[tuple[str, str]]:
    return [(key.lower(), value) for key, value in pairs]


def plan(bodies: list[list[str]]) -> tuple[str, str, list[tuple[int, str, str]]]:
    """The configuration, the program's input as JSON, and the requests in its order."""
    made = requests_of(len(bodies))
    asked = {"echo": ECHO, "requests": [[port, head_of(port, name, target)[1]] for port, name, target in made]}
    return configuration(bodies), json.dumps(asked), made
