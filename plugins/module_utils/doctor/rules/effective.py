"""What nginx does with a handshake, by its own request: each finding has been tried, or nginx's log says it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..answers import REDIRECTS, opened, told
from ..case import Case, Finding
from ..lines import lacking, missing

#: What speaks which protocol.
PROTOCOLS = {"uwsgi_pass": "the uwsgi protocol", "fastcgi_pass": "FastCGI", "scgi_pass": "SCGI",
             "grpc_pass": "HTTP/2", "memcached_pass": "memcached's protocol"}  # fmt: skip
#: What a client checks in an answer to its handshake (RFC 6455, 4.1).
ANSWER = ("upgrade", "connection", "sec-websocket-accept")
#: What nginx answers to a client that lacks the certificate of ssl_verify_client.
CLIENT_CERT = "No required SSL certificate was sent"
#: Before this version of nginx, http2 on a port without TLS excluded HTTP/1.1.
BOTH_VERSIONS = (1, 25, 1)


def effective(case: Case) -> Iterator[Finding]:
    """What nginx sends, where it sends it, and what it says about that."""
    route, came = case.route, case.proxy
    if not route or "sends" not in route or came is None:
        return
    # What keeps a request from being handled at all explains it whole, whatever nginx would send.
    before = [*_listens(case, came), *_answer_changed(case, came)]
    if route.get("loop") and not opened(came):
        listening = ", ".join(address for each in case.host.get("processes", []) if each["speaks"]
                              for address in each["listens"])  # fmt: skip
        seen = [told(came), f"{_line(case)}: {route['handler']} {route['value']}"]
        before.append(case.find("E356_PROXY_LOOP", seen, line=_line(case), upstream=route["pass"],
                                listening=listening or "the server"))  # fmt: skip
    if not opened(came) and not before and (full := _full(case, came)):
        before.append(full)
    yield from before
    if before or opened(came) or nothing_runs(case):
        return
    yield from _said(case, came)
    replay = case.nginx.get("replay") or {}
    if route["handler"] in PROTOCOLS and case.direct and case.direct["status"]:
        yield _protocol(case, came)
    elif shadowed(case):
        yield _other_block(case, came)
    elif rule := answering_rule(case):
        yield _rule(case, came, rule)
    elif case.outdated:
        files = ", ".join(case.nginx["unread"])
        yield case.find("E349_NOT_RELOADED", [told(came), told(replay["whole"])], files=files)
    elif replay:
        yield from _differences(case, came, replay)


def answering_rule(case: Case) -> dict[str, Any] | None:
    """The rule that answers with the status that was seen: one that nginx reaches, or the only one that it may reach.

    Nothing else may explain it: nginx's own request is accepted, or it would not send any.
    """
    route, came = case.route, case.proxy
    if came is None or not opened(case.direct) or case.bundle or came["status"] in REDIRECTS or shadowed(case):
        return None
    status = came["status"] or (444 if came["reason"] == "closed without an answer" else 0)
    if route.get("handler") == "return" and route["status"] == status:
        return {"where": route["handler_line"], "line": f"return {status}", "status": status}
    doubts = [each for each in route.get("doubts", []) if each["status"] == status]
    replayed = opened((case.nginx.get("replay") or {}).get("whole"))
    return doubts[0] if replayed and len(doubts) == 1 else None


def _rule(case: Case, came: dict[str, Any], rule: dict[str, Any]) -> Finding:
    route, again = case.route, "then nginx -t && systemctl reload nginx"
    mend = f"Remove {rule['where']}: {rule['line']}; or keep it off the path {case.path}, {again}"
    if route["handler"] == "return" and not route["passes"] and route["location"]:
        lacks = ["version", *(name for name in ("upgrade", "connection") if name not in route["headers"])]
        mend = f"In {rule['where']}: in place of {rule['line']}, proxy_pass {target(case)}; {missing(route, lacks)}"
    return case.find("E354_RULE_ANSWERS", [told(came), told(case.direct), f"{rule['where']}: {rule['line']}"],
                     line=rule["where"], rule=rule["line"], status=rule["status"], mend=mend)  # fmt: skip


def target(case: Case) -> str:
    """Where the location should lead, as far as that is known."""
    server = next((each for each in case.servers if each["pid"]), None)
    if server is None:
        return "http://ADDRESS"
    return f"{'https' if server.get('tls') else 'http'}://{server['address'].removeprefix('tcp:')}"


def _answer_changed(case: Case, came: dict[str, Any]) -> Iterator[Finding]:
    """A 101 that lacks what clients check."""
    direct = case.direct
    if not opened(came) or not opened(direct) or not direct or not came["headers"]:
        return
    lost_ones = [name for name in ANSWER if name in direct["headers"] and name not in came["headers"]]
    if lost_ones:
        lines = [each for each in case.route.get("hides", []) if each.split()[-1].lower() in lost_ones]
        yield case.find("E357_ANSWER_CHANGED", [told(came), *lines], names=", ".join(lost_ones),
                        lines=", ".join(lines) or "proxy_hide_header in " + case.route["where"])  # fmt: skip


def nothing_runs(case: Case) -> bool:
    """Whether nginx does not run, or not with this configuration: then it is not to blame for more."""
    return not case.nginx.get("running", True)


def _listens(case: Case, came: dict[str, Any]) -> Iterator[Finding]:
    """Flags of the port, which any site's line sets for all."""
    lines = case.route["listen"].get("lines", {})
    version = tuple(int(part) for part in (case.nginx.get("version") or "0").split("."))
    not_http = came["stage"] == "handshake" and "not HTTP" in came["reason"]
    if not_http and "http2" in lines and "tls" not in lines and version < BOTH_VERSIONS:
        yield case.find("E344_LISTEN_HTTP2", told(came), line=lines["http2"], version=case.nginx["version"])
    bare = case.one("proxy", "bare")
    if "proxied" in lines and bare and not bare["status"] and came["status"] and not opened(case.outside):
        seen = [f"without the PROXY protocol: {told(bare)}", f"with it: {told(came)}"]
        yield case.find("E345_LISTEN_PROXY_PROTOCOL", seen, line=lines["proxied"])


