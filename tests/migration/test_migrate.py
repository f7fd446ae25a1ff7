"""Migrated is the same as created, on both stores, and no migration loses a row."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, insert, inspect, select

from tests.postgres import Server
from troth.errors import StartRefused
from troth.store import migrate, tables
from troth.store.engine import Database, Role, open_database

ROLES: tuple[Role, ...] = ("data", "keys")
Fresh = Callable[[Role], Database]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fresh]:
    """Gives new, empty databases."""
    opened: list[Database] = []

    def give(role: Role) -> Database:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path}/{len(opened)}.db"
        else:
            server: Server = request.getfixturevalue("postgres_data")
            url = server.new_database()
        opened.append(open_database(url, role))
        return opened[-1]

    yield give
    for database in opened:
        database.close()


def stepped(database: Database, role: Role) -> None:
    """Migrate from nothing, step by step."""
    migrate.upgrade(database, migrate.STEPS / role, migrate.HEADS[role])


def shape(database: Database) -> Any:
    """Everything the database itself says about its tables."""
    with database.connect() as connection:
        if database.dialect == "sqlite":
            rows = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master").all()
            return sorted((*row[:3], normal(row[3])) for row in rows)
        found = inspect(connection)
        answer: list[Any] = []
        for table in sorted(found.get_table_names()):
            columns = [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in found.get_columns(table)]
            answer.append((table, columns, found.get_pk_constraint(table)))
        for catalogue in (
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        ):
            answer.append(sorted(tuple(row) for row in connection.exec_driver_sql(catalogue)))
        return answer


def normal(sql: str | None) -> str | None:
    """A CREATE statement without its layout, and with its columns and constraints in one order."""
    if sql is None:
        return None
    flat = re.sub(r"\s+", " ", sql).replace('"', "")
    head, _, rest = flat.partition("(")
    inside, _, tail = rest.rpartition(")")
    parts = re.split(r",\s*(?![^(]*\))", inside)
    return f"{head}({', '.join(sorted(part.strip() for part in parts))}){tail}"


@pytest.mark.parametrize("role", ROLES)
def test_migrated_from_nothing_is_the_same_as_created(fresh: Fresh, role: Role) -> None:
    created, migrated = fresh(role), fresh(role)
    migrate.migrate(created, role)
    stepped(migrated, role)
    assert shape(migrated) == shape(created), f"write a step: python -m tests.migration.write {role} '…'"
    with migrated.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, migrate.METADATA[role]) == []
    assert migrate.version(migrated) == migrate.version(created) == migrate.HEADS[role]


@pytest.mark.parametrize("role", ROLES)
def test_sabotage_a_table_that_differs_in_anything_is_noticed(fresh: Fresh, role: Role) -> None:
    table = "secrets" if role == "keys" else "jobs"
    created = fresh(role)
    migrate.migrate(created, role)
    before = shape(created)
    for damage in (
        f"ALTER TABLE {table} ADD COLUMN extra INTEGER",
        f"CREATE INDEX extra ON {table} ({'name' if role == 'keys' else 'kind'})",
    ):
        with created.transaction() as connection:
            connection.exec_driver_sql(damage)
        after = shape(created)
        assert after != before
        before = after


@pytest.mark.parametrize("role", ROLES)
def test_the_newest_step_is_the_version_the_code_expects(role: Role) -> None:
    script = ScriptDirectory(str(migrate.STEPS), version_locations=[str(migrate.STEPS / role)])
    assert script.get_heads() == [migrate.HEADS[role]]


@pytest.mark.parametrize("role", ROLES)
def test_nothing_is_done_to_a_database_that_is_up_to_date_and_alembic_is_not_loaded(fresh: Fresh, role: Role) -> None:
    import subprocess
    import sys

    database = fresh(role)
    migrate.migrate(database, role)
    before = shape(database)
    migrate.migrate(database, role)
    assert shape(database) == before
    url = database.url.render_as_string(hide_password=False).replace("postgresql+psycopg", "postgresql")
    code = (
        "import sys\nfrom troth.store.engine import open_database\nfrom troth.store.migrate import migrate\n"
        f"d = open_database({url!r}, {role!r})\nmigrate(d, {role!r})\nd.close()\n"
        "assert not any(name.startswith('alembic') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_database_of_a_newer_troth_is_refused_and_left_as_it_is(fresh: Fresh) -> None:
    database = fresh("data")
    migrate.migrate(database, "data")
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    before = shape(database)
    with pytest.raises(StartRefused, match="another version of Troth"):
        migrate.migrate(database, "data")
    assert shape(database) == before


# --- steps that rebuild tables full of rows ---

STEP = """
import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{head}"


