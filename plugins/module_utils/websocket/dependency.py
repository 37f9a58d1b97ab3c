"""Whether wsproto is installed. It implements the protocol for the client, but a host may lack it."""

from __future__ import annotations

import importlib
import traceback

#: What went wrong when wsproto was imported, or None.
WSPROTO_IMPORT_ERROR: str | None = None
try:
    for _name in ("h11", "wsproto.connection", "wsproto.events", "wsproto.utilities"):
        importlib.import_module(_name)
except ImportError:
    WSPROTO_IMPORT_ERROR = traceback.format_exc()

#: Whether wsproto could be imported. A module checks it first and answers with `missing_required_lib("wsproto")`.
HAS_WSPROTO = WSPROTO_IMPORT_ERROR is None