def _full(case: Case, came: dict[str, Any]) -> Finding | None:
    """No connection is left: nginx's log says so, or the fullest worker has as many as it may have."""
    state = case.nginx.get("connections") or {}
    said = case.said("connections", "files")
    # Without a connection for the client, nginx closes; without one for the server, it answers 500.
    failed = came["stage"] or came["status"] == 500
    used = state and failed and state["used"] >= state["limit"] - 1
    files = state and failed and state["files_limit"] and state["files"] >= state["files_limit"] - 2
    if not state or not (said or used or files):
        return None
    of_files = any(each["kind"] == "files" for each in said) or bool(files and not said)
    limit = state["files_limit"] if of_files else state["limit"]
    what = "worker_rlimit_nofile" if of_files else "worker_connections"
    where = "the main context of nginx.conf" if of_files else state["line"] or "the events block of nginx.conf"
    more = max(65536 if of_files else 16384, 4 * limit)
    files_too = f" and, in the main context, worker_rlimit_nofile {2 * more};" if state["files_limit"] < more else ""
    setting = f"{what} {more};" + ("" if of_files else files_too)
    seen = [told(came), f"the fullest worker has {state['used']} sockets and {state['files']} files open",
            *(each["line"] for each in said)]  # fmt: skip
    return case.find("E350_PROXY_FULL", seen, what=what, limit=limit, line=where, setting=setting)


def _said(case: Case, came: dict[str, Any]) -> Iterator[Finding]:
    for each in case.said("certificate")[:1]:
        yield case.find(
            "E351_UPSTREAM_CERT", [told(came), each["line"]], error=each["line"], upstream=case.route["pass"]
        )
    for each in case.said("no_servers")[: 1 if case.route.get("max_conns") else 0]:
        line = case.route["max_conns"][0]
        limit = line.rpartition("max_conns=")[2].split()[0]
        yield case.find("E350_PROXY_FULL", [told(came), each["line"], line], what="max_conns", limit=limit,
                        line=line.partition(": ")[0], setting="remove max_conns,")  # fmt: skip
    if refused := next((each for each in (came, case.outside) if each and CLIENT_CERT in each["body"]), None):
        yield case.find("E355_CLIENT_CERT", told(refused), server=case.route["server"])
    for each in case.said("subrequest")[:1]:
        guard = next((line for line in case.route.get("guards", []) if ": auth_request " in line), "auth_request")
        line = guard.partition(": ")[0]
        where = line if line in case.route.get("own_guards", []) else case.route["where"]
        yield case.find("E359_AUTH_REQUEST", [told(came), each["line"], guard], error=each["line"], guard=guard,
                        where=where)  # fmt: skip
    for each in case.said("name")[:1]:
        yield case.find("E352_UPSTREAM_NAME", [told(came), each["line"]], error=each["line"], where=_line(case))

    remote = [each for each in case.servers if each.get("remote")]
    if remote and not case.said("name") and case.direct and case.direct["stage"] in ("name", "tcp"):
        address = remote[0]["address"].removeprefix("tcp:")
        seen = [told(came), told(case.direct), *(each["line"] for each in case.said("connect", "late"))]
        yield case.find("E353_UPSTREAM_UNREACHED", seen, upstream=address, port=address.rpartition(":")[2],
                        error=case.direct["reason"], host=address.rpartition(":")[0], line=_line(case))  # fmt: skip


