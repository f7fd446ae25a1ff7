"""Tables for corrections, addresses that wait for their proof, and the use that products tell of."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"


def of_subject(table: str) -> sa.ForeignKeyConstraint:
    """The rows go before their person does."""
    return sa.ForeignKeyConstraint(
        ["tenant", "sid"], ["subjects.tenant", "subjects.sid"], name=op.f(f"fk_{table}_subjects"), ondelete="RESTRICT"
    )


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "corrections",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("sid", sa.LargeBinary(length=16), nullable=False),
        sa.Column("eid", sa.LargeBinary(length=16), nullable=False),
        sa.Column("rid", sa.LargeBinary(length=16), nullable=False),
        sa.Column("point", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        of_subject("corrections"),
        sa.PrimaryKeyConstraint("tenant", "sid", "eid", name=op.f("pk_corrections")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "address_changes",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("sid", sa.LargeBinary(length=16), nullable=False),
        sa.Column("eid", sa.LargeBinary(length=16), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("ct", sa.LargeBinary(), nullable=False),
        sa.Column("asked_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        of_subject("address_changes"),
        sa.PrimaryKeyConstraint("tenant", "sid", name=op.f("pk_address_changes")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "activity",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("sid", sa.LargeBinary(length=16), nullable=False),
        sa.Column("product", sa.LargeBinary(length=16), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=True),
        sa.Column("eid", sa.LargeBinary(length=16), nullable=False),
        of_subject("activity"),
        sa.PrimaryKeyConstraint("tenant", "sid", "product", "event", name=op.f("pk_activity")),
        sqlite_with_rowid=False,
    )
