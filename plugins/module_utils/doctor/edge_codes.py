"""What the doctor can find on the edges of a fleet. Data only; a part of the catalogue."""

from __future__ import annotations

from .entry import Entry

EDGE_ENTRIES = (
    Entry("E321_EDGE_DOWN", "edge", "HAProxy does not run on this edge",
          "No process of HAProxy runs on {edge}, so nobody reaches the site through it.",
          "On {edge}: systemctl start haproxy; journalctl -u haproxy -n 50 says why it stopped"),
    Entry("E322_EDGE_CONFIG", "edge", "HAProxy refuses its configuration",
          "HAProxy does not run on {edge}, and would not start with the configuration that is there.",
          "On {edge}: haproxy -c -f /etc/haproxy/haproxy.cfg; {error}"),
    Entry("W323_EDGE_CONFIG", "edge", "HAProxy would not start again",
          "HAProxy runs on {edge} with an earlier configuration, and refuses the one that is there now.",
          "On {edge}: haproxy -c -f /etc/haproxy/haproxy.cfg; {error}"),
    Entry("E324_EDGE_PORT", "edge", "HAProxy does not listen on the site's port",
          "HAProxy runs on {edge}, but nothing listens on port {port} there.",
          "haproxy_https_port and haproxy_http_port; on {edge}: grep bind /etc/haproxy/haproxy.cfg; ss -ltnp"),
    Entry("E325_EDGE_UNREACHABLE", "tcp", "The edge's port cannot be reached from here",
          "HAProxy listens on port {port} of {edge}, but a connection from this machine is not answered: a firewall is "
          "in between, or ansible_host is not where clients connect.",
          "Allow port {port} to {edge} in the provider's firewall; on {edge}: nft list ruleset"),
    Entry("E326_HOST_UNREACHABLE", "edge", "The edge cannot connect to an app host",
          "{edge} cannot connect to nginx on {hosts}: a firewall or the network between them, or nginx does not run.",
          "On {first}: ss -ltnp 'sport = :{app_port}'; nft list ruleset. From {edge}: nc -vz {address} {app_port}"),
    Entry("E327_EDGE_UNKNOWN", "edge", "An app host does not know this edge",
          "nginx on {hosts} trusts other addresses than {source}, from which {edge} comes. It answers the edge's "
          "health checks with 404, which HAProxy takes for a host that is drained.",
          "Correct private_address of {edge}, and run site.yml for the app hosts, too: they learn their edges there"),
    Entry("W328_HOST_DRAINED", "edge", "An app host was taken out of the fleet",
          "Somebody drained {hosts}: {edge} sends nothing new there.",
          "ansible-playbook playbooks/drain_host.yml --limit {first} -e drain=off"),
    Entry("W329_HOST_MAINTENANCE", "edge", "HAProxy has an app host in maintenance",
          "{edge} sends nothing to {hosts}: somebody said so by HAProxy's admin socket, or a deploy did not reach it.",
          "If playbooks/status.yml says that it missed a deploy, deploy again. Otherwise, on {edge}: "
          "echo 'set server app/{first} state ready' | socat stdio /run/haproxy/admin.sock"),
    Entry("E330_HOST_DOWN", "edge", "An app host fails the edge's health checks",
          "HAProxy on {edge} sends nothing new to {hosts}, because of how its health checks end there.",
          "Look at what the check says; ansible-playbook playbooks/doctor.yml --limit {first}"),
    Entry("E331_ADDRESS_NOWHERE", "tcp", "No edge has the address that edges share",
          "keepalived_address, {shared}, is on none of the edges, so nobody reaches the site there.",
          "On an edge: systemctl status keepalived haproxy; journalctl -u keepalived -n 50"),
    Entry("E332_ADDRESS_TWICE", "tcp", "Several edges have the address that they share",
          "{holders} all have {shared}: they do not hear each other's VRRP, and clients reach either of them.",
          "Let VRRP (IP protocol 112) through between the private_address of all edges; journalctl -u keepalived"),
    Entry("E333_PROXY_PROTOCOL", "edge", "An app host does not expect the PROXY protocol",
          "nginx on {hosts} answers plain HTTP, and not what {edge} sends, which begins with the PROXY protocol.",
          "nginx_proxy_protocol: true for the app hosts (it follows from group proxy), then site.yml"),
    Entry("E334_HOST_UNHEALTHY", "edge", "No handshake works on an app host",
          "nginx on {hosts} answers the health checks of {edge} with 503: it tried a handshake itself, which failed.",
          "ansible-playbook playbooks/doctor.yml --limit {first}; it examines what is behind nginx"),
    Entry("E335_NO_HOST_SERVES", "edge", "No app host can serve",
          "The edge has no app host left that it could send a handshake to, and answers with 503.",
          "ansible-playbook playbooks/status.yml shows why each edge leaves each host out"),
    Entry("W336_HOST_LEFT_OUT", "edge", "The edge sends nothing new to an app host",
          "nginx on {hosts} answers the health checks of {edge} with 404, as if it were drained. Why is not known: "
          "the app host was not examined in this run.",
          "ansible-playbook playbooks/doctor.yml, without --limit"),
)  # fmt: skip
