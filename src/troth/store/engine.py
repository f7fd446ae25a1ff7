"""One database, D or K, on SQLite or PostgreSQL: the only place that knows which of the two it is.

Durability is asserted on every connection and a weaker setting is refused. One connection of a database
writes (and, on SQLite, checkpoints); all others are opened unable to write. On SQLite that is more than
tidiness: two connections that checkpoint at once can corrupt a database of the library's version that
Python ships.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, RootTransaction, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from troth.errors import StartRefused
from troth.store.durability import prepare_postgresql, prepare_sqlite
from troth.store.faults import Fault, classify

Dialect = Literal["sqlite", "postgresql"]
Role = Literal["data", "keys"]

# The lock that says "one process writes this database", taken for as long as the writing connection lives.
_ADVISORY = {"data": 0x74726F7468_01, "keys": 0x74726F7468_02}
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


class Database:
    """D or K behind one seam. Made by ``open_database``; safe to use from any thread.

    ``connect`` and ``raw_reader`` cannot write. ``transaction`` writes; once a writer thread owns the
    database, it may be entered from that thread only.
    """

    def __init__(self, url: URL, role: Role) -> None:
        self.role: Role = role
        self.dialect: Dialect = "sqlite" if url.get_backend_name() == "sqlite" else "postgresql"
        self.path: Path | None = Path(url.database or "") if self.dialect == "sqlite" else None
        self.url = url
        self.owner: int | None = None  # ident of the writer's thread
        self._writing_lock = threading.RLock()
        self._writing: Connection | None = None
        self._claimed = False
        self.in_steps = False  # steps of a batch run: none of them may end the transaction they share
        self._local = threading.local()
        self._raw: list[tuple[threading.Thread, Any]] = []
        self._raw_lock = threading.Lock()
        self._writer = self._engine(writes=True)
        self._reader = self._engine(writes=False)
        # Two databases in one cluster would share its write-ahead log; this says which cluster it is.
        self.cluster: str | None = None

    # --- reading ---

    def connect(self) -> Connection:
        """A new connection for reading: one snapshot of D from its first statement, autocommit on K.

        Close it soon: an open snapshot keeps the write-ahead log from being reset.
        """
        return self._reader.connect()

    def raw_reader(self) -> Any:
        """The calling thread's own driver connection, unable to write, in autocommit: for prebuilt text statements."""
        raw = getattr(self._local, "raw", None)
        if raw is not None and self.dialect == "postgresql" and raw.closed:
            raw = None  # the server went away
        if raw is None:
            raw = self._open_raw()
            self._local.raw = raw
            with self._raw_lock:
                for thread, old in self._raw:
                    if not thread.is_alive():
                        old.close()
                self._raw = [(thread, old) for thread, old in self._raw if thread.is_alive()]
                self._raw.append((threading.current_thread(), raw))
        return raw

    @contextmanager
    def new_reader(self) -> Iterator[Any]:
        """A driver connection as ``raw_reader``'s, opened now and closed at the end: nothing is remembered."""
        raw = self._open_raw()
        try:
            yield raw
        finally:
            raw.close()

    def sql(self, statement: str) -> str:
        """A statement written with ``?`` in the driver's own parameter style."""
        return statement if self.dialect == "sqlite" else statement.replace("?", "%s")

    # --- writing ---

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """The writing connection in a transaction that holds the write lock from its first moment.

        Commits at the end, rolls back on an exception. Raises ``RuntimeError`` on any thread but the
        writer's while there is one.
        """
        if self.owner is not None and self.owner != threading.get_ident():
            raise RuntimeError(f"only the writer's thread writes {self.role}: use Store.write or Store.write_keys")
        with self._writing_lock:
            connection = self.writing()
            with connection.begin():
                yield connection

    def writing(self) -> Connection:
        """The one writing connection, opened (and on PostgreSQL claimed) when first asked for."""
        if self._writing is None:
            connection = self._writer.connect()
            try:
                if self._claimed:
                    self._claim(connection)
            except BaseException:
                connection.invalidate()
                connection.close()
                raise
            self._writing = connection
        return self._writing

    def claim(self) -> None:
        """From here on the writing connection also holds the database's advisory lock (PostgreSQL).

        Raises ``StartRefused`` if another process holds it.
        """
        self._claimed = True
        self.forget_writing()
        self.writing()

    def forget_writing(self) -> None:
        """Close the writing connection without trusting it; the next use opens a new one."""
        connection, self._writing = self._writing, None
        self.in_steps = False
        if connection is not None:
            try:
                connection.invalidate()
            finally:
                connection.close()

    def forget_raw(self) -> None:
        """Give up this thread's ``raw_reader``; the next use opens a new one."""
        raw = getattr(self._local, "raw", None)
        if raw is not None:
            self._local.raw = None
            with self._raw_lock:
                self._raw = [(thread, old) for thread, old in self._raw if old is not raw]
            raw.close()

    def commit(self, transaction: RootTransaction) -> None:
        """COMMIT a batch. If it raises, whether it is durable is not known."""
        self.in_steps = False
        transaction.commit()

    def checkpoint(self, mode: Literal["PASSIVE", "TRUNCATE"] = "PASSIVE") -> bool:
        """Move the write-ahead log into the database (SQLite). True only if nothing was left behind.

        To be called where ``transaction`` may be, outside of one. Always true on PostgreSQL.
        """
        if self.dialect != "sqlite":
            return True
        with self._writing_lock:
            raw = driver(self.writing())
            if mode == "TRUNCATE":
                raw.execute("PRAGMA busy_timeout=250")  # an open reader must not hold up every other write
            try:
                busy, log, moved = raw.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
            finally:
                if mode == "TRUNCATE":
                    raw.execute("PRAGMA busy_timeout=5000")
        return bool(busy == 0 and log == moved)

    def analyse(self) -> None:
        """Let PostgreSQL count what was just written in bulk, so that it plans with what is there (nothing on SQLite).

        It counts by itself only some minutes after, and until then takes every table for nearly empty: it then reads
        the whole of one for each row of another. To be called where ``transaction`` may be, outside of one.
        """
        if self.dialect == "postgresql":
            with self.transaction() as connection:
                driver(connection).execute("ANALYZE")

    def log_bytes(self) -> int:
        """The size of the write-ahead log file (SQLite; 0 on PostgreSQL)."""
        if self.path is None:
            return 0
        try:
            return os.stat(f"{self.path}-wal").st_size  # asked after every batch: pathlib costs as much as the question
        except FileNotFoundError:
            return 0

    def fault(self, problem: BaseException) -> Fault:
        """What an exception from the driver means for a batch (see ``store.faults``)."""
        return classify(problem)

    def close(self) -> None:
        """Close every connection of every thread."""
        self.forget_writing()
        with self._raw_lock:
            for _, raw in self._raw:
                raw.close()
            self._raw.clear()
        self._local = threading.local()
        self._reader.dispose()
        self._writer.dispose()

    # --- how connections are made ---

    def _engine(self, *, writes: bool) -> Engine:
        engine = (
            self._sqlite_engine(writes=writes) if self.dialect == "sqlite" else self._postgresql_engine(writes=writes)
        )
        if writes:
            event.listen(engine, "commit", self._no_step_ends_it)
            event.listen(engine, "rollback", self._no_step_ends_it)
        return engine

    def _no_step_ends_it(self, _connection: Connection) -> None:
        if self.in_steps:
            raise RuntimeError("a step of a write may neither commit nor roll back: the batch is shared")

    def _sqlite_engine(self, *, writes: bool) -> Engine:
        engine = create_engine(
            self.url,
            hide_parameters=True,
            connect_args={"isolation_level": None, "check_same_thread": False, "cached_statements": 512},
            **({"poolclass": NullPool} if writes else {"pool_size": 4, "max_overflow": 60}),
        )
        begin = "BEGIN IMMEDIATE" if writes else "BEGIN" if self.role == "data" else ""

        @event.listens_for(engine, "connect")
        def _prepare(raw: sqlite3.Connection, _record: object) -> None:
            prepare_sqlite(raw, writes=writes)

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            if begin:
                driver(connection).execute(begin)  # past SQLAlchemy, whose own way costs ten times that

        return engine

    def _postgresql_engine(self, *, writes: bool) -> Engine:
        options: dict[str, Any] = {"poolclass": NullPool} if writes else {"pool_size": 4, "max_overflow": 28}
        engine = create_engine(self.url, hide_parameters=True, connect_args=self._tls(), **options)

        @event.listens_for(engine, "connect")
        def _prepare_pg(raw: Any, _record: object) -> None:
            prepare_postgresql(raw, writes=writes)

        if writes:
            return engine
        if self.role == "keys":
            return engine.execution_options(isolation_level="AUTOCOMMIT", postgresql_readonly=True)
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def _open_raw(self) -> Any:
        if self.path is not None:
            raw = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, cached_statements=256)
            prepare_sqlite(raw, writes=False)
            return raw
        import psycopg

        address = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        connection = psycopg.connect(address, **self._tls())
        prepare_postgresql(connection, writes=False)
        connection.autocommit = True
        return connection

    def _tls(self) -> dict[str, Any]:
        """PostgreSQL on another machine is reached through TLS with a verified certificate, always."""
        query: Mapping[str, Any] = self.url.query
        host = self.url.host or query.get("host") or ""
        if not host or host in _LOCAL_HOSTS or str(host).startswith("/"):
            return {}
        if query.get("sslmode", "verify-full") != "verify-full":
            raise StartRefused(f"the {self.role} database's URL asks for another sslmode than verify-full")
        return {"sslmode": "verify-full", "sslrootcert": query.get("sslrootcert", "system")}

    def _claim(self, connection: Connection) -> None:
        if self.dialect == "sqlite":
            return  # the lock on the data folder says it
        with connection.begin():
            # A backend that died a moment ago may still hold the lock: wait a little for it, not for ever.
            connection.exec_driver_sql("SET LOCAL lock_timeout = '3s'")
            try:
                connection.exec_driver_sql(f"SELECT pg_advisory_lock({_ADVISORY[self.role]})")
            except DBAPIError as fault:
                if getattr(fault.orig, "sqlstate", None) != "55P03":
                    raise
                raise StartRefused(f"another Troth process writes this {self.role} database; stop it first") from None


