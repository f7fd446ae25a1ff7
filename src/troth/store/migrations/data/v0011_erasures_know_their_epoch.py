"""Under which epoch an erased person's keys lay: with its destruction their old copies open nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column. Until now there was one epoch, the first."""
    op.add_column("erasures", sa.Column("epoch", sa.Integer(), nullable=True))
    op.execute("UPDATE erasures SET epoch = 1 WHERE unreadable_ms IS NOT NULL")
