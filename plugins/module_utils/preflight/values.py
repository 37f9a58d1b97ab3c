"""Check each variable of an inventory by itself against what the roles say about it. Controller only."""

from __future__ import annotations

import json
import re
import shlex
import typing as t
from collections.abc import Iterator, Mapping

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ..text.commands import secrets_command
from .view import (
    HANDED,
    PLACEHOLDER,
    TRUTHS,
    HostView,
    Problem,
    Role,
    Untemplatable,
    is_secret,
    listed,
    nearest,
    strings,
)

# Texts that look like numbers when they are right. Another check reports what YAML makes of 3.10.
VERSIONS = {"release_python"}


# Names of daemons and the like: other authors' roles begin their variables with them, too.
SHARED = frozenset(("base", "certificate", "firewall", "hardening", "nginx", "postgresql", "redis", "supervisor"))


def unknown(host: HostView, roles: Mapping[str, Role]) -> Iterator[tuple[str, str, str]]:
    """Variables that begin like a role's but are not among them, each with the role and the most similar name."""
    known = {name for role in roles.values() for name in role.options}
    helpers = host.names_read_by_inventory()
    # Such as rollback_to: other variables may begin like them, so only near misses are reported.
    without_prefix = {name: role.name for role in roles.values() for name in role.options if not own(role.name, name)}
    for name in sorted(set(host.inventory) - known - helpers - handed(roles)):
        role = next((role for role in roles if own(role, name)), None)
        if role is not None:
            yield name, role, nearest(name, known, 0.85 if role in SHARED else 0.7)
        elif match := nearest(name, without_prefix):
            yield name, without_prefix[match], match


def own(role: str, name: str) -> bool:
    """Whether a variable is named after a role."""
    return name.startswith(f"{role}_")


def handed(roles: Mapping[str, Role]) -> frozenset[str]:
    """What roles and playbooks hand to each other, as facts or as options of entry points."""
    return HANDED.union(*(role.passed for role in roles.values()))


def handed_problems(host: HostView, roles: Mapping[str, Role]) -> Iterator[Problem]:
    """Variables that would override what one role hands to another, such as whether to drop a database."""
    for name in sorted(handed(roles) & set(host.inventory)):
        yield Problem(name, "is what roles hand to each other, and cannot be set", "Take it out.")


def unknown_problems(host: HostView, roles: Mapping[str, Role]) -> Iterator[Problem]:
    """Variables that are nearly always typos, and silently have no effect."""
    for name, role, match in unknown(host, roles):
        if match or role not in SHARED:
            fix = f"Write {match}." if match else "Remove it, or give it a name that does not begin with a role's name."
            yield Problem(name, f"is not a variable of role {role} or of another, and has no effect", fix)


def unknown_notices(host: HostView, roles: Mapping[str, Role]) -> Iterator[str]:
    """Variables that one of the user's own roles may read, since it is named after the same daemon."""
    for name, role, match in unknown(host, roles):
        if not match and role in SHARED:
            yield f"{name} is not a variable of this bundle's role {role}: nothing here reads it."


def option_problems(host: HostView, role: Role) -> Iterator[Problem]:
    """What is wrong with each of a role's variables by itself."""
    for name, spec in sorted(role.options.items()):
        for problem in value_problems(host, name, spec):
            host.faulty.add(name)
            yield problem


def value_problems(host: HostView, name: str, spec: Mapping[str, t.Any]) -> Iterator[Problem]:
    """What is wrong with one value in the inventory, or with its absence."""
    if name not in host.inventory:
        if spec.get("required"):
            yield Problem(name, "is required and not set", f"{first_sentence(spec)}\n  {name}: {sample(spec)}")
        return
    try:
        value = host.render(name)
    except Untemplatable as error:
        if error.problem:
            yield error.problem
        return
    if value is None:
        if spec.get("required") or spec.get("default") is not None:
            yield Problem(name, "is set to nothing", "Write a value, or delete the line.")
        return
    secret = is_secret(name, spec) or any(is_secret(source) for source in host.sources(name))
    hidden = f"is not a valid {spec.get('type', 'str')} (value not shown: it is a secret)"
    found = list(kind_problems(name, value, spec))
    for fault, better in found:
        yield Problem(name, hidden if secret else fault, fix_of(name, spec, "" if secret else better))
    if found:
        return
    bare = {key: item for key, item in spec.items() if key not in ("required", "default", "aliases")}
    for message in ArgumentSpecValidator({name: bare}).validate({name: value}).error_messages:
        fix = f"Write {sample(spec)}. {first_sentence(spec)}"
        readable = re.sub(r"<class '[\w.]*?(?:_AnsibleTagged)?(\w+)'>", lambda match: match[1].lower(), message)
        yield Problem(name, hidden if secret else f"is not valid: {readable}", fix)


