"""A vendor to whom nobody has come yet."""

from tests.clauses.conftest import vendor

__all__ = ["vendor"]
