"""A reconnect storm on paper: an edge or a host dies, and all of its clients come back with the example's back-off.

Discrete events with a fixed seed, so the same question has the same answer. Times are seconds.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter, deque
from dataclasses import dataclass, field, replace

#: A storm that has not ended by then never will: clients come faster than they can be served.
LONGEST = 3600.0
#: Windows for the first retry that are tried, in seconds; the example's own comes first.
WINDOWS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)


@dataclass(frozen=True)
class Backoff:
    """As `delayBefore` in the example's socket.js: within `first` s, then half to all of 1, 2, 4 … `most` s."""

    first: float = 0.5
    base: float = 1.0
    most: float = 30.0

    def delay(self, retry: int, chance: float) -> float:
        """Seconds before retry `retry` (from 0); `chance` is from 0 to 1."""
        if retry == 0:
            return chance * self.first
        ceiling = min(self.most, self.base * 2.0 ** min(retry - 1, 60))
        return ceiling * (1 + chance) / 2


@dataclass(frozen=True)
class Storm:
    """What comes back, and who serves it.

    `clients` lose their socket at 0 and find nobody for `away` s. They come from `addresses` addresses; each may
    make `limit` handshakes/s after `burst` at once (0: no limit). `processes` serve `rate` handshakes/s each; as many
    as `backlog` may be under way in each, and none for longer than `timeout` s.
    """

    clients: int
    processes: int
    rate: float
    addresses: int = 0
    limit: float = 100.0
    burst: int = 4000
    backlog: int = 4096
    timeout: float = 10.0
    away: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)
    seed: int = 1


@dataclass(frozen=True)
class Outcome:
    """What became of it.

    `all_back`: seconds until every client is back, or infinity; `back`: how many are; `attempts`; `peak`: the most
    attempts in one second; `served`: the most handshakes completed in one; `p50`, `p99`: seconds from the loss to
    the new socket; `failures`: attempts by what refused them (away, limit, backlog, timeout).
    """

    all_back: float
    back: int
    attempts: int
    peak: int
    served: int
    p50: float
    p99: float
    failures: dict[str, int]


class Bucket:
    """nginx's limit_req with nodelay, for one address: what is over the rate counts against the burst."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate, self.burst, self.excess, self.last = rate, burst, 0.0, -math.inf

    def takes(self, now: float) -> bool:
        """Whether a handshake at `now` passes; one that does not leaves the bucket as it is."""
        excess = 0.0 if self.last == -math.inf else max(0.0, self.excess - (now - self.last) * self.rate + 1)
        if excess > self.burst:
            return False
        self.excess, self.last = excess, now
        return True


class Process:
    """A process that works on all of its handshakes by turns, as an event loop does: each gets the same share.

    All need the same work, so the oldest is the first to end, and the first to be given up.
    """

    def __init__(self, storm: Storm) -> None:
        self.rate, self.timeout = storm.rate, storm.timeout
        self.now, self.done = 0.0, 0.0  # `done` is the work that a handshake has got that was there from the beginning
        self.jobs: deque[tuple[float, float, int, int]] = deque()  # begun, ends when `done` is this, client, retry

    def reach(self, now: float) -> None:
        """Work until `now`."""
        if self.jobs:
            self.done += (now - self.now) * self.rate / len(self.jobs)
        self.now = now

    def take(self, now: float, client: int, retry: int) -> None:
        """Begin a handshake."""
        self.reach(now)
        self.jobs.append((now, self.done + 1, client, retry))

    @property
    def next(self) -> float:
        """When a handshake ends next; infinity if there is none."""
        if not self.jobs:
            return math.inf
        begun, ends, *_ = self.jobs[0]
        return min(self.now + max(0.0, ends - self.done) * len(self.jobs) / self.rate, begun + self.timeout)

    def end(self) -> tuple[float, int, int, bool]:
        """End that handshake: when, whose, which retry, and whether it was given up, with the work it has cost."""
        now = self.next
        self.reach(now)
        _, ends, client, retry = self.jobs.popleft()
        return now, client, retry, ends - self.done > 1e-6


class Run:
    """One simulation."""

    def __init__(self, storm: Storm) -> None:
        self.storm, self.dice = storm, random.Random(storm.seed)
        self.processes = [Process(storm) for _ in range(storm.processes)]
        self.buckets = [Bucket(storm.limit, storm.burst) for _ in range(storm.addresses or storm.clients)]
        self.waiting: list[tuple[float, int, int]] = []
        self.back: list[float] = []
        self.attempts: Counter[int] = Counter()
        self.failures: Counter[str] = Counter()
        for client in range(storm.clients):
            self.wait(0.0, client, 0)

    def wait(self, now: float, client: int, retry: int) -> None:
        """Have a client try again after its back-off."""
        heapq.heappush(self.waiting, (now + self.storm.backoff.delay(retry, self.dice.random()), client, retry))

    def fail(self, now: float, client: int, retry: int, why: str) -> None:
        """Note that an attempt failed."""
        self.failures[why] += 1
        self.wait(now, client, retry + 1)

    def arrive(self) -> None:
        """Let the next client try."""
        now, client, retry = heapq.heappop(self.waiting)
        self.attempts[int(now)] += 1
        process = min(self.processes, key=lambda each: len(each.jobs))
        if now < self.storm.away:
            self.fail(now, client, retry, "away")
        elif self.storm.limit and not self.buckets[client % len(self.buckets)].takes(now):
            self.fail(now, client, retry, "limit")
        elif len(process.jobs) >= self.storm.backlog:
            self.fail(now, client, retry, "backlog")
        else:
            process.take(now, client, retry)

    def fails(self) -> bool:
        """Whether an attempt has failed that another back-off might have spared."""
        return bool(set(self.failures) - {"away"})

    def whole(self, until_it_fails: bool = False) -> Outcome:
        """Run until all are back, or for LONGEST."""
        while len(self.back) < self.storm.clients and not (until_it_fails and self.fails()):
            first = min(self.processes, key=lambda each: each.next)
            coming = self.waiting[0][0] if self.waiting else math.inf
            if min(first.next, coming) > LONGEST:
                break
            if coming < first.next:
                self.arrive()
                continue
            now, client, retry, given_up = first.end()
            if given_up:
                self.fail(now, client, retry, "timeout")
            else:
                self.back.append(now)
        return outcome(self.storm, self.back, self.attempts, self.failures)


def simulate(storm: Storm) -> Outcome:
    """Let all clients come back, and tell what became of them."""
    return Run(storm).whole()


def outcome(storm: Storm, back: list[float], attempts: Counter[int], failures: Counter[str]) -> Outcome:
    """Sum up: `back` has the second at which each client was back."""
    back = sorted(back)
    whole = len(back) == storm.clients
    return Outcome(
        all_back=(back[-1] if back else 0.0) if whole else math.inf,
        back=len(back),
        attempts=sum(attempts.values()),
        peak=max(attempts.values(), default=0),
        served=max(Counter(map(int, back)).values(), default=0),
        p50=percentile(back, 50),
        p99=percentile(back, 99),
        failures=dict(failures),
    )


def percentile(ordered: list[float], percent: float) -> float:
    """The value that so many percent do not exceed; 0 without any."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0


def window_needed(storm: Storm) -> float:
    """The shortest window for the first retry with which no attempt fails; infinity if none of WINDOWS is enough.

    Failures while nobody is there (`away`) do not count: no back-off avoids them.
    """
    for first in WINDOWS:
        run = Run(replace(storm, backoff=replace(storm.backoff, first=first)))
        run.whole(until_it_fails=True)
        if not run.fails():
            return first
    return math.inf
