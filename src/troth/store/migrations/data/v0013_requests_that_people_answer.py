"""What a request needs that people answer: its road, its proof, its delay, its reason."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the columns."""
    with op.batch_alter_table("rights_requests") as table:
        table.add_column(sa.Column("road", sa.Text(), server_default="centre", nullable=False))
        table.add_column(sa.Column("on_behalf", sa.Text(), nullable=True))
        table.add_column(sa.Column("acknowledged_ms", sa.BigInteger(), nullable=True))
        table.add_column(sa.Column("proven_ms", sa.BigInteger(), nullable=True))
        table.add_column(sa.Column("extended_ms", sa.BigInteger(), nullable=True))
        table.add_column(sa.Column("reminded", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("reason", sa.Text(), nullable=True))
