"""Writes a migration step from what ``store/tables`` says and the steps before it do not.

python -m tests.migration.write data "count what a bucket holds"
python -m tests.migration.write keys --first        # before the first release: write step 0001 anew
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext

from troth.store import migrate
from troth.store.engine import Role, open_database


def rendered(role: Role, *, first: bool) -> str:
    """The body of ``upgrade`` that leads from the steps so far (or from nothing) to the tables."""
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(f"sqlite:///{folder}/{role}.db", role)
        try:
            if not first:
                migrate.upgrade(database, migrate.STEPS / role, migrate.HEADS[role])
            with database.connect() as connection:
                options: dict[str, Any] = {"render_as_batch": not first, "target_metadata": migrate.METADATA[role]}
                context = MigrationContext.configure(connection, opts=options)
                operations = produce_migrations(context, migrate.METADATA[role]).upgrade_ops
                assert operations is not None
                return render_python_code(operations, render_as_batch=not first, migration_context=context)
        finally:
            database.close()


def main() -> None:
    """Write the step; ``HEADS`` in ``store/migrate.py`` is then raised by hand."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["data", "keys"])
    parser.add_argument("title", nargs="?", default="tables")
    parser.add_argument("--first", action="store_true")
    options = parser.parse_args()
    before = migrate.HEADS[options.role]
    number = "0001" if options.first else f"{int(before) + 1:04d}"
    code = rendered(options.role, first=options.first)
    code = re.sub(r"\n    # ###.*", "", "\n    " + code)
    name = re.sub(r"\W+", "_", options.title.lower()).strip("_")
    file = Path(migrate.STEPS) / options.role / f"v{number}_{name}.py"
    file.write_text(
        f'"""{options.title.capitalize()}."""\n\n'
        "import sqlalchemy as sa\nfrom alembic import op\n\n"
        f'revision = "{number}"\ndown_revision = {None if options.first else before!r}\n\n\n'
        f'def upgrade() -> None:\n    """Alter the tables."""{code}\n'
    )
    print(f"wrote {file.name}; format it with ruff, and raise HEADS[{options.role!r}] to {number!r}")


if __name__ == "__main__":
    main()
