"""What a roll of the epoch has to know: where something was destroyed, and what lies in a bucket."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column and two indexes. In any old bucket something may have been destroyed: each is re-keyed once."""
    op.add_column("buckets", sa.Column("shed_ms", sa.BigInteger(), nullable=True))
    op.execute("UPDATE buckets SET shed_ms = 0")
    op.create_index("ix_data_keys_bucket", "data_keys", ["bucket", "compartment"])
    op.create_index("ix_tags_bucket", "tags", ["bucket"])
