"""What staff may do: four roles, and the table of scopes that each has. There is no role that may do everything."""

from __future__ import annotations

from typing import Final, Literal, get_args

Role = Literal["support", "officer", "administrator", "auditor"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

SCOPES: Final[dict[str, frozenset[str]]] = {
    # answers people, on an open question of theirs
    "support": frozenset({"requests.read", "subjects.find", "approvals.ask"}),
    # the privacy officer: rights procedures, files brought in, campaigns, approvals
    "officer": frozenset(
        {
            "requests.read",
            "requests.handle",
            "subjects.find",
            "visits.read",
            "approvals.ask",
            "approvals.give",
            "operators.read",
            "imports.read",
            "imports.undo",
            "points.read",
            "campaigns.send",
        }
    ),
    # the system and its staff, never the data
    "administrator": frozenset(
        {
            "operators.read",
            "operators.manage",
            "approvals.ask",
            "approvals.give",
            "imports.read",
            "points.read",
            "visits.read",
        }
    ),
    # looks at what there is, changes nothing
    "auditor": frozenset({"operators.read", "points.read", "visits.read"}),
}

PURPOSES: Final[dict[str, tuple[str, ...]]] = {"support": ("account", "support"), "officer": ("rights", "account")}
"""What a role may look at a person's data for; whether the policy lets it is the gate's to say."""


def purposes_of(role: str) -> tuple[str, ...]:
    """The purposes that a role may look for; none for a role that has nothing to do with people's data."""
    return PURPOSES.get(role, ())


def may(role: str, scope: str) -> bool:
    """True where the role has the scope; "" is what every signed-in operator has."""
    return not scope or scope in SCOPES.get(role, frozenset())
