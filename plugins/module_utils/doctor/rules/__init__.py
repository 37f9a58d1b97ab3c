"""What may be wrong at each hop of a handshake's way. The rules speak in the order of `RULES`.

Each rule looks at one hop and blames it only for what it does itself: a proxy is at fault for an answer that the server
behind it does not give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..case import Case, Finding
from .application import application
from .certificate import certificate
from .consumer import consumer
from .edge import edge
from .edges import edges
from .effective import effective
from .examined import examined
from .front import front
from .front_answers import front_answers
from .idle import idle
from .imports import imports
from .layer import layer
from .layer_address import layer_address
from .origin import origin
from .process import process
from .proxy import proxy
from .reach import reach
from .token import token

RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    reach, certificate, edges, front, front_answers, edge, proxy, effective, process, imports, application, consumer,
    token, origin, layer_address, layer, idle, examined,
)  # fmt: skip
