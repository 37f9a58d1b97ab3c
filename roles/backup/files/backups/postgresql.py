"""PostgreSQL on this host: a consistent dump, and its way back into a database that then takes the other's name.

All of it as PostgreSQL's own user and through its socket, so no password is needed.
"""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

from .settings import Failed

# In the same transaction as the dump: how many rows each table has, for those who compare.
COUNTS = r"""
SELECT format('SELECT %L, count(*) FROM ONLY %I.%I', format('%I.%I', schemaname, tablename), schemaname, tablename)
FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1 \gexec
"""
# Its collation is that of role postgresql.
CREATE = """
CREATE DATABASE :"new" OWNER :"owner" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8';
REVOKE ALL ON DATABASE :"new" FROM PUBLIC;
"""
# Both names change at once, or neither. Whoever is connected would prevent it.
SWAP = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname IN (:'there', :'new');
BEGIN;
SELECT format('ALTER DATABASE %I RENAME TO %I', :'there', :'aside')
WHERE EXISTS (SELECT FROM pg_database WHERE datname = :'there') \\gexec
ALTER DATABASE :"new" RENAME TO :"there";
COMMIT;
"""
SWAP_TRIES = 10  # a client may come back between the first statement and the second
KEPT = "SELECT datname FROM pg_database WHERE datname ~ ('^' || :'begin' || '[0-9]+$') ORDER BY datname DESC"
DROP = """DROP DATABASE IF EXISTS :"new" WITH (FORCE);"""


class Server:
    """The PostgreSQL on this host, and the project's database in it."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.name, self.owner, self.port = str(values["name"]), str(values["owner"]), str(values["port"])

    @property
    def restored(self) -> str:
        """The name of a database that is being restored."""
        return f"{self.name[:50]}__restored"

    @property
    def replaced(self) -> str:
        """How the names of databases begin that restores have replaced; the time follows."""
        return f"{self.name[:40]}__replaced_"

    def identity(self) -> dict[str, Any]:
        """PostgreSQL's user, in subprocess's terms."""
        account = pwd.getpwnam("postgres")
        groups = [group.gr_gid for group in grp.getgrall() if "postgres" in group.gr_mem]
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups, "cwd": "/"}

    def psql(self, *options: str, database: str = "postgres") -> list[str]:
        """Return psql's command line."""
        return [
            "psql", f"--port={self.port}", f"--dbname={database}", "--no-psqlrc", "--no-align", "--tuples-only",
            "--quiet", "--set=ON_ERROR_STOP=1", *options,
        ]  # fmt: skip

    def ask(self, sql: str, database: str = "postgres", **names: str) -> str:
        """Run statements and return their output; raise Failed if one fails."""
        options = [f"--set={name}={value}" for name, value in names.items()]
        done = subprocess.run(
            self.psql(*options, database=database), input=sql, capture_output=True, text=True, check=False,
            **self.identity(),
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"PostgreSQL refused: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def is_standby(self) -> bool:
        """Tell whether this host only follows another one, which makes the backups."""
        return self.ask("SELECT pg_is_in_recovery()") == "t"

    def has(self, name: str) -> bool:
        """Tell whether there is a database of some name."""
        return self.ask("SELECT 1 FROM pg_database WHERE datname = :'name'", name=name) == "1"

    def dump(self, target: Path) -> dict[str, Any]:
        """Write a dump, and return what is in it: rows by table, as of the same moment."""
        with subprocess.Popen(
            self.psql(database=self.name), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, **self.identity(),
        ) as session:  # fmt: skip
            assert session.stdin and session.stdout and session.stderr
            session.stdin.write(
                "SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0;\n"
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\nSELECT pg_export_snapshot();\n"
            )
            session.stdin.flush()
            moment = session.stdout.readline().strip()
            if not moment:
                raise Failed(f"The database {self.name} cannot be read: {session.stderr.read().strip()}")
            self.write_dump(target, moment)
            out, err = session.communicate(COUNTS + "COMMIT;\n")
            if session.returncode:
                raise Failed(f"The tables of {self.name} cannot be counted: {err.strip()}")
        return {name: int(rows) for name, _, rows in (line.rpartition("|") for line in out.splitlines() if line)}

    def write_dump(self, target: Path, moment: str) -> None:
        """Have pg_dump write the database as of a moment. Not compressed: restic does that, and finds what is there."""
        words = ["pg_dump", f"--port={self.port}", "--format=custom", "--compress=0", f"--snapshot={moment}", self.name]
        with target.open("wb") as file:
            done = subprocess.run(
                words, stdout=file, stderr=subprocess.PIPE, text=True, check=False, stdin=subprocess.DEVNULL,
                **self.identity(),
            )  # fmt: skip
            os.fsync(file.fileno())
        if done.returncode:
            raise Failed(f"pg_dump could not write {self.name} to {target}: {done.stderr.strip()}")

    def load(self, source: Path, owner: str) -> None:
        """Restore a dump into a database of its own, beside the one that serves."""
        self.ask(DROP, new=self.restored)
        self.ask(CREATE, new=self.restored, owner=self.owner)
        # Under another inventory's names, its objects belong to the owner here.
        owners = [] if owner == self.owner else ["--no-owner", f"--role={self.owner}"]
        words = ["pg_restore", f"--port={self.port}", "--exit-on-error", "--no-acl", *owners]
        with source.open("rb") as file:
            done = subprocess.run(
                [*words, f"--dbname={self.restored}"], stdin=file, capture_output=True, text=True, check=False,
                **self.identity(),
            )  # fmt: skip
        if done.returncode:
            self.ask(DROP, new=self.restored)
            raise Failed(f"pg_restore could not load {source.name}: {done.stderr.strip()[-2000:]}")
        self.ask("ANALYZE", database=self.restored)

    def counts(self, database: str) -> dict[str, int]:
        """Return the rows of each table of a database."""
        lines = self.ask(COUNTS, database=database).splitlines()
        return {name: int(rows) for name, _, rows in (line.rpartition("|") for line in lines if line)}

    def exchange(self, new: str, aside: str) -> None:
        """Give a database the project's name, and the one that has it another name."""
        for left in reversed(range(SWAP_TRIES)):
            try:
                self.ask(SWAP, there=self.name, new=new, aside=aside)
                return
            except Failed:
                if not left:
                    raise

    def kept(self) -> list[str]:
        """Return the names of databases that restores have replaced, the newest first."""
        return self.ask(KEPT, begin=self.replaced).split()

    def drop(self, name: str) -> None:
        """Drop a database that nobody needs any more."""
        self.ask(DROP, new=name)
