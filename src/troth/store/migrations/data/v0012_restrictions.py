"""A table for whose data is set aside."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "restrictions",
        sa.Column("eid", sa.LargeBinary(length=16), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("sid", sa.LargeBinary(length=16), nullable=False),
        sa.Column("ground", sa.Text(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("announced_ms", sa.BigInteger(), nullable=True),
        sa.Column("notice", sa.LargeBinary(length=16), nullable=True),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant", "sid"],
            ["subjects.tenant", "subjects.sid"],
            name=op.f("fk_restrictions_subjects"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("eid", name=op.f("pk_restrictions")),
    )
    op.create_index("ix_restrictions_sid", "restrictions", ["tenant", "sid"])
