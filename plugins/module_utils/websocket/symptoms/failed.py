"""The handshake got no answer that could be judged."""

from __future__ import annotations

from .symptom import Symptom

FAILED: tuple[Symptom, ...] = (
    Symptom(
        "failed",
        "The process does not run, it died while starting, it hangs before it listens, or it listens on another path. "
        "daphne leaves without a word when the socket's folder is missing.",
        "Look at the process's state and log, and whether the socket's folder exists.",
        stage="socket",
        text=r"no such file",
    ),
    Symptom(
        "failed",
        "The socket file is left over from a process that is gone.",
        "Look at the process's state and log; its next start replaces the file.",
        stage="socket",
        text=r"refused",
    ),
    Symptom(
        "failed",
        "The socket's mode or its folder's does not let this user in.",
        "Run the check as root or as a member of the socket's group; compare with the proxy's user.",
        stage="socket",
        text=r"permission",
    ),
    Symptom(
        "failed",
        "The path is not a socket that can be connected to, or its process takes no more connections.",
        "Check the path; look at the process's state and log.",
        stage="socket",
    ),
    Symptom(
        "failed",
        "The name is misspelt, has no DNS record yet, or this host cannot resolve it.",
        "Correct the host name or its DNS record; or connect to an address with connect_to.",
        stage="name",
    ),
    Symptom(
        "failed",
        "Nothing listens on this port: the proxy or the server is not running, or listens on another address.",
        "Start it, or compare the port and the listen address.",
        stage="tcp",
        text=r"refused",
    ),
    Symptom(
        "failed",
        "There is no way to this address: network, routing or firewall.",
        "Check the address, and that the firewall lets this host in.",
        stage="tcp",
    ),
    Symptom(
        "failed",
        "The port speaks plain HTTP.",
        "Use ws:// in the URL, or the TLS port.",
        stage="tls",
        text=r"wrong.version.number|http.request|record.layer",
    ),
    Symptom(
        "failed",
        "The certificate has expired, or a clock is wrong.",
        "Renew the certificate and reload the proxy; check its renewal timer.",
        stage="tls",
        text=r"expired|not yet valid",
    ),
    Symptom(
        "failed",
        "The certificate is not for this host name.",
        "Use the name in the certificate, or make one that has this name.",
        stage="tls",
        text=r"mismatch|not valid for|doesn't match",
    ),
    Symptom(
        "failed",
        "The certificate or its authority's was made without fields that Python 3.13 (Debian 13) insists on; browsers "
        "do not, so that they may accept it.",
        "Make both anew with basicConstraints, keyUsage, subjectKeyIdentifier and authorityKeyIdentifier.",
        stage="tls",
        text=r"key identifier|key ?usage|basic constraints|CA cert",
    ),
    Symptom(
        "failed",
        "The certificate is not from an authority that this host trusts, or the chain is incomplete.",
        "Serve the full chain (fullchain.pem); with an authority of your own, give its certificate as ca_path.",
        stage="tls",
        text=r"certificate verify failed|self.signed|local issuer",
    ),
    Symptom(
        "failed",
        "TLS could not be set up: the server has no certificate for this name, or the port speaks plain HTTP.",
        "Check the certificate and the server name in the proxy's configuration, and the port; without TLS use ws://.",
        stage="tls",
    ),
    Symptom(
        "failed",
        "The server hung up within the handshake: its connect() took longer than daphne's --websocket_connect_timeout "
        "(5 s), the process died or ran out of open files, or a proxy or firewall cut the connection.",
        "Look at the process's log and its open-files limit; find what connect() waits for.",
        stage="handshake",
        text=r"closed the connection|reset|broken pipe",
    ),
    Symptom(
        "failed",
        "The 101 is not an answer to this handshake: a cache or a faulty proxy stands between.",
        "Try the process's own socket; then go outwards, proxy by proxy.",
        stage="handshake",
        text=r"accept token|missing header|unrecognized",
    ),
    Symptom(
        "failed",
        "What listens there does not speak HTTP; a TLS port spoken to in the plain looks like this too.",
        "Check the port; use wss:// for a TLS port.",
        stage="handshake",
    ),
    Symptom(
        "failed",
        "A firewall drops the packets, or the host is down.",
        "Check the address, and that the firewall lets this host in.",
        stage="timeout",
        text=r"connecting to",
    ),
    Symptom(
        "failed",
        "The process accepted the connection and does not answer: it is still starting, its event loop is blocked, or "
        "the consumer's connect() waits for a database, Redis or another service.",
        "Look at the process's log and its CPU; find what connect() waits for.",
        stage="timeout",
    ),
    Symptom("failed", "The connection could not be made.", "Read the reason; try the process's own socket next."),
)
