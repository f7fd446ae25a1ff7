"""The messages are their own queue: when each is due, how often it was tried, which campaign it belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns; what waited as a job waits as a message from here on."""
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.add_column(sa.Column("due_ms", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("attempt", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("lane", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("soft", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("campaign", sa.LargeBinary(length=16), nullable=True))
        batch_op.create_index("ix_messages_due", ["state", "lane", "due_ms"])
        batch_op.create_index("ix_messages_campaign", ["campaign", "state"])
    op.execute("DELETE FROM jobs WHERE kind = 'message.send'")
