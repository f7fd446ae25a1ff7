"""What is compared: the same person's same two fields, read four ways, each answering with the same JSON.

- ``raw``: the driver with its own defaults; nothing of ours.
- ``plain``: a table of accounts in a database opened by our own engine layer: the same durability, the same
  connection a thread, a prebuilt text statement. No sealing, no index, no decision, no ledger.
- ``retrofit``: the same table with the metadata columns and their indexes that GDPRBench's retrofit adds (purpose,
  objection, time to live, source, recipients), asked in the statement, and a log row a read, committed before the
  answer.
- ``troth``: the gate: decision, keeping, seal, and the answer released when its block of the ledger is durable.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import msgspec

from troth.config import Config
from troth.notice.versions import Versions
from troth.policy.model import Terms
from troth.store import DataTx, Write
from troth.store.engine import Database, driver, open_database
from troth.store.ledger import EntryDraft
from troth.use.gate import READERS, Gate
from troth.vault import NewRecord, open_vault
from troth.vault.provider import FileProvider
from troth.world import SystemClock, SystemRandomness

POLICY = Path(__file__).parents[1] / "policies" / "example" / "policy.md"
TENANT = "main"
PERSONS = 1000
FIELDS = frozenset({"email", "first_name"})
encode = msgspec.json.Encoder(order="sorted").encode


def person(number: int) -> dict[str, str]:
    """The values of one person."""
    return {
        "first_name": f"First{number}",
        "last_name": f"Last{number}",
        "email": f"person{number}@example.org",
        "phone": f"+353 1 {number:07d}",
        "company": "Example Backup Ltd",
        "company_size": "10-49",
        "usage_purpose": "a business",
    }


class Side(Protocol):
    """One way to read. ``aread`` runs on an event loop."""

    name: str

    async def aread(self, number: int) -> bytes:
        """The JSON of ``FIELDS`` of one person."""
        ...

    def close(self) -> None:
        """Close what it holds."""
        ...


class _Offloaded:
    """Reads inline on SQLite, and on a few threads on PostgreSQL: on every side but Troth's, which has its writer."""

    def __init__(self, inline: bool, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._pool = None if inline else ThreadPoolExecutor(READERS)

    async def __call__(self, number: int) -> bytes:
        if self._pool is None:
            return self._read(number)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, number)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()


ACCOUNTS = (
    "CREATE TABLE accounts (tenant TEXT NOT NULL, id {blob} NOT NULL, first_name TEXT, last_name TEXT, email TEXT,"
    " phone TEXT, company TEXT, company_size TEXT, usage_purpose TEXT{more}, PRIMARY KEY (tenant, id)){end}"
)
METADATA = ("purpose", "objection", "source", "recipients", "decisions")
COLUMNS = "first_name, last_name, email, phone, company, company_size, usage_purpose"
PLAIN = "SELECT email, first_name FROM accounts WHERE tenant = ? AND id = ?"
RETROFIT = (
    "SELECT email, first_name FROM accounts WHERE tenant = ? AND id = ?"
    " AND purpose LIKE ? AND objection NOT LIKE ? AND ttl_ms > ?"
)
LOG_TABLE = (
    "CREATE TABLE log (id {id} PRIMARY KEY, at_ms BIGINT, actor TEXT, operation TEXT, subject TEXT, purpose TEXT)"
)
LOG = "INSERT INTO log (at_ms, actor, operation, subject, purpose) VALUES (?, ?, ?, ?, ?)"


def ident(number: int) -> bytes:
    """A 16-byte id."""
    return number.to_bytes(16, "big")


def fill(database: Database, *, metadata: bool) -> None:
    """Make the table of accounts and its rows."""
    lite = database.dialect == "sqlite"
    more = "".join(f", {name} TEXT" for name in METADATA) + ", ttl_ms BIGINT" if metadata else ""
    create = ACCOUNTS.format(blob="BLOB" if lite else "BYTEA", more=more, end=" WITHOUT ROWID" if lite else "")
    names = f"tenant, id, {COLUMNS}" + (f", {', '.join(METADATA)}, ttl_ms" if metadata else "")
    rows = []
    for number in range(PERSONS):
        row: list[object] = [TENANT, ident(number), *person(number).values()]
        if metadata:
            row += ["account,provide,rights", "newsletter", "registration", "none", "none", 1 << 60]
        rows.append(tuple(row))
    with database.transaction() as connection:
        raw = driver(connection).cursor()
        raw.execute(create)
        if metadata:
            raw.execute(LOG_TABLE.format(id="INTEGER" if lite else "BIGSERIAL"))
            for name in (*METADATA, "ttl_ms"):
                raw.execute(f"CREATE INDEX ix_accounts_{name} ON accounts ({name})")
        marks = ", ".join("?" * len(rows[0]))
        raw.executemany(database.sql(f"INSERT INTO accounts ({names}) VALUES ({marks})"), rows)
        raw.close()


