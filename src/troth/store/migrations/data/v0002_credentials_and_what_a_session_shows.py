"""Credentials and what a session shows."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Alter the tables."""
    op.create_table(
        "credentials",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("sid", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("eid", sa.LargeBinary(length=16), nullable=False),
        sa.Column("ct", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "sid"],
            ["subjects.tenant", "subjects.sid"],
            name=op.f("fk_credentials_subjects"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("tenant", "sid", "kind", name=op.f("pk_credentials")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("method", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("eid", sa.LargeBinary(length=16), nullable=True))
        batch_op.add_column(sa.Column("device", sa.LargeBinary(), nullable=True))