def _line(case: Case) -> str:
    return case.route.get("handler_line") or case.route["where"]


def _protocol(case: Case, came: dict[str, Any]) -> Finding:
    route = case.route
    lacks = ["version"] if route["http_version"] == "1.0" else []
    lacks += [name for name in ("upgrade", "connection") if name not in route["headers"]]
    return case.find("E343_OTHER_PROTOCOL", [told(came), told(case.direct), f"{_line(case)}: {route['handler']}"],
                     directive=route["handler"], protocol=PROTOCOLS[route["handler"]], line=_line(case),
                     upstream=route["pass"], rest=route["pass"], lines=missing(route, lacks))  # fmt: skip


def _differences(case: Case, came: dict[str, Any], replay: dict[str, Any]) -> Iterator[Finding]:
    """The differences that make the server's answer another one, each tried alone."""
    trials = {each["name"]: each for each in replay["trials"]}
    causes = [name for name in replay["causes"] if name in trials]
    lacks = lacking(case.route)
    if any(name in causes for name in lacks):
        yield from lost(case, came, lacks, trials)
    for name in causes:
        trial = trials[name]
        seen = [told(came), told(case.direct), f"with {_named(name)} as nginx sends it: {told(trial['came'])}"]
        if name == "scheme":
            yield _scheme(case, seen, trial)
        elif name in ("path", "query"):
            yield _path(case, seen, trial)
        elif name not in lacks:
            yield _header(case, seen, trial)


def _named(name: str) -> str:
    names = {"scheme": "TLS", "path": "the path", "query": "the query", "version": "HTTP's version"}
    return names.get(name, f"the header {name}")


def lost(
    case: Case, came: dict[str, Any], lacks: list[str], trials: dict[str, dict[str, Any]] | None = None
) -> Iterator[Finding]:
    """What nginx does not pass on of an upgrade, by its effective headers; only lines that are not there."""
    if not lacks:
        return
    route = case.route
    seen = [told(came), told(case.direct), _settings(route)]
    seen += [
        f"with {_named(name)} as nginx sends it: {told(trials[name]['came'])}"
        for name in lacks
        if trials and name in trials
    ]
    lines = missing(route, lacks)
    present = [route["header_lines"][name] for name in lacks if name in route.get("header_lines", {})]
    if present and route["header_lines"]:
        own, once, rest = lines.partition(" and, once")
        lines = f"{own} in place of what is at {' and '.join(dict.fromkeys(present))}{';' if once else ''}{once}{rest}"
    outer = {name: where for name, where in route.get("hidden", {}).items() if name in lacks}
    if outer and route["headers"]:
        own = ", ".join(sorted(set(route["header_lines"].values())))
        outside = ", ".join(f"{name.title()} in {where}" for name, where in outer.items())
        yield case.find("E346_HEADERS_NOT_INHERITED", seen, lines=lines, own=own, outer=outside)
        return
    if trials:  # a server that accepts HTTP/1.0 is not what makes it fail
        lacks = [name for name in lacks if name in trials and not opened(trials[name]["came"])]
    codes = {"upgrade": "E301_UPGRADE_LOST", "connection": "E302_CONNECTION_LOST", "version": "E303_HTTP10"}
    code = next(codes[each] for each in ("upgrade", "connection", "version") if each in lacks)
    yield case.find(code, seen, lines=lines)


def _settings(route: dict[str, Any]) -> str:
    kept = {name: value for name, value in route["headers"].items() if name in ("upgrade", "connection")}
    return f"{route['where']}: proxy_http_version {route['http_version']}, headers of an upgrade: {kept or 'none'}"


