"""Under which epoch an erased person's keys lay: with its destruction their old copies open nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column (until now there was one epoch, the first), and a way to a person's newest records of a kind."""
    op.add_column("erasures", sa.Column("epoch", sa.Integer(), nullable=True))
    op.execute("UPDATE erasures SET epoch = 1 WHERE unreadable_ms IS NOT NULL")
    op.create_index("ix_personal_records_terms", "personal_records", ["tenant", "sid", "terms_id", "anchor_ms"])
