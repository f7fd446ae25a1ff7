"""Private PostgreSQL servers for tests: in a temporary folder, reached by Unix socket, stopped by their own process.

PostgreSQL refuses to run as root, so the server runs as ``postgres`` where the tests are root. Without a server's
binaries the tests that need one are skipped, and say so; with ``CI=true`` that is a failure.
"""

from __future__ import annotations

import glob
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest

_NAMES = itertools.count()


def binaries() -> Path | None:
    """The folder with ``initdb`` and ``postgres`` of the newest server installed here."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    places = [Path(name).parent for name in glob.glob("/usr/lib/postgresql/*/bin/initdb")]
    return max(places, key=lambda folder: int(folder.parts[-2]), default=None)


def require_server() -> Path:
    """The binaries' folder; skips the test, or fails it where CI promises a server."""
    folder = binaries()
    if folder is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no PostgreSQL server is installed, and CI needs one: apt-get install postgresql")
        pytest.skip("no PostgreSQL server is installed (apt-get install postgresql)")
    return folder


class Server:
    """One cluster, started by ``__init__`` and stopped by ``stop``. Commits are as durable as in production."""

    def __init__(self, **settings: str) -> None:
        programs = require_server()
        self._free: list[str] = []
        self.folder = Path(tempfile.mkdtemp(prefix="troth-pg-", dir="/tmp"))
        self._as: list[str] = []
        if os.getuid() == 0:
            self._as = ["runuser", "-u", "postgres", "--"]
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        place = ["-D", str(self.folder / "db")]
        self._run(
            [str(programs / "initdb"), "--no-sync", *place, "-U", "troth", "-A", "trust", "-E", "UTF8", "--locale=C"]
        )
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "max_connections": "60",
            "shared_buffers": "32MB",
            "max_wal_size": "256MB",
            "autovacuum": "off",
        } | settings
        settled = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self._command = [*self._as, str(programs / "postgres"), *place, *settled]
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        try:
            self._await()
        except BaseException:
            self.stop()
            raise

    def crash(self) -> None:
        """End the server at once, as a fault would, and start it again: it recovers from its log."""
        self._quit()
        self._start()

    def _await(self) -> None:
        for _ in range(400):
            try:
                psycopg.connect(self.url()).close()
                return
            except psycopg.OperationalError:
                try:
                    self.process.wait(0.02)  # not a mere pause: a server that died ends the wait
                except subprocess.TimeoutExpired:
                    continue
                break
        raise RuntimeError("the PostgreSQL server did not start")

    def _run(self, command: list[str]) -> None:
        ended = subprocess.run([*self._as, *command], cwd="/", capture_output=True, timeout=60)
        if ended.returncode != 0:
            raise RuntimeError(f"{command[0]} failed: {ended.stderr.decode(errors='replace')}")

    def url(self, database: str = "postgres") -> str:
        """The URL of a database in this cluster."""
        return f"postgresql://troth@/{database}?host={self.folder}"

    def database(self) -> str:
        """The URL of a database without rows: a new one, or one that was given back. Its tables may be there."""
        return self._free.pop() if self._free else self.new_database()

    def new_database(self) -> str:
        """The URL of a database without tables."""
        name = f"t{next(_NAMES)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        return self.url(name)

    def give_back(self, url: str) -> None:
        """Take a database back when nobody is connected to it any more: its rows go, its tables stay (that is fast).

        A test that altered the tables drops them itself.
        """
        with psycopg.connect(url, autocommit=True) as connection:
            found = connection.execute(
                "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' AND tablename <> %s",
                ("alembic_version",),
            ).fetchall()
            statements = ["SET session_replication_role = replica", *(f"DELETE FROM {name}" for (name,) in found)]
            connection.execute(";".join(statements).encode())
        self._free.append(url)

    def stop(self) -> None:
        """Stop this server (and no other) and remove its folder."""
        self._quit()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _quit(self) -> None:
        pid = self.folder / "db" / "postmaster.pid"
        if pid.exists():
            os.kill(int(pid.read_text().split()[0]), signal.SIGQUIT)
        elif self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)