def driver(connection: Connection) -> Any:
    """The driver's own connection below a SQLAlchemy connection."""
    return connection.connection.driver_connection


def open_database(url: str, role: Role) -> Database:
    """Open D or K at ``url`` (``sqlite:///path`` or ``postgresql://…``), creating a SQLite file if there is none.

    Raises ``StartRefused`` where the URL does not fit, the store cannot be reached, or a commit would not be
    durable.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StartRefused(f"the URL of the {role} database does not fit: sqlite:///path or postgresql://…") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        weaker = str(parsed.query.get("synchronous", "full")).lower()
        if weaker not in ("full", "extra"):
            raise StartRefused(f"the {role} database's URL asks for synchronous={weaker}: only full")
        if not parsed.database or parsed.database == ":memory:":
            raise StartRefused(f"the {role} database needs a file: sqlite:///path")
        parsed = parsed.set(query={})
        try:
            Path(parsed.database or "").parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as fault:
            raise StartRefused(f"the folder of the {role} database cannot be made: {fault.strerror}") from fault
    elif backend == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    else:
        raise StartRefused(f"the {role} database can be SQLite or PostgreSQL, not {backend}")
    database = Database(parsed, role)
    try:
        with database._writing_lock:  # opened here so that a fault shows at the start
            connection = database.writing()
            if database.dialect == "postgresql":
                with connection.begin():
                    found = connection.exec_driver_sql("SELECT system_identifier FROM pg_control_system()")
                    database.cluster = str(found.scalar_one())
            elif database.path is not None:
                database.path.chmod(0o600)
    except (sqlalchemy.exc.DBAPIError, sqlite3.Error, OSError) as fault:
        database.close()
        cause = fault.orig if isinstance(fault, DBAPIError) else fault
        raise StartRefused(f"the {role} database cannot be opened: {' '.join(str(cause).split())}") from fault
    except StartRefused:
        database.close()
        raise
    return database


def refuse_shared(data: Database, keys: Database) -> None:
    """Refuse keys that would lie in the data's own backups: one SQLite file, or one PostgreSQL cluster."""
    if data.path is not None and keys.path is not None and data.path.resolve() == keys.path.resolve():
        raise StartRefused("data and keys are one file: the keys must lie elsewhere")
    if data.cluster is not None and data.cluster == keys.cluster:
        raise StartRefused(
            "data and keys are in one PostgreSQL cluster: they would share its log and its backups; "
            "give the keys another cluster"
        )
