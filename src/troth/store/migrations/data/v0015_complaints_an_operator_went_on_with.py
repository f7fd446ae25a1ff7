"""A campaign knows failures and complaints that an operator went on with, each by themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the column."""
    with op.batch_alter_table("campaigns") as table:
        table.add_column(sa.Column("borne_complaints", sa.Integer(), server_default="0", nullable=False))
