"""A project's first inventory: what `project_inspection` found, and comments on what it could not know."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import textwrap
from pathlib import Path

from ..code.values import known
from ..text.commands import playbook_command, playbook_name, secrets_command
from ..text.document import Document, clean, flow, foreign, inert, quoted, scalar, slash
from ..text.templates import render
from .advice import lets_redis_8_in
from .findings import Inspection, Name
from .given import HINTS, SHARED, Given
from .handshake import write_handshake
from .python import DEBIAN, fitting
from .tasks import rules

HOSTS = Path(__file__).parent / "templates" / "hosts.yml.j2"


class InventoryExists(Exception):
    """Something already exists where the inventory would go."""


class Writer(Given):
    """Makes an inventory from an inspection."""

    def main(self) -> str:
        """group_vars/all/main.yml."""
        found = self.found
        out = Document(
            f"What is deployed of {found.folder}, and how: a first version, by {playbook_name('inspect')}. Fill in "
            "what says !!!SET. docs/variables.md names everything that can be set, docs/projects.md shows what to "
            "write for which shape of project."
        )
        self._release(out)
        self._environment(out)
        self._services(out)
        self._site(out)
        write_handshake(self, out)
        self.deployed.write(out)
        return out.text()

    def _release(self, out: Document) -> None:
        found, needs = self.found, self.found.dependencies
        out.comment("The project's name on the host: its user, folders (/srv/NAME), units and site are called so.")
        out.set("release_app", scalar(found.app))
        out.gap()
        out.comment(
            "Where it comes from: this folder. A git repository takes its place by release_repository, such as "
            f"{found.repository or 'https://git.example.org/team/project.git'}, and release_version."
        )
        out.set("release_folder", foreign(found.folder))
        manager = f"{found.backend}/manage.py".removeprefix("./")
        out.comment(
            f"The folder in it that holds manage.py ({manager}), and what lists its packages, relative to that."
        )
        out.set("release_backend", foreign(found.backend))
        out.set("release_requirements", flow(needs.files))
        if needs.packages:
            out.comment("By its Pipfile, which is not resolved." if needs.kind == "Pipfile" else
                        "Guessed from what it imports: add versions, and what is missing.")  # fmt: skip
        if needs.missing:
            out.comment("Used by the project, and in none of its lists.")
        if packages := [*needs.packages, *needs.missing.values()]:
            out.set("release_packages", flow(packages))
        if needs.unknown and not needs.files:
            out.comment(f"Imported too, from packages that are not known here: {', '.join(needs.unknown)}")
        if lets_redis_8_in(found):
            out.comment("redis-py 8 closes idle consumers of the core channel layer after 5 s.")
            out.set("release_constraints", '["redis<8"]')
        if needs.system:
            out.comment("Packages of Debian for those that have to be built, or that load libraries of it.")
            out.set("release_system_packages", flow(needs.system))
        self._python(out)
        if self.deployed.settings:
            out.comment(f"Settings: {found.settings} ({found.settings_place}), changed by release_files below.")
            out.set("release_settings_module", self.deployed.settings)
        elif found.settings_needed and found.settings:
            out.comment(f"Settings: {found.settings_place}.")
            out.set("release_settings_module", foreign(found.settings))
        elif found.settings:
            out.comment(f"Settings: {found.settings}, as manage.py says ({found.settings_place}).")
        if found.database.kind == "none" or found.database.file == ":memory:":
            what = "in memory" if found.database.kind == "sqlite" else "none"
            out.comment(f"Nothing to migrate: the database is {what} ({found.database.place or found.settings_place}).")
            out.set("release_migrate", "false")
        if found.static_root and found.apps and not found.collects:
            out.comment("Nothing collects static files: that takes django.contrib.staticfiles, and STATIC_URL.")
            out.set("release_collectstatic", "false")
        if paths := self.shared_paths():
            out.comment("Files that the project writes beside its code, and that outlive a release.")
            out.set("release_shared_paths", flow(paths))

    def _python(self, out: Document) -> None:
        fits = fitting(self.found)
        good = [debian for debian, minor in DEBIAN.items() if fits[minor]]
        if len(good) == len(DEBIAN):
            return
        asked = ", ".join(f"{one.text} ({one.place})" for one in self.found.python)
        out.comment(f"It asks for Python {asked}; Debian 12 has 3.11, Debian 13 has 3.13.")
        best = next((minor for minor in (12, 13, 11, 14, 10, 9, 8) if fits[minor]), 0)
        if good:
            out.comment(
                f"Debian {good[0]} will do. For another, put release_python and release_python_download in place of "
                "this line (docs/projects.md)."
            )
            out.set("preflight_debian_versions", f'["{good[0]}"]')
        elif best:
            out.set("release_python", f'"3.{best}"')
            out.comment("It is fetched from its makers' releases.")
            out.set("release_python_download", "true")

    def shared_paths(self) -> list[str]:
        """Whatever lies beside the code and must survive deploys."""
        found, paths = self.found, []
        for database in (found.database, *found.further.values()):
            given = {"name", "url", "folder"} & set(database.names)
            if database.kind == "sqlite" and not given and database.beside and database.file not in paths:
                paths.append(database.file)
        elsewhere = found.media_name or found.media.startswith(("/", "..")) or found.media in ("", ".")
        collected = found.static_root and f"{found.media}/".startswith(f"{found.static_root}/")
        if not elsewhere and not collected:
            paths.append(f"{found.media}/")
        return paths

    def _environment(self, out: Document) -> None:
        found = self.found
        out.gap()
        out.comment("The environment, under the names that the project reads.")
        if self.environment:
            out.raw("release_environment:")
            for read, value in self.environment:
                if found.purposes.get(read.name) == "debug":
                    out.comment(f"Turns DEBUG off ({found.debug_place or read.places[0]}).", indent=2)
                elif read.name in found.choices:
                    out.comment(f"As the code compares it for hosts ({read.places[0]}).", indent=2)
                out.set(scalar(read.name), quoted(value), indent=2)
        else:
            out.set("release_environment", "{}")
        if self.left:
            out.comment("Read too, and left at what the project does without them:", indent=2)
            for left in self.left[:60]:
                out.comment(told(left, line=bool(self.environment)), indent=2)
        if self.secrets:
            out.comment("Secrets are in vault.yml beside this file.")
            out.raw("release_secrets:")
            for name, value in sorted(self.secrets):
                out.set(scalar(name), quoted(value), indent=2)

    def _services(self, out: Document) -> None:
        found = self.found
        out.gap()
        if found.layer.kind in ("core", "pubsub"):
            out.comment(f"The channel layer: {found.layer.backend} ({found.layer.place}).")
        if found.layer.prefix and re.fullmatch(r"[\w.:-]+", found.layer.prefix):
            out.set("redis_prefix", scalar(found.layer.prefix))
        if self.redis_password:
            self.vault.setdefault("vault_redis_password", HINTS["redis"])
            out.set("redis_password", '"{{ vault_redis_password }}"')
        if self.anonymous:
            out.comment("The project gives Redis no name of a user, so the channel layer is open to the host itself.")
            out.set("redis_anonymous", "true")
        if self.tasks_user:
            self.vault.setdefault("vault_tasks_password", HINTS["redis"])
            out.comment(
                "The channel layer's user may use nothing but the channel layer; this one is for tasks and caches."
            )
            out.comment("Without FLUSHDB, which empties what is others' too.")
            out.raw("redis_extra_users:", "  - >-")
            shared = any(found.purposes.get(one, "").startswith("redis_") for one in found.brokers)
            hashed = "{{ vault_tasks_password | hash('sha256') }}"
            words = f"user tasks on #{hashed} {rules(found.tasks, layer=shared)}"
            lines = textwrap.wrap(words, 110, break_long_words=False, break_on_hyphens=False)
            out.raw(*(f"    {line}" for line in lines))
        elif found.brokers and not any(purpose == "amqp" for purpose in found.purposes.values()):
            out.comment("A task queue or cache on the same Redis needs a user of its own: redis_extra_users.")
        aliases = self.aliases()
        if aliases:
            out.comment("Names of hosts that are in the code, as compose files have them.")
            out.set("base_host_aliases", "{" + ", ".join(f"{scalar(name)}: 127.0.0.1" for name in aliases) + "}")
        if self.uses_postgresql:
            self.vault.setdefault("vault_postgresql_password", HINTS["redis"])
            out.comment(
                "PostgreSQL, on the host of group database; take the host out of that group where you have your own."
            )
            out.set("postgresql_password", '"{{ vault_postgresql_password }}"')
            if found.postgis:
                out.comment(
                    f"PostGIS is its administrator's to make: run {playbook_name('provision')}, then on the host "
                    f"runuser -u postgres -- psql -d {found.app.replace('-', '_')} -c 'CREATE EXTENSION postgis'"
                )
            fixed = {role: text for role, text in found.database.literals.items() if role in ("name", "user")}
            if fixed:
                what = ", ".join(f"{role} {text}" for role, text in fixed.items())
                out.comment(
                    f"In the code ({found.database.place}): {what}, and maybe a password. The server must have them."
                )

    def aliases(self) -> list[str]:
        """Host names that are in the code and that only a compose file defines."""
        hosts = [one.host for one in self.found.layer.addresses if one.hard_coded]
        if self.uses_postgresql and "host" not in self.found.database.names:
            hosts.append(self.found.database.literals.get("host", ""))
        return sorted({one for one in hosts if re.fullmatch(r"[a-z][a-z0-9_-]*", one) and one != "localhost"})

    def _site(self, out: Document) -> None:
        found = self.found
        out.gap()
        out.comment(f"module.path:attribute, as you would give it to daphne ({found.asgi_place or 'not found'}).")
        if self.deployed.asgi:
            out.comment("Reached by a module of release_files below, which says why.")
            out.set("asgi_application", "deployed_asgi:application")
        else:
            missing = '"!!!SET such as core.asgi:application!!!"'
            out.set("asgi_application", foreign(found.asgi) if found.asgi else missing)
        if not found.http and found.wsgi:
            out.comment("It answers no plain HTTP, which gunicorn does beside it.")
            out.set("asgi_http", "wsgi")
            out.set("asgi_wsgi_application", foreign(found.wsgi))
        if found.workers:
            out.comment("Other processes; docs/managers.md says what can be set for each.")
            out.raw("asgi_workers:")
            for worker in found.workers:
                out.comment(str(worker.place), indent=2)
                out.raw(f"  - name: {worker.name}", f"    command: {scalar(worker.command)}")
                if worker.singleton:
                    out.raw("    singleton: true")
        out.gap()
        out.comment("The name under which browsers find the site.")
        out.set("site_name", '"!!!SET such as www.example.org!!!"')
        out.set("nginx_server_names", '["{{ site_name }}"]')
        out.comment(
            "TLS: a certificate of Let's Encrypt, which renews itself; port 80 must be reachable. docs/tls.md has "
            "other ways, and what Django behind it should know."
        )
        out.set("certificate_source", "acme")
        out.set("certificate_acme_email", '""')
        out.comment(
            "Until the first run has worked: certificates that no browser trusts, and limits that are hard to reach."
        )
        out.raw("# certificate_acme_staging: true")
        for socket in found.sockets[:20]:
            out.comment(f"{socket.pattern or '(empty)'} ({socket.place})")
        out.set("nginx_websocket_paths", flow(self.prefixes()))
        if found.static_url and found.static_url != "/static/":
            out.set("nginx_static_url", foreign(slash(found.static_url)))
        if media := self.media_folder():
            out.set("nginx_media_url", foreign(slash(found.media_url)))
            out.set("nginx_media_folder", scalar(media))
        out.gap()
        out.comment("docs/firewall.md. A host that has a firewall of its own keeps it with firewall_enabled: false.")
        for name in ("firewall_enabled", "hardening_ssh_keys_only", "hardening_upgrades"):
            out.set(name, "true")

    def media_folder(self) -> str:
        """The folder on the host that holds uploads; empty if nginx serves none."""
        found = self.found
        if not found.media_url or found.media_url == "/":
            return ""
        if found.media_name:
            return f"{SHARED}/{inert(found.media_below) or 'media'}"
        return f"{SHARED}/{inert(found.media)}" if f"{found.media}/" in self.shared_paths() else ""

    def prefixes(self) -> list[str]:
        """The smallest set of prefixes that covers all routes, each a whole folder of the path."""
        if not self.found.sockets:
            return ["/ws/"]
        found = []
        for socket in self.found.sockets:
            prefix = socket.prefix if not socket.variable else socket.prefix[: socket.prefix.rfind("/") + 1]
            first = "/" + prefix.strip("/").partition("/")[0]
            found.append(
                first + "/"
                if len(prefix.strip("/").split("/")) > 1 or (prefix.endswith("/") and first != "/")
                else prefix
            )
        found = [one if one == "/" or re.fullmatch(r"[\w/.~@%+-]+", one) else "/" for one in found]
        return sorted(one for one in set(found) if not any(other != one and one.startswith(other) for other in found))

    def hosts(self, inventory: str) -> str:
        """hosts.yml."""
        values = {
            "secrets_command": secrets_command(inventory), "site_command": playbook_command("site", inventory),
            "app": self.found.app,
            "uses_redis": self.uses_redis, "uses_postgresql": self.uses_postgresql,
        }  # fmt: skip
        return render(HOSTS, values, finalize=clean)

    def secrets_file(self, inventory: str) -> str:
        """group_vars/all/vault.yml."""
        out = Document(
            f"Secrets. `{clean(secrets_command(inventory))}` makes those that any random string will do for, and "
            "encrypts this file: docs/secrets.md."
        )
        for name, hint in sorted(self.vault.items()):
            out.set(name, json.dumps(f"!!!SET {hint}!!!"))
        if not self.vault:
            out.raw("{}")
        return out.text()


def told(name: Name, *, line: bool) -> str:
    """A name and its default, as a line to uncomment if the default fits on one line."""
    default = known(name.value.default)
    if isinstance(default, bool):
        default = str(default)
    if line and not name.secret and isinstance(default, str | int | float) and default != "" and len(str(default)) < 60:
        return f"{scalar(name.name)}: {foreign(clean(default))} # {name.places[0]}"
    if not name.secret and isinstance(default, str | int | float) and default != "" and len(str(default)) < 60:
        return f"{name.name} ({name.places[0]}), which is {clean(default)}"
    state = "unset" if default is None else "secret" if name.secret else "empty" if default == "" else "computed"
    return f"{name.name} ({name.places[0]}), which is {state}"


def write(found: Inspection, inventory: Path) -> list[Path]:
    """Write the inventory; raise InventoryExists, and touch nothing, if there is one already."""
    if os.path.lexists(inventory) and not (inventory.is_dir() and not any(inventory.iterdir())):
        raise InventoryExists(
            f"{inventory} is there already, and is not overwritten: name another by -e inspect_inventory=, or move it"
        )
    files = documents(found, inventory)
    inventory.parent.mkdir(parents=True, exist_ok=True)
    # All or nothing: a partial inventory would block every later attempt.
    made = Path(tempfile.mkdtemp(prefix=f".{inventory.name}-", dir=inventory.parent))
    try:
        for name, text in files.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (made / "group_vars" / "all" / "vault.yml").chmod(0o600)
        made.chmod(0o755)
        made.rename(inventory)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return [inventory / name for name in files]


def documents(found: Inspection, inventory: Path) -> dict[str, str]:
    """The inventory's files, by their paths in it."""
    writer = Writer(found)
    name = os.path.relpath(inventory)
    name = str(inventory) if name.startswith("..") else name
    main = writer.main()  # this also finds out what the others need
    return {
        "hosts.yml": writer.hosts(name),
        "group_vars/all/main.yml": main,
        "group_vars/all/vault.yml": writer.secrets_file(name),
    }
