"""Bring a database's tables up to date: created at once where it is empty, migrated step by step where it is not.

Alembic is loaded only if there is something to migrate: it costs 20 MB and 0.1 s that a usual start does not need.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, MetaData, inspect

from troth.errors import StartRefused
from troth.store import tables
from troth.store.engine import Database, Role, driver

HEADS: dict[Role, str] = {"data": "0017", "keys": "0002"}
"""The newest version of each database's tables (a test compares them with the folders of steps)."""

MOVING = "moving"
"""In the place of a version: a system is being moved into this database, and not all of it is there."""

METADATA: dict[Role, MetaData] = {"data": tables.data, "keys": tables.keys}
TELLING: dict[Role, str] = {"data": "ledger", "keys": "secrets"}
"""A table that every version of the one has and the other has not."""
STEPS = Path(__file__).parent / "migrations"


def migrate(database: Database, role: Role, *, steps: Path | None = None, head: str | None = None) -> None:
    """Create or migrate the tables of D or K. Does nothing if they are up to date.

    On SQLite foreign keys are not enforced while a step rebuilds a table (its DROP would reach the children), and
    checked all at once before the commit. Raises ``StartRefused`` if the database is of a newer Troth, or if a step
    would leave a row without its parent; nothing is changed then.
    """
    head = head or HEADS[role]
    found = version(database)
    if found == head:
        return
    if found == MOVING:
        raise StartRefused(
            f"a system is being moved into this {role} database and is not all here: run `troth import --all` again"
        )
    if found is None:
        create(database, role)
        if head == HEADS[role]:
            return
    upgrade(database, steps or STEPS / role, head)


def version(database: Database) -> str | None:
    """Which version of the tables the database has; None if it is empty."""
    with database.connect() as connection:
        names = set(inspect(connection).get_table_names())
        if "alembic_version" not in names:
            if names:
                raise StartRefused(f"the {database.role} database holds tables that are not Troth's: give another one")
            return None
        if TELLING[database.role] not in names:
            raise StartRefused(
                f"what is configured as the {database.role} database is the other of the two: were they swapped?"
            )
        return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one())


def create(database: Database, role: Role) -> None:
    """All tables in an empty database, marked with the version they are."""
    with database.transaction() as connection:
        _create(connection, role, HEADS[role])


def _create(connection: Connection, role: Role, mark: str) -> None:
    METADATA[role].create_all(connection)
    connection.exec_driver_sql(
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
        "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
    )
    connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{mark}')")  # noqa: S608 - a constant of ours


def move_in(database: Database, role: Role) -> None:
    """All tables, empty, in an empty database or in the place of those of a system that was half moved in.

    Marked with ``MOVING`` from the first moment on: nothing opens it. ``RuntimeError`` where a system is there.
    """
    found = version(database)
    if found not in (None, MOVING):
        raise RuntimeError("only what was half moved in is dropped")
    with database.transaction() as connection:
        if found is not None:
            METADATA[role].drop_all(connection)
            connection.exec_driver_sql("DROP TABLE alembic_version")
        _create(connection, role, MOVING)


def moved_in(connection: Connection, role: Role) -> None:
    """All of it is there: from the end of this transaction on the database opens."""
    connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{HEADS[role]}'")  # noqa: S608 - a constant of ours


def upgrade(database: Database, steps: Path, head: str) -> None:
    """Run the steps in a folder up to ``head``, from whatever the database has (from nothing if it is empty)."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    script = ScriptDirectory(str(STEPS), version_locations=[str(steps)])

    def plan(revision: object, _context: object) -> object:
        return script._upgrade_revs(head, revision)  # type: ignore[arg-type]  # what alembic hands to this callback

    lite = database.dialect == "sqlite"
    if lite:  # on the driver's connection: it does nothing inside a transaction, and SQLAlchemy would begin one
        driver(database.writing()).execute("PRAGMA foreign_keys=OFF")
    try:
        with database.transaction() as connection:
            environment = EnvironmentContext(Config(), script, fn=plan, destination_rev=head)
            environment.configure(connection=connection, render_as_batch=True, transactional_ddl=True)
            environment.run_migrations()
            if lite:
                _no_orphans(connection)
    except CommandError as fault:
        raise StartRefused(f"the {database.role} database was written by another version of Troth: {fault}") from fault
    finally:
        database.forget_writing()  # the next connection enforces foreign keys again


def _no_orphans(connection: Connection) -> None:
    orphan = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if orphan is not None:
        raise StartRefused(f"a migration would leave rows of {orphan[0]} without their {orphan[2]}: nothing changed")
