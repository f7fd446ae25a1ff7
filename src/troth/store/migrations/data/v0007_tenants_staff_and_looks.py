"""Whose staff an operator is, and who of them looked at a person's data."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"

OURS = (
    "COALESCE((SELECT min(tenant) FROM sessions WHERE kind = 'operator'), (SELECT min(tenant) FROM subjects), 'main')"
)
"""Until now there was one tenant: the one that whatever is here was written under."""


def upgrade() -> None:
    """Alter the tables."""
    op.create_table(
        "looks",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("sid", sa.LargeBinary(length=16), nullable=False),
        sa.Column("lid", sa.LargeBinary(length=16), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("ct", sa.LargeBinary(), nullable=False),
        sa.Column("eid", sa.LargeBinary(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "sid"],
            ["subjects.tenant", "subjects.sid"],
            name=op.f("fk_looks_subjects"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("tenant", "sid", "lid", name=op.f("pk_looks")),
        sqlite_with_rowid=False,
    )
    for table in ("operators", "approvals"):
        op.add_column(table, sa.Column("tenant", sa.Text(), nullable=True))
        op.execute(f"UPDATE {table} SET tenant = {OURS}")  # noqa: S608 - constants of ours
    with op.batch_alter_table("approvals") as batch:
        batch.alter_column("tenant", existing_type=sa.Text(), nullable=False)
    with op.batch_alter_table("operators") as batch:
        batch.alter_column("tenant", existing_type=sa.Text(), nullable=False)
        batch.drop_constraint(op.f("uq_operators_name"), type_="unique")
        batch.create_unique_constraint(op.f("uq_operators_tenant_name"), ["tenant", "name"])