class Raw:
    """The driver alone."""

    name = "raw"

    def __init__(self, folder: Path, url: str = "") -> None:
        self._local = threading.local()
        self._url = url
        self._sql = PLAIN if not url else PLAIN.replace("?", "%s")
        self._file = folder / "raw.db"
        database = open_database(url or f"sqlite:///{self._file}", "data")
        fill(database, metadata=False)
        database.close()
        self._ids = [ident(number) for number in range(PERSONS)]
        self.aread = _Offloaded(not url, self.read)

    def _connection(self) -> Any:
        made = getattr(self._local, "made", None)
        if made is None:
            if self._url:
                import psycopg

                made = psycopg.connect(self._url, autocommit=True)
            else:
                made = sqlite3.connect(self._file)
            self._local.made = made
        return made

    def read(self, number: int) -> bytes:
        row = self._connection().execute(self._sql, (TENANT, self._ids[number])).fetchone()
        return encode({"email": row[0], "first_name": row[1]})

    def close(self) -> None:
        self.aread.close()


class Plain:
    """Our engine layer and settings, and nothing else of ours."""

    name = "plain"

    def __init__(self, folder: Path, url: str = "") -> None:
        self._database = open_database(url or f"sqlite:///{folder / 'plain.db'}", "data")
        fill(self._database, metadata=False)
        self._sql = self._database.sql(PLAIN)
        self._ids = [ident(number) for number in range(PERSONS)]
        self.aread = _Offloaded(not url, self.read)

    def read(self, number: int) -> bytes:
        row = self._database.raw_reader().execute(self._sql, (TENANT, self._ids[number])).fetchone()
        return encode({"email": row[0], "first_name": row[1]})

    def close(self) -> None:
        self.aread.close()
        self._database.close()


class Retrofit:
    """Metadata columns with indexes, and a log row that is durable before the answer."""

    name = "retrofit"

    def __init__(self, folder: Path, url: str = "") -> None:
        self._url = url
        self._database = open_database(url or f"sqlite:///{folder / 'retrofit.db'}", "data")
        fill(self._database, metadata=True)
        self._sql, self._log = self._database.sql(RETROFIT), self._database.sql(LOG)
        self._local = threading.local()
        self._ids = [ident(number) for number in range(PERSONS)]
        self._writing = driver(self._database.writing()) if not url else None
        self.aread = _Offloaded(not url, self.read)

    def _connection(self) -> Any:
        """On SQLite the one writing connection; on PostgreSQL one a thread, as a pool gives them."""
        if self._writing is not None:
            return self._writing
        made = getattr(self._local, "made", None)
        if made is None:
            import psycopg

            made = self._local.made = psycopg.connect(self._url, autocommit=True)
        return made

    def read(self, number: int) -> bytes:
        now = SystemClock().now()
        raw = self._connection()
        row = raw.execute(self._sql, (TENANT, self._ids[number], "%account%", "%account%", now)).fetchone()
        raw.execute(self._log, (now, "bench", "read", self._ids[number].hex(), "account"))  # autocommit: durable here
        return encode({"email": row[0], "first_name": row[1]})

    def close(self) -> None:
        self.aread.close()
        self._database.close()


class Troth:
    """The whole of it."""

    name = "troth"

    def __init__(self, folder: Path, url: str = "", keys_url: str = "") -> None:
        clock, chance = SystemClock(), SystemRandomness()
        config = Config(data_folder=str(folder / "troth"), data_url=url, keys_url=keys_url)
        key = config.path(config.root_key)
        FileProvider.create(key, chance)
        self._store, self._vault = open_vault(config, clock, chance)
        versions = Versions(self._store, clock)
        policy = versions.publish(POLICY.read_text("utf-8"))
        self._store.policy_version = policy.version
        terms = Terms(policy.controller.name, "site:www", "registration", policy.version)
        self._sids = []
        for first in range(0, PERSONS, 50):
            futures = []
            for number in range(first, min(first + 50, PERSONS)):
                staged = self._vault.stage(
                    TENANT,
                    identifiers={"email": person(number)["email"]},
                    records=[NewRecord("account", terms, person(number))],
                    pending=False,
                )

                def body(tx: DataTx, staged: Any = staged) -> None:
                    draft = EntryDraft("intake.accepted", "collect.registration", "intake.declared", "visitor")
                    staged.insert(tx, tx.append(draft, staged.opening).eid)
                    self._vault.happen(tx, TENANT, staged.sid, "registration.confirmed", policy)

                futures.append(self._store.submit(Write(before=staged.before, body=body)))
                self._sids.append(staged.sid)
            for future in futures:
                future.result()
        self.gate = Gate(self._store, self._vault, versions)
        self._opening = self.gate.open("account")

    async def aread(self, number: int) -> bytes:
        answer = await self._opening.aread(TENANT, self._sids[number], FIELDS)
        return encode(answer.values)

    def close(self) -> None:
        self.gate.close()
        self._store.close()


SIDES: dict[str, Callable[..., Side]] = {"raw": Raw, "plain": Plain, "retrofit": Retrofit, "troth": Troth}
