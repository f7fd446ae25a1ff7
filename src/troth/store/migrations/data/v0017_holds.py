"""A table for what is kept because a law or a claim needs it."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "holds",
        sa.Column("eid", sa.LargeBinary(length=16), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("sid", sa.LargeBinary(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("set_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant", "sid"],
            ["subjects.tenant", "subjects.sid"],
            name=op.f("fk_holds_subjects"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("eid", name=op.f("pk_holds")),
    )
    op.create_index("ix_holds_sid", "holds", ["tenant", "sid"])
