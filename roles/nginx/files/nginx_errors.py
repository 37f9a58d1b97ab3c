#!/usr/bin/python3
"""Say what nginx's error log says, without what a client sent: its lines hold whole requests, with their tokens.

    nginx-errors                       read the socket that systemd gives (sd_listen_fds(3)), until told to end
    nginx-errors --listen PATH         make that socket as root, for nginx alone, and go on as nobody

nginx sends each line as a datagram (`error_log syslog:server=unix:PATH`) and waits for nobody: lines that find no
reader, or one that is behind, are lost. What is written here is put together from what is known to be harmless; a word,
a path or a text in quotes that is not, is [hidden]. Lines go to standard output, which the service manager keeps.
Standard library only: this runs on hosts.
"""

from __future__ import annotations

import ctypes
import grp
import os
import re
import signal
import socket
import sys
import time
from typing import NamedTuple

GROUP = "www-data"  # the group of nginx's workers
FIRST = 3  # the first descriptor that systemd gives (sd_listen_fds(3))
LONGEST = 4096  # bytes of a datagram; nginx cuts its lines at 2048 (NGX_MAX_ERROR_STR), and adds a prefix
BURST, RATE = 300, 5.0  # the most lines at once, and for each second after that: 2 MB an hour at 120 bytes
HIDDEN = "[hidden]"
PRIORITIES = {"emerg": 0, "alert": 1, "crit": 2, "error": 3, "warn": 4, "notice": 5, "info": 6, "debug": 7}
PR_SET_DUMPABLE = 4  # prctl(2)
SETPRIV = (
    "/usr/bin/setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
    "--no-new-privs",
)  # fmt: skip

LINE = re.compile(
    r"(?:<\d{1,3}>\w{3} [ \d]\d [\d:]{8} (?:[\w.-]+ )?nginx: )?"
    r"(?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[(?P<level>[a-z]{4,6})\] (?P<pid>\d{1,10})#\d{1,10}: "
    r"(?:(?P<number>\*\d{1,20}) )?(?P<rest>.*)",
    re.DOTALL,
)
# What follows the reason, always in this order. Nothing before it comes from the client, unless it is in quotes.
CLIENT = re.compile(r", client: (?P<client>[0-9a-f.:]{2,45}|unix:), server: [^,\"]{0,255}(?P<rest>.*)", re.DOTALL)
# If nginx has understood a request, its address has no space: so a quote with a space after it is the address's end.
REQUEST = re.compile(
    r", request: \"(?P<method>[A-Z]{3,7}) (?P<target>[^ ]*?)(?: HTTP/\d\.\d)?\"(?:$|(?=, (?:upstream|host|referrer): ))"
)
# The upstream's address is followed by the request's, and nginx writes a colon between them only sometimes.
UPSTREAM = re.compile(
    r", upstream: \"[a-z]{4,9}://(?P<upstream>unix:/[A-Za-z0-9_./@-]{1,100}?\.sock(?=[:/])|[\w.-]{1,253}:\d{1,5}(?=/)|"
    r"\[[0-9a-f:]{2,39}\]:\d{1,5}(?=/))"
)
METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
# As in templates/nginx/access_log.conf.j2: what a part of a path may look like to be shown.
PART = re.compile(
    r"(?!.*eyJ)(?:(?:[A-Za-z0-9_.~:,+@!()*-]|%(?:20|[89A-Fa-f][0-9A-Fa-f])){0,36}"
    r"|[A-Za-z0-9_.~-]{1,100}\.[A-Za-z0-9]{1,5})"
)
# nginx's own words, numbers, calls and the sockets of processes.
WORD = re.compile(
    r"[(]?(?:[A-Za-z][a-z'-]{0,19}|[a-z]{2,9}_[a-z_]{2,19}|(?:SSL_[a-z_]{2,30}|(?:[a-z0-9]{1,8}_)?[a-z0-9]{3,12})\(\)|"
    r"[A-Z]{2,8}|\d{1,10}(?:\.\d{1,3})?|HTTP/\d\.\d|error:[0-9A-F]{8}:SSL|routines::?[a-z]{0,20})[),.:;]{0,2}"
)
PLACE = re.compile(r"unix:/run/[A-Za-z0-9_./@-]{1,100}|\d{1,3}(?:\.\d{1,3}){3}:\d{1,5}|\[[0-9a-f:]{2,39}\]:\d{1,5}")
ZONE = re.compile(
    r"(?P<what>(?:limiting|delaying) (?:requests|connections)[a-z0-9,:. ]*) by zone \"(?P<zone>[\w.-]{1,64})\""
)
# A file's name is a path with its escapes decoded, and has no query.
FILE = re.compile(r"(?:open|openat|opendir|stat|lstat|fstat|realpath)\(\) \"")
ERRNO = re.compile(r"\((?P<number>\d{1,3}): [A-Z][A-Za-z/ -]{2,60}\)")


class Entry(NamedTuple):
    """A line in the form that may be shown."""

    time: str  # by the host's clock, as nginx writes it
    level: str
    text: str


def words(text: str) -> str:
    """Return a text with all words hidden that are not nginx's own; system errors are written afresh."""
    parts: list[str] = []
    for number, piece in enumerate(re.split(ERRNO, text)):
        if number % 2:
            parts.append(f"({piece}: {os.strerror(int(piece))})")
            continue
        shown = (w if not w or WORD.fullmatch(w) or PLACE.fullmatch(w) else HIDDEN for w in piece.split(" "))
        parts.append(" ".join(shown))
    return "".join(parts)


