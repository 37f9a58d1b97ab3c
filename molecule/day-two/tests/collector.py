"""A collector of logs: syslog over TLS (RFC 5425) into a file, one line for each message. Runs on a lab host.

    collector.py PORT CERTIFICATE FILE

CERTIFICATE is a PEM file with the key, too. Prints "ready". Standard library only.
"""

import socket
import ssl
import sys
import threading


def main():
    """Listen until somebody ends it."""
    port, certificate, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("", port)) as server, open(path, "ab", buffering=0) as file:
        print("ready", flush=True)
        while True:
            client, _ = server.accept()
            threading.Thread(target=take, args=(client, context, file), daemon=True).start()


def take(client, context, file):
    """Write what a client sends."""
    try:
        with context.wrap_socket(client, server_side=True) as way, way.makefile("rb") as frames:
            while size := number(frames):
                file.write(frames.read(size).replace(b"\n", b" ") + b"\n")
    except OSError as error:
        print(error, flush=True)
    print("a client has left", flush=True)


def number(frames):
    """Read the length that each message begins with; 0 at the end."""
    digits = b""
    while (more := frames.read(1)) not in (b" ", b""):
        digits += more
    return int(digits or 0)


main()
