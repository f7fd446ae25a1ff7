"""Tables for visits added up."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"

ROWID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "visit_cells",
        sa.Column("id", ROWID, autoincrement=True, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("surface", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_visit_cells")),
    )
    op.create_index("uq_visit_cells", "visit_cells", ["tenant", "surface", "dimension", "value"], unique=True)
    op.create_table(
        "visit_counts",
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("cell", ROWID, nullable=False),
        sa.Column("views", sa.BigInteger(), nullable=False),
        sa.Column("visitors", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "cell", name=op.f("pk_visit_counts")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "visit_seen",
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("who", sa.LargeBinary(length=16), nullable=False),
        sa.Column("cells", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("day", "who", name=op.f("pk_visit_seen")),
        sqlite_with_rowid=False,
    )
