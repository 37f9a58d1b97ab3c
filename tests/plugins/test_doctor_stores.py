"""The doctor sees the certificates of Redis and PostgreSQL as the project does: verified, or not at all."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.channels.stack.plugins.module_utils.certificates.pairs import Authority
from ansible_collections.channels.stack.plugins.module_utils.host import stores


@pytest.fixture(params=["rediss", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An address of a store on this machine, whose certificate is of an authority in the test's folder."""
    pair = Authority(tmp_path / "own").issue(["127.0.0.1"], days=730)
    (tmp_path / "pair.pem").write_text(pair.chain + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                way, _ = listening.accept()
            except OSError:
                return
            try:
                if request.param == "postgresql":
                    assert way.recv(8) == b"\x00\x00\x00\x08\x04\xd2\x16/"
                    way.sendall(b"S")
                context.wrap_socket(way, server_side=True).close()
            except OSError:
                way.close()

    threading.Thread(target=serve, daemon=True).start()
    key = "ssl_ca_certs" if request.param == "rediss" else "sslrootcert"
    yield f"{request.param}://u:hunter2@127.0.0.1:{listening.getsockname()[1]}/0?{key}="
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def test_certificate_of_a_store_is_read(store: str, tmp_path: Path) -> None:
    (found,) = stores.certificates({"A": store + f"{tmp_path}/own/authority.crt", "B": "x", "C": "http://[::"})
    began, ended = (ssl.cert_time_to_seconds(found[name]) for name in ("since", "expires"))
    assert ended - began == 730 * 86400 and found["name"] == "A" and found["place"].startswith("127.0.0.1:")
    assert "hunter2" not in str(found)
    both = store + f"{tmp_path}/own/authority.crt"
    assert len(list(stores.certificates({"A": f"{both},{both}"}))) == 2, "one of several addresses is left out"


def test_certificate_that_is_not_taken_is_none(store: str, tmp_path: Path) -> None:
    """Nor one of a store that speaks without an authority to hold it against, or that is not there."""
    Authority(tmp_path / "other")
    addresses = {"A": store + f"{tmp_path}/other/authority.crt", "B": store.partition("?")[0], "C": store + "/none"}
    assert list(stores.certificates(addresses)) == []