def kind_problems(place: str, value: t.Any, spec: Mapping[str, t.Any]) -> Iterator[tuple[str, str]]:
    """Values of the wrong kind, however deep, each with the line that is probably meant, or nothing.

    Ansible's own validation would convert most of them and pass, but roles get what is written. `place` names the
    value in its variable. Whole numbers, true and false may be texts: `-e name=value` can give nothing else.
    """
    kind, is_what = spec.get("type", "str"), f"{within(place)}is {named(value)}"
    if kind == "list":
        yield from list_problems(place, value, spec)
    elif kind == "dict" and not isinstance(value, Mapping):
        yield f"{is_what}, but should be a mapping", line(place, mapping_meant(value))
    elif kind == "dict":
        for key, item in value.items():
            inner = inner_spec(spec, key, item)
            for found in kind_problems(f"{place}.{key}", item, inner):
                secret = f"{within(f'{place}.{key}')}is not a valid {inner.get('type')} (not shown: it is a secret)"
                yield (secret, "") if is_secret(str(key), inner) else found
    elif kind in ("int", "float") and not number(value, kind):
        yield f"{is_what}, but should be a {'whole ' if kind == 'int' else ''}number", ""
    elif kind == "bool" and str(value).strip().lower() not in TRUTHS:
        yield f"{is_what}, but should be true or false", ""
    elif kind in ("str", "path") and isinstance(value, Mapping | list | tuple):
        meant = json.dumps(value, ensure_ascii=False, default=str)
        yield f"{is_what}, but should be a string", line(place, f"'{meant}'")
    elif kind in ("str", "path") and isinstance(value, bool | int | float) and place not in VERSIONS:
        meant = str(value).lower() if isinstance(value, bool) else str(value)
        yield f"{is_what} as YAML reads it, but should be a string", line(place, f'"{meant}"')


def list_problems(place: str, value: t.Any, spec: Mapping[str, t.Any]) -> Iterator[tuple[str, str]]:
    """The same for a list and its items."""
    if not isinstance(value, list | tuple):
        yield f"{within(place)}is {named(value)}, but should be a list", line(place, list_meant(place, value))
        return
    inner = {"type": spec.get("elements", "raw"), "options": spec.get("options")}
    for index, item in enumerate(value, 1):
        if item is None:
            yield f"{within(f'{place}[{index}]')}is empty", ""
        # A command's words may be written as numbers.
        elif not (place.endswith("_command") and isinstance(item, int) and not isinstance(item, bool)):
            yield from kind_problems(f"{place}[{index}]", item, inner)


def inner_spec(spec: Mapping[str, t.Any], key: t.Any, item: t.Any) -> Mapping[str, t.Any]:
    """The spec of a mapping's key: its own, or a list's if the default has lists."""
    if spec.get("options"):
        return {"type": "raw"} if item is None else spec["options"].get(key) or {"type": "raw"}
    default = spec.get("default")
    if isinstance(default, Mapping) and any(isinstance(one, list) for one in default.values()):
        return {"type": "list", "elements": "str"}
    return {"type": "raw"}


def within(place: str) -> str:
    """A place in a variable, for people: `item 2 `, `number of item 1 `; empty for the whole variable."""
    words = [f"item {index}" if index else key for index, key in re.findall(r"\[(\d+)\]|\.([^.\[]+)", place)]
    return f"{' of '.join(reversed(words))} " if words else ""


def line(place: str, meant: str) -> str:
    """The line to write at a place for what is meant there; empty if nothing is."""
    key = place.rpartition(".")[2]
    return meant and (f"- {meant}" if key.endswith("]") else f"{key}: {meant}")


