"""The signed plan of an erasure, beside its order."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the column; orders from before have no plan."""
    op.add_column("erasures", sa.Column("plan", sa.Text(), nullable=True))
