"""The handshake got no answer that could be judged."""

from __future__ import annotations

from .symptom import Symptom

FAILED: tuple[Symptom, ...] = (
    Symptom(
        "failed",
        "The process does not run, it died while starting, it hangs before it listens, or it listens on another path. "
        "If the socket's folder is missing, daphne exits without a message.",
        "Look at the process's state and log, and check that the socket's folder exists.",
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
        "The mode of the socket or of its folder keeps this user out.",
        "Run the check as root or as a member of the socket's group; compare with the proxy's user.",
        stage="socket",
        text=r"permission",
    ),
    Symptom(
        "failed",
        "The path is not a socket that accepts connections, or its process takes no more of them.",
        "Check the path; look at the process's state and log.",
        stage="socket",
    ),
    Symptom(
        "failed",
        "The name is misspelt or has no DNS record yet, or this host cannot resolve it.",
        "Correct the host name or its DNS record, or connect to an address with connect_to.",
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
        "This address cannot be reached: the network, its routes or a firewall is in the way.",
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
        "Use a name that is in the certificate, or make a certificate with this name.",
        stage="tls",
        text=r"mismatch|not valid for|doesn't match",
    ),
    Symptom(
        "failed",
        "The certificate or its authority's lacks fields that Python 3.13 (Debian 13) requires. Browsers do not need "
        "them, so they may accept it.",
        "Make both again with basicConstraints, keyUsage, subjectKeyIdentifier and authorityKeyIdentifier.",
        stage="tls",
        text=r"key identifier|key ?usage|basic constraints|CA cert",
    ),
    Symptom(
        "failed",
        "The certificate is not from an authority that this host trusts, or the chain is incomplete.",
        "Serve the full chain (fullchain.pem). If the authority is your own, pass its certificate as ca_path.",
        stage="tls",
        text=r"certificate verify failed|self.signed|local issuer",
    ),
    Symptom(
        "failed",
        "The port closed the connection or did not answer before TLS was set up: it speaks plain HTTP, or what listens "
        "there expects something else first, such as the PROXY protocol, or something on the way cuts TLS.",
        "Look at the log of what listens on the port, and try it from the host itself: openssl s_client -connect.",
        stage="tls",
        text=r"EOF|reset|closed|timed out|no answer",
    ),
    Symptom(
        "failed",
        "TLS could not be set up: the server has no certificate for this name, or the port speaks plain HTTP.",
        "Check the certificate and the server name in the proxy's configuration, and the port. Without TLS, use ws://.",
        stage="tls",
    ),
    Symptom(
        "failed",
        "The server hung up during the handshake: connect() took longer than daphne's --websocket_connect_timeout "
        "(5 s), the process died or ran out of open files, or a proxy or firewall cut the connection.",
        "Look at the process's log and its limit of open files; find out what connect() waits for.",
        stage="handshake",
        text=r"closed the connection|reset|broken pipe",
    ),
    Symptom(
        "failed",
        "The 101 does not answer this handshake: there is a cache or a faulty proxy in between.",
        "Try the process's own socket; then work outwards, proxy by proxy.",
        stage="handshake",
        text=r"accept token|missing header|unrecognized",
    ),
    Symptom(
        "failed",
        "Whatever listens there does not speak HTTP. Plain HTTP to a TLS port looks like this too.",
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
        "Look at the process's log and its CPU; find out what connect() waits for.",
        stage="timeout",
    ),
    Symptom("failed", "The connection could not be made.", "Read the reason; try the process's own socket next."),
)