def reason(text: str) -> str:
    """Return nginx's reason for an error, without anything in quotes, because a client may have sent that."""
    if zone := ZONE.match(text):
        return f"{words(zone['what'])} by zone {zone['zone']}"
    said, quote, quoted = text.partition('"')
    if not quote:
        return words(said)
    # What a quoted text may contain makes it impossible to see where it ends. After it, an error's number is enough.
    numbers = [int(found["number"]) for found in ERRNO.finditer(quoted)]
    end = f" ({numbers[-1]}: {os.strerror(numbers[-1])})" if numbers else ""
    return f"{words(said)}{HIDDEN}{end}"


def path(target: str) -> str:
    """Return the path of a request, with parts hidden that may be a token, and a sign for a query."""
    plain, query, _ = target.partition("?")
    plain, fragment, _ = plain.partition("#")
    if not plain.startswith("/"):
        return HIDDEN
    parts = (part if PART.fullmatch(part) else HIDDEN for part in plain[1:].split("/"))
    return "/" + "/".join(parts) + (f"?{HIDDEN}" if query or fragment else "")


def redacted(line: str) -> Entry:
    """Return what may be shown of a line of nginx's error log."""
    if not (found := LINE.fullmatch(line.rstrip("\n\0"))):
        return Entry("", "error", f"a line that is none of nginx's error log, of {len(line)} characters")
    level = found["level"] if found["level"] in PRIORITIES else "error"
    number = f"{found['pid']}{found['number']} " if found["number"] else ""
    said, comma, fields = found["rest"].partition(", client: ")
    plain, of_file = '"' not in said or ZONE.match(said), FILE.match(said)
    text = reason(said if plain else found["rest"])
    if plain or of_file:  # after another quote, what seems to follow may be the client's own text
        text += context(said, comma + fields, upstream=not of_file)
    return Entry(found["time"], level, f"[{level}] {number}{text}")


def context(said: str, fields: str, *, upstream: bool) -> str:
    """Return the client and the request; and where it was passed on to, unless that might be part of a path."""
    if not (found := CLIENT.fullmatch(fields)):
        return ""
    text = f", client: {found['client']}"
    # If nginx has not understood a request, none of its parts is what its position suggests.
    request = None if "reading client request" in said else REQUEST.match(found["rest"])
    if request and request["method"] in METHODS:
        text += f', request: "{request["method"]} {path(request["target"])}"'
        if upstream and (passed := UPSTREAM.match(found["rest"], request.end())):
            text += f", upstream: {passed['upstream']}"
    return text


class Allowance:
    """So many lines at once, and so many for each second after: nobody can fill the disk by provoking errors."""

    def __init__(self, now: float) -> None:
        """Start with the full allowance, at a time of time.monotonic()."""
        self.left, self.moment, self.lost = float(BURST), now, 0

    def take(self, now: float) -> bool:
        """Tell whether one more line may be written; if not, count it."""
        self.left = min(float(BURST), self.left + (now - self.moment) * RATE)
        self.moment = now
        if self.left < 1.0:
            self.lost += 1
            return False
        self.left -= 1.0
        return True

    def tell(self) -> int:
        """Return how many lines were left out since the last call."""
        lost, self.lost = self.lost, 0
        return lost


def write(entry: Entry, journal: bool) -> None:
    """Write a line: the journal takes its level from a prefix (sd-daemon(3)) and knows the time, a file does not."""
    head = f"<{PRIORITIES[entry.level]}>" if journal else f"{entry.time or time.strftime('%Y/%m/%d %H:%M:%S')} "
    # If a line cannot be written, it is lost, and the next one is tried.
    try:
        os.write(1, f"{head}{entry.text}\n".encode(errors="replace"))
    except OSError:
        time.sleep(0.1)


def read(way: socket.socket, journal: bool) -> None:
    """Write what arrives, as long as this process runs."""
    allowance = Allowance(time.monotonic())
    while True:
        line = way.recv(LONGEST).decode(errors="replace")
        if not allowance.take(time.monotonic()):
            continue
        if lost := allowance.tell():
            write(Entry("", "warn", f"[warn] {lost} more lines came too fast and were left out"), journal)
        write(redacted(line), journal)


def listen(place: str) -> None:
    """Create the socket, and start this program again as a user who may do nothing else."""
    os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
    part = f"{place}.part"
    if os.path.lexists(part):
        os.unlink(part)
    way = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    former = os.umask(0o777)
    way.bind(part)
    os.umask(former)
    os.chown(part, 0, grp.getgrnam(GROUP).gr_gid)
    os.chmod(part, 0o660)
    os.rename(part, place)  # there is always one: without it, nginx complains into its main log
    if way.fileno() != FIRST:
        os.dup2(way.fileno(), FIRST)
    os.set_inheritable(FIRST, True)
    os.execv(SETPRIV[0], [*SETPRIV, "--", sys.executable, "-I", os.path.abspath(__file__)])


def main(arguments: list[str]) -> int:
    """Run the program."""
    if arguments[:1] == ["--listen"] and len(arguments) == 2:
        listen(arguments[1])
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    # What it reads must not get into a core dump, and no process of the same user may look into it.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    read(socket.socket(fileno=FIRST), "JOURNAL_STREAM" in os.environ)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