def _scheme(case: Case, seen: list[str], trial: dict[str, Any]) -> Finding:
    value = case.route["value"].partition("://")[2] or case.route["pass"]
    code = "E341_TLS_TO_PLAIN" if trial["sent"] == "TLS" else "E342_PLAIN_TO_TLS"
    return case.find(code, [*seen, f"{_line(case)}: proxy_pass {case.route['value']}"], line=_line(case), rest=value,
                     upstream=case.route["pass"])  # fmt: skip


def _path(case: Case, seen: list[str], trial: dict[str, Any]) -> Finding:
    """The path or the query is another one behind nginx, by the address in proxy_pass or by rules."""
    route, again = case.route, "then nginx -t && systemctl reload nginx"
    rules = [each for each in route["changed"] if not each["line"].startswith("proxy_pass")]
    where = ", ".join(f"{each['where']}: {each['line']}" for each in rules)
    asked, sent = trial["good"], trial["sent"]
    if trial["name"] == "query":
        asked, sent = f"{case.path} with a query", f"{route['uri']} without it"
        why = f"{_line(case)} drops the query."
        mend = f"In {_line(case)}: add $is_args$args at the end of the address of proxy_pass, {again}"
    elif rules:
        why = f"it is changed by {where}."
        mend = f"Remove {where}; or keep it off the path {case.path}, {again}"
    else:
        value = route["value"]
        scheme, _, rest = value.partition("://")
        address = value.rpartition(":")[0] if rest.startswith("unix:") else f"{scheme}://{rest.partition('/')[0]}"
        why = f"{value} has a path after the address, and puts it in the place of {' '.join(route['location'])}."
        mend = f"In {_line(case)}: proxy_pass {address}; with nothing after the address, {again}"
    return case.find("E340_PATH_CHANGED", [*seen, f"{asked} becomes {sent}"], asked=asked, sent=sent, why=why,
                     mend=mend)  # fmt: skip


def _header(case: Case, seen: list[str], trial: dict[str, Any]) -> Finding:
    """One header makes the server refuse the handshake."""
    route, name = case.route, trial["name"]
    line = route["header_lines"].get(name, "")
    title = "-".join({"websocket": "WebSocket"}.get(part, part.title()) for part in name.split("-"))
    variable = "$http_host" if name == "host" else f"$http_{name.replace('-', '_')}"
    if route.get("without_headers") and trial["sent"] == "nothing":
        mend = f"In {route['without_headers']}: remove proxy_pass_request_headers off;"
    elif trial["good"] == "nothing":
        mend = f"In {line or route['where']}: remove proxy_set_header {title}, or correct its value"
    elif line:
        mend = f"In {line}: proxy_set_header {title} {variable}; in place of the line that is there"
    else:
        mend = f"In {route['where']}: proxy_set_header {title} {variable};"
    return case.find("E347_HEADER_CHANGED", seen, name=title, sent=trial["sent"], good=trial["good"], mend=mend)


def shadowed(case: Case) -> bool:
    """Whether another server block gets the request: its name was tried, or nginx warns of the conflict."""
    other = case.route.get("shadowed") or {}
    if not other or not case.route["certain"] or opened(case.proxy):
        return False
    return opened(case.nginx.get("other_name")) or bool(other["same"] and _warned(case))


def _warned(case: Case) -> list[str]:
    return [line for line in case.nginx.get("warnings", []) if "conflicting server name" in line]


def _other_block(case: Case, came: dict[str, Any]) -> Finding:
    """Another server block gets the request than the one that would pass it on."""
    route, again = case.route, "nginx -t && systemctl reload nginx"
    other, renamed = route["shadowed"], case.nginx.get("other_name") or {}
    names = " ".join(route["names"]) or "no name"
    if opened(renamed):
        why = f"No server block on this port is named {case.name}: nginx takes the first, {route['server']} ({names})."
        mend = f"In {other['where']}: server_name {other['names']} {case.name}; {again}"
    else:
        why = f"Two server blocks have this name and port, and nginx takes the first, {route['server']}."
        mend = f"Remove the block in {route['server']}, or its name {case.name}; {again}"
    seen = [told(came), *(["with the other block's name: " + told(renamed)] if renamed else []), *_warned(case)[:1]]
    return case.find("E348_OTHER_SERVER_BLOCK", seen, why=why, other=other["where"], mend=mend)