def named(value: t.Any) -> str:
    """What a value is, for people."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    return f'the text "{value}"' if len(str(value)) < 60 else "a text"


def number(value: t.Any, kind: str) -> bool:
    """Whether a value is a number, or a text that everything reads as the same number."""
    if isinstance(value, str):
        return bool(re.fullmatch(r"-?(0|[1-9]\d*)" + (r"(\.\d+)?" if kind == "float" else ""), value))
    return not isinstance(value, bool) and isinstance(value, int if kind == "int" else int | float)


def list_meant(place: str, value: t.Any) -> str:
    """The list that a value is probably meant to be, as YAML, or nothing."""
    if not isinstance(value, str):
        return ""
    name, text = place.rpartition(".")[2], value.strip()
    if name.startswith("release_hooks"):
        items = text.splitlines()
    elif name.endswith("_command"):
        try:
            items = shlex.split(text)
        except ValueError:
            return ""
    else:
        items = re.split(r"[,\s]+", text.strip("[](),"))
    return f"[{', '.join(scalar(item.strip()) for item in items if item.strip())}]"


def mapping_meant(value: t.Any) -> str:
    """The mapping that a value is probably meant to be, as YAML, or nothing."""
    lines = value if isinstance(value, list) else value.split() if isinstance(value, str) else []
    pairs = [str(one).rstrip(",").partition("=") for one in lines]
    if not pairs or not all(key and sign for key, sign, _ in pairs):
        return ""
    return f"{{{', '.join(f'{scalar(key)}: {scalar(text)}' for key, _, text in pairs)}}}"


def scalar(text: str) -> str:
    """A text as YAML writes it inside brackets."""
    plainly = re.fullmatch(r"[A-Za-z_./][\w./@+-]*", text) and text.lower() not in {*TRUTHS, "null"}
    return text if plainly else json.dumps(text, ensure_ascii=False)


def fix_of(name: str, spec: Mapping[str, t.Any], better: str) -> str:
    """What to write for a value of the wrong kind."""
    if better:
        return f"Write it like this:\n  {better}"
    examples = {"list": "[<one>, <two>]", "dict": "{<name>: <value>}"}
    kind = str(spec.get("type", "str"))
    return f"Write {sample(spec)}. {first_sentence(spec)}" + (
        f"\n  {name}: {examples[kind]}" if kind in examples else ""
    )


def first_sentence(spec: Mapping[str, t.Any]) -> str:
    """What a variable is, in one sentence."""
    description = spec.get("description") or ""
    text = description if isinstance(description, str) else str(next(iter(description), ""))
    return re.split(r"(?<=[.!?])\s", " ".join(text.split()), maxsplit=1)[0]


def sample(spec: Mapping[str, t.Any]) -> str:
    """An example of a value, or the choices."""
    if spec.get("choices"):
        return "one of " + ", ".join(str(choice) for choice in spec["choices"])
    return f"<{spec.get('type', 'str')}>"


def placeholder_problems(host: HostView, vault: str) -> Iterator[Problem]:
    """Placeholders from a template inventory that nobody has replaced, each once, by the variable that holds it."""
    readers: dict[str, list[str]] = {}
    for option in sorted({name for role in host.roles for name in role.options}):
        holders = [name for name in host.sources(option) if PLACEHOLDER in "\n".join(strings(host.raw(name)))]
        if not holders and PLACEHOLDER in "\n".join(strings(host.get(option))):
            holders = [option]
        for holder in holders:
            host.faulty.add(option)
            readers.setdefault(holder, []).append(option)
    for holder, options in readers.items():
        reader = "" if holder in options else f" (read by {listed(options)})"
        if is_secret(holder):
            inventory = vault.removesuffix("/group_vars/all/vault.yml")
            fix = (
                "If it asks for a random string, have one generated; otherwise, put your own value into the vault:\n"
                f"  {secrets_command(inventory)}\n  ansible-vault edit {vault}"
            )
        else:
            hints = re.findall(f"{PLACEHOLDER}\\s*(.*?)!!!", "\n".join(strings(host.raw(holder))))
            fix = "Write a value of your own there" + (f": {'; '.join(hints)}" if hints else ".")
        yield Problem(holder, f"still holds a placeholder, {PLACEHOLDER} …{reader}", fix)
