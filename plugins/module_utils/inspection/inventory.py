"""A project's first inventory: what `project_inspection` found, and comments on what it could not find out."""

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
        """Return the text of group_vars/all/main.yml."""
        found = self.found
        out = Document(
            f"How to deploy {found.folder}: a first version, written by {playbook_name('inspect')}. Fill in every "
            "!!!SET. docs/variables.md lists all variables, and docs/projects.md shows what to write for each kind of "
            "project."
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
        out.comment("The project's name on the host, for its user, folders (/srv/NAME), units and site.")
        out.set("release_app", scalar(found.app))
        out.gap()
        out.comment(
            "The code comes from this folder. To use a git repository instead, set release_repository, such as "
            f"{found.repository or 'https://git.example.org/team/project.git'}, and release_version."
        )
        out.set("release_folder", foreign(found.folder))
        manager = f"{found.backend}/manage.py".removeprefix("./")
        out.comment(
            f"The folder in it that contains manage.py ({manager}), and the files below that folder that list packages."
        )
        out.set("release_backend", foreign(found.backend))
        out.set("release_requirements", flow(needs.files))
        if needs.packages:
            out.comment("From its Pipfile, which is not resolved." if needs.kind == "Pipfile" else
                        "Guessed from its imports: add versions, and packages that are missing.")  # fmt: skip
        if needs.missing:
            out.comment("The project uses these, but none of its lists has them.")
        if packages := [*needs.packages, *needs.missing.values()]:
            out.set("release_packages", flow(packages))
        if needs.unknown and not needs.files:
            out.comment(f"It also imports these, from unknown packages: {', '.join(needs.unknown)}")
        if lets_redis_8_in(found):
            out.comment("redis-py 8 closes idle consumers of the core channel layer after 5 s.")
            out.set("release_constraints", '["redis<8"]')
        if needs.system:
            out.comment("Debian packages that the project's packages need, to be built or to run.")
            out.set("release_system_packages", flow(needs.system))
        self._python(out)
        if self.deployed.settings:
            out.comment(f"Settings: {found.settings} ({found.settings_place}), which release_files below changes.")
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
            out.comment("Static files are not collected: that needs django.contrib.staticfiles and STATIC_URL.")
            out.set("release_collectstatic", "false")
        if paths := self.shared_paths():
            out.comment("Files that the project writes next to its code, and that must outlive a release.")
            out.set("release_shared_paths", flow(paths))

    def _python(self, out: Document) -> None:
        fits = fitting(self.found)
        good = [debian for debian, minor in DEBIAN.items() if fits[minor]]
        if len(good) == len(DEBIAN):
            return
        asked = ", ".join(f"{one.text} ({one.place})" for one in self.found.python)
        out.comment(f"It needs Python {asked}; Debian 12 has 3.11, Debian 13 has 3.13.")
        best = next((minor for minor in (12, 13, 11, 14, 10, 9, 8) if fits[minor]), 0)
        if good:
            out.comment(
                f"Debian {good[0]} has one that fits. For another Debian, replace this line with release_python and "
                "release_python_download (docs/projects.md)."
            )
            out.set("preflight_debian_versions", f'["{good[0]}"]')
        elif best:
            out.set("release_python", f'"3.{best}"')
            out.comment("uv downloads that Python.")
            out.set("release_python_download", "true")

    def shared_paths(self) -> list[str]:
        """Return the paths next to the code that must survive deploys."""
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
        out.comment("The environment variables that the project reads.")
        if self.environment:
            out.raw("release_environment:")
            for read, value in self.environment:
                if found.purposes.get(read.name) == "debug":
                    out.comment(f"Turns DEBUG off ({found.debug_place or read.places[0]}).", indent=2)
                elif read.name in found.choices:
                    out.comment(f"The value that the code compares with on hosts ({read.places[0]}).", indent=2)
                out.set(scalar(read.name), quoted(value), indent=2)
        else:
            out.set("release_environment", "{}")
        if self.left:
            out.comment("The project also reads these. Without them, it uses its own defaults:", indent=2)
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
            out.comment("The project sends Redis no user name, so the channel layer is open to the host itself.")
            out.set("redis_anonymous", "true")
        if self.tasks_user:
            self.vault.setdefault("vault_tasks_password", HINTS["redis"])
            out.comment("The channel layer's user may use only the channel layer. This user is for tasks and caches.")
            out.comment("It may not use FLUSHDB, which would also delete other users' data.")
            out.raw("redis_extra_users:", "  - >-")
            shared = any(found.purposes.get(one, "").startswith("redis_") for one in found.brokers)
            hashed = "{{ vault_tasks_password | hash('sha256') }}"
            words = f"user tasks on #{hashed} {rules(found.tasks, layer=shared)}"
            lines = textwrap.wrap(words, 110, break_long_words=False, break_on_hyphens=False)
            out.raw(*(f"    {line}" for line in lines))
        elif found.brokers and not any(purpose == "amqp" for purpose in found.purposes.values()):
            out.comment("A task queue or cache on the same Redis needs its own user: redis_extra_users.")
        aliases = self.aliases()
        if aliases:
            out.comment("Host names that are written in the code, as compose files define them.")
            out.set("base_host_aliases", "{" + ", ".join(f"{scalar(name)}: 127.0.0.1" for name in aliases) + "}")
        if self.uses_postgresql:
            self.vault.setdefault("vault_postgresql_password", HINTS["redis"])
            out.comment(
                "PostgreSQL, on the host in group database. If you have your own server, take the host out of it."
            )
            out.set("postgresql_password", '"{{ vault_postgresql_password }}"')
            if found.postgis:
                out.comment(
                    f"Only an administrator can create PostGIS: run {playbook_name('provision')}, then on the host "
                    f"runuser -u postgres -- psql -d {found.app.replace('-', '_')} -c 'CREATE EXTENSION postgis'"
                )
            fixed = {role: text for role, text in found.database.literals.items() if role in ("name", "user")}
            if fixed:
                what = ", ".join(f"{role} {text}" for role, text in fixed.items())
                out.comment(
                    f"In the code ({found.database.place}): {what}, and maybe a password. The server must have them."
                )

    def aliases(self) -> list[str]:
        """Return host names that are written in the code and that only a compose file defines."""
        hosts = [one.host for one in self.found.layer.addresses if one.hard_coded]
        if self.uses_postgresql and "host" not in self.found.database.names:
            hosts.append(self.found.database.literals.get("host", ""))
        return sorted({one for one in hosts if re.fullmatch(r"[a-z][a-z0-9_-]*", one) and one != "localhost"})

    def _site(self, out: Document) -> None:
        found = self.found
        out.gap()
        out.comment(f"module.path:attribute, as you would give it to daphne ({found.asgi_place or 'not found'}).")
        if self.deployed.asgi:
            out.comment("A module in release_files below loads the application, and says why.")
            out.set("asgi_application", "deployed_asgi:application")
        else:
            missing = '"!!!SET such as core.asgi:application!!!"'
            out.set("asgi_application", foreign(found.asgi) if found.asgi else missing)
        if not found.http and found.wsgi:
            out.comment("It does not answer plain HTTP, so gunicorn does.")
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
        out.comment("The site's name in browsers.")
        out.set("site_name", '"!!!SET such as www.example.org!!!"')
        out.set("nginx_server_names", '["{{ site_name }}"]')
        out.comment(
            "TLS: a certificate from Let's Encrypt, which is renewed automatically; port 80 must be reachable. "
            "docs/tls.md describes other ways, and what to set in Django."
        )
        out.set("certificate_source", "acme")
        out.set("certificate_acme_email", '""')
        out.comment(
            "Until the first run has worked, you can use certificates that no browser trusts. Their limits are hard to "
            "reach."
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
        out.comment("See docs/firewall.md. To keep a firewall that the host already has, set firewall_enabled: false.")
        for name in ("firewall_enabled", "hardening_ssh_keys_only", "hardening_upgrades"):
            out.set(name, "true")

    def media_folder(self) -> str:
        """Return the folder on the host that contains uploads; empty if nginx serves none."""
        found = self.found
        if not found.media_url or found.media_url == "/":
            return ""
        if found.media_name:
            return f"{SHARED}/{inert(found.media_below) or 'media'}"
        return f"{SHARED}/{inert(found.media)}" if f"{found.media}/" in self.shared_paths() else ""

    def prefixes(self) -> list[str]:
        """Return the fewest prefixes that cover all routes. Each is a whole folder of the path."""
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
        """Return the text of hosts.yml."""
        values = {
            "secrets_command": secrets_command(inventory), "site_command": playbook_command("site", inventory),
            "app": self.found.app,
            "uses_redis": self.uses_redis, "uses_postgresql": self.uses_postgresql,
        }  # fmt: skip
        return render(HOSTS, values, finalize=clean)

    def secrets_file(self, inventory: str) -> str:
        """Return the text of group_vars/all/vault.yml."""
        out = Document(
            f"Secrets. `{clean(secrets_command(inventory))}` fills in those that can be any random string, and "
            "encrypts this file: docs/secrets.md."
        )
        for name, hint in sorted(self.vault.items()):
            out.set(name, json.dumps(f"!!!SET {hint}!!!"))
        if not self.vault:
            out.raw("{}")
        return out.text()


def told(name: Name, *, line: bool) -> str:
    """Return a name and its default, as a line to uncomment if the default fits on one line."""
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
            f"{inventory} already exists, and is not overwritten: choose another with -e inspect_inventory=, or move it"
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
    """Return the texts of the inventory's files by their paths."""
    writer = Writer(found)
    name = os.path.relpath(inventory)
    name = str(inventory) if name.startswith("..") else name
    main = writer.main()  # this also collects what the others need
    return {
        "hosts.yml": writer.hosts(name),
        "group_vars/all/main.yml": main,
        "group_vars/all/vault.yml": writer.secrets_file(name),
    }