def upgrade() -> None:
    {body}
"""

REBUILD = """with op.batch_alter_table("subjects", recreate="{recreate}") as batch:
        batch.add_column(sa.Column("note", sa.Text(), nullable=True))
        batch.alter_column("mode", existing_type=sa.Text(), nullable=False, server_default="live")
    with op.batch_alter_table("states", recreate="{recreate}") as batch:
        batch.add_column(sa.Column("note", sa.Text(), nullable=True))"""


def step(folder: Path, database: Database, body: str) -> Path:
    """A folder with the real steps and one more."""
    steps = folder / "steps"
    steps.mkdir()
    for file in (migrate.STEPS / "data").glob("v*.py"):
        (steps / file.name).write_text(file.read_text())
    recreate = "always" if database.dialect == "sqlite" else "auto"
    text = STEP.format(head=migrate.HEADS["data"], body=body.replace("{recreate}", recreate))
    (steps / "v9001_test.py").write_text(text)
    return steps


def fill(database: Database) -> None:
    """A row in every table that has children, and children."""
    with database.transaction() as connection:
        state = connection.execute(
            insert(tables.states).values(canonical="{}").returning(tables.states.c.id)
        ).scalar_one()
        terms = connection.execute(
            insert(tables.terms)
            .values(controller="c", surface="s", point="p", version="v")
            .returning(tables.terms.c.id)
        ).scalar_one()
        for _ in range(5):
            sid = os.urandom(16)
            person = {"tenant": "main", "sid": sid}
            connection.execute(
                insert(tables.subjects).values(
                    **person, state_id=state, mode="live", generation=1, created_ms=0, last_use_ms=0
                )
            )
            for _ in range(3):
                record = {"rid": os.urandom(16), "terms_id": terms, "schema": 1, "anchor_ms": 0, "eid": sid, "ct": b"x"}
                connection.execute(insert(tables.personal_records).values(**person, class_="account", **record))
            secret = {"kind": "password", "since_ms": 0, "eid": sid, "ct": b"x"}
            connection.execute(insert(tables.credentials).values(**person, **secret))
            connection.execute(insert(tables.subject_states).values(**person, state="account.active", since_ms=0))


def counted(database: Database) -> dict[str, int]:
    with database.connect() as connection:
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in tables.data.tables.items()
        }


def test_a_step_that_rebuilds_a_parent_table_loses_no_child(fresh: Fresh, tmp_path: Path) -> None:
    database = fresh("data")
    migrate.migrate(database, "data")
    fill(database)
    before = counted(database)
    assert before["personal_records"] == 15
    migrate.migrate(database, "data", steps=step(tmp_path, database, REBUILD), head="9001")
    assert migrate.version(database) == "9001"
    assert counted(database) == before
    with database.connect() as connection:
        assert "note" in {column["name"] for column in inspect(connection).get_columns("subjects")}
    if database.dialect == "sqlite":
        with database.transaction() as connection:
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1  # on again


def test_a_step_that_would_leave_children_without_parent_changes_nothing(fresh: Fresh, tmp_path: Path) -> None:
    database = fresh("data")
    migrate.migrate(database, "data")
    fill(database)
    before, was = counted(database), shape(database)
    steps = step(tmp_path, database, REBUILD + '\n    op.execute("DELETE FROM subjects")')
    with pytest.raises(Exception, match=r"without their subjects|violates foreign key"):
        migrate.migrate(database, "data", steps=steps, head="9001")
    assert counted(database) == before
    assert shape(database) == was
    assert migrate.version(database) == migrate.HEADS["data"]


def test_a_step_that_fails_half_way_changes_nothing(fresh: Fresh, tmp_path: Path) -> None:
    database = fresh("data")
    migrate.migrate(database, "data")
    fill(database)
    before, was = counted(database), shape(database)
    with pytest.raises(ZeroDivisionError):
        migrate.migrate(database, "data", steps=step(tmp_path, database, REBUILD + "\n    1 / 0"), head="9001")
    assert (counted(database), shape(database)) == (before, was)


def test_sabotage_with_foreign_keys_enforced_the_same_step_would_not_go_through(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/d.db", "data")
    migrate.migrate(database, "data")
    fill(database)
    with pytest.raises(Exception, match="FOREIGN KEY"), database.transaction() as connection:
        connection.exec_driver_sql("DROP TABLE subjects")
    database.close()


@pytest.mark.parametrize("metadata", [tables.data, tables.keys])
def test_nothing_is_ever_deleted_by_implication(metadata: Any) -> None:
    for table in metadata.tables.values():
        for key in table.foreign_key_constraints:
            assert key.ondelete == "RESTRICT", f"{table.name} deletes by {key.ondelete}"
