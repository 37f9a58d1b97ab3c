"""What the doctor can find in nginx's own request and in what nginx says about it. Data only."""

from __future__ import annotations

from .entry import Entry

PROXY_ENTRIES = (
    Entry("E340_PATH_CHANGED", "proxy", "The proxy asks the server for another path",
          "A client asks for {asked}, but nginx asks the server for {sent}: {why}",
          "{mend}"),
    Entry("E341_TLS_TO_PLAIN", "proxy", "The proxy speaks TLS to a server that does not",
          "proxy_pass says https://, but the server at {upstream} speaks plain HTTP.",
          "In {line}: proxy_pass http://{rest}; then nginx -t && systemctl reload nginx"),
    Entry("E342_PLAIN_TO_TLS", "proxy", "The proxy speaks plain HTTP to a server that expects TLS",
          "proxy_pass says http://, but the server at {upstream} was started with a certificate and expects TLS.",
          "In {line}: proxy_pass https://{rest}; or start the server without its certificate, since only nginx "
          "reaches it"),
    Entry("E343_OTHER_PROTOCOL", "proxy", "The proxy speaks another protocol than the server",
          "{directive} speaks {protocol}, but the server at {upstream} speaks HTTP, as every ASGI server does.",
          "In {line}: in place of {directive}, proxy_pass http://{rest}; {lines}"),
    Entry("E344_LISTEN_HTTP2", "proxy", "The port takes HTTP/2 only",
          "In this nginx ({version}), http2 without TLS makes a port speak nothing else, for every site on it. "
          "WebSocket clients speak HTTP/1.1. The line: {line}",
          "In {line}: remove http2 (with TLS it may stay), then nginx -t && systemctl reload nginx"),
    Entry("E345_LISTEN_PROXY_PROTOCOL", "proxy", "The port expects the PROXY protocol",
          "proxy_protocol is set for this port, for every site on it, so nginx closes connections that do not begin "
          "with it, as those of clients do not. The line: {line}",
          "In {line}: remove proxy_protocol, then nginx -t && systemctl reload nginx; or have the balancer in front "
          "send the PROXY protocol"),
    Entry("E346_HEADERS_NOT_INHERITED", "proxy", "The lines that pass the upgrade on do not count in this block",
          "{where} has proxy_set_header lines of its own ({own}), so nginx ignores all those of outer blocks, "
          "such as {outer}.",
          "In {where}: {lines}"),
    Entry("E347_HEADER_CHANGED", "proxy", "A header that the proxy sends makes the server refuse the handshake",
          "nginx sends {name}: {sent}. With {good} in its place, the server accepts the handshake.",
          "{mend}"),
    Entry("E348_OTHER_SERVER_BLOCK", "proxy", "Another server block answers",
          "{why} The block that passes the path on is {other}.",
          "{mend}"),
    Entry("E349_NOT_RELOADED", "proxy", "nginx still runs with its former configuration",
          "{files} changed after nginx had read it. What it says now works.",
          "nginx -t && systemctl reload nginx"),
    Entry("E350_PROXY_FULL", "proxy", "nginx has no connection left",
          "{what} is {limit}, for each worker process. A socket through nginx takes two: the client's and the "
          "server's.",
          "In {line}: {setting} then nginx -t && systemctl reload nginx"),
    Entry("E351_UPSTREAM_CERT", "proxy", "The proxy does not trust the server's certificate",
          "proxy_ssl_verify is on, and nginx refuses the certificate of {upstream}: {error}",
          "proxy_ssl_trusted_certificate with its authority and proxy_ssl_name with its name in {where}; or plain "
          "HTTP on loopback, with http:// in proxy_pass"),
    Entry("E360_CONNECT_BARRED", "proxy", "The system does not let nginx connect to the server",
          "nginx may not connect to {upstream} (errno 13). An address with a port has no file and no mode: SELinux or "
          "AppArmor forbids it.",
          "With SELinux: setsebool -P httpd_can_network_connect 1 (ausearch -m avc -ts recent shows the denial). With "
          "AppArmor: network inet stream, in nginx's profile (journalctl -k --grep apparmor)"),
    Entry("E354_RULE_ANSWERS", "proxy", "A rule of the proxy answers in place of the server",
          "{line} has: {rule}. So nginx answers {status} itself, and does not ask the server.",
          "{mend}"),
    Entry("E355_CLIENT_CERT", "proxy", "The proxy requires a certificate of the client",
          "ssl_verify_client is on for this server block, and the client sends no certificate.",
          "In {server}: ssl_verify_client optional; or off; or give each client a certificate of its authority"),
    Entry("E356_PROXY_LOOP", "proxy", "The proxy passes requests to itself",
          "{line} leads to {upstream}, which is a port of nginx's own, and from there to the same place again.",
          "In {line}: lead to where the server listens ({listening}), then nginx -t && systemctl reload nginx"),
    Entry("E357_ANSWER_CHANGED", "proxy", "The proxy hides what clients check in the server's answer",
          "The server's 101 has {names}, and nginx's has not: clients give up the handshake.",
          "Remove {lines}; then nginx -t && systemctl reload nginx"),
    Entry("E358_SITE_NOT_ENABLED", "proxy", "The site's file is not enabled",
          "{file} passes {path} on, but nginx does not read it: no link in {folder} leads to it.",
          "ln -s {file} {folder}/ && nginx -t && systemctl reload nginx"),
    Entry("E359_AUTH_REQUEST", "proxy", "The request by which the proxy asks for permission fails",
          "auth_request asks a location of its own first, which answers neither 2xx, 401 nor 403. So nginx answers "
          "500, and does not ask the server: {error}",
          "See why what auth_request asks fails ({guard}); or keep it off the WebSocket path, in {where}: auth_request "
          "off;"),
    Entry("E353_UPSTREAM_UNREACHED", "proxy", "The server behind the proxy, on another host, cannot be reached",
          "{line} leads to {upstream}, and a connection from this host ends with: {error}",
          "On {host}: start the server, and let this host through to port {port} (ss -ltnp; nft list ruleset); or "
          "correct the address in {line}"),
    Entry("E352_UPSTREAM_NAME", "proxy", "The proxy cannot resolve the server's name",
          "{error}",
          "In {where}: write the server's address into proxy_pass; or resolver ADDRESS-OF-A-DNS-SERVER; since a "
          "proxy_pass with a variable is resolved for each request"),
)  # fmt: skip
