"""Which column of a file is what: a plain table, and the exports of listmonk and Mailchimp as they are.

The format is recognised by its header. A column that nothing asks for is dropped, and named in the report; columns
with network addresses are never taken, whatever a policy calls its fields. Mechanism: ``intake.declared``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from troth.collect.forms import kind_of
from troth.errors import Invalid
from troth.policy.model import Field, Point

FORMATS = ("table", "listmonk", "mailchimp", "mailchimp-unsubscribed", "mailchimp-cleaned")
LISTMONK = {"uuid", "email", "status"}
MAILCHIMP = {"optin_time", "confirm_time", "unsub_time", "clean_time", "leid", "euid", "member_rating"}
LISTMONK_HAS: dict[str, tuple[str, ...]] = {"user.contact.email": ("email",), "user.name": ("name",)}
MAILCHIMP_HAS: dict[str, tuple[str, ...]] = {
    "user.contact.email": ("email_address",),
    "user.name": ("first_name", "last_name"),
    "user.name.first": ("first_name",),
    "user.name.last": ("last_name",),
    "user.contact.phone": ("phone_number",),
}
NETWORK = re.compile(r"(.*_)?(ip|ip_address|remote_addr)")
SHOWN = 64  # characters of a column's name that are said


@dataclass(frozen=True)
class Layout:
    """Where a row's parts stand. ``fields`` maps a field to the columns whose values it is made of, in order."""

    format: str
    fields: dict[str, tuple[str, ...]]
    source: str | None
    evidence: str | None
    how: str | None
    status: str | None
    ended: str | None
    """What every row of the file is, where the file itself says so (``unsubscribed``, ``cleaned``)."""
    dropped: tuple[str, ...]


def plain(name: str) -> str:
    """A column's name as it is compared: small letters, spaces and hyphens as underscores."""
    return re.sub(r"[\s-]+", "_", name.strip().casefold())


def recognised(columns: tuple[str, ...]) -> str:
    """The format that has these columns."""
    names = {plain(column) for column in columns}
    if "email_address" in names and names & MAILCHIMP:
        if "clean_time" in names:
            return "mailchimp-cleaned"
        return "mailchimp-unsubscribed" if "unsub_time" in names else "mailchimp"
    return "listmonk" if names >= LISTMONK and names & {"attributes", "attribs"} else "table"


def layout_of(
    columns: tuple[str, ...], point: Point, *, format: str | None, evidence: str | None, only_address: bool
) -> Layout:
    """How the file is read for a point. ``only_address``: no field but the address is wanted.

    ``Invalid`` where the header has no column for the address (it is the header that may be missing), or not the one
    that is to be the evidence.
    """
    found = format or recognised(columns)
    address = address_of(point)
    there = {plain(column): column for column in columns}
    if len(there) != len(columns):
        raise Invalid("two columns have names that differ in capitals, spaces or hyphens only: rename one of them")
    wanted = {address.name: _of_field(address, found)} if only_address else _wanted(point, found)
    fields = {
        name: tuple(there[one] for one in names if one in there)
        for name, names in wanted.items()
        if any(one in there for one in names)
    }
    if only_address and address.name not in fields:
        other_names = [there[one] for one in ("email", "e_mail", "email_address") if one in there]
        if other_names:
            fields[address.name] = (other_names[0],)
    if address.name not in fields:
        raise Invalid(
            f"no column is called {address.name}: the first line must name the columns, and one of them holds the "
            f"addresses"
        )
    if evidence is not None and plain(evidence) not in there:
        raise Invalid("the column that is to be the evidence is not in the file")
    taken = {column for names in fields.values() for column in names}

    def other(*names: str) -> str | None:
        return next((there[name] for name in names if name in there and there[name] not in taken), None)

    layout = Layout(
        format=found,
        fields=fields,
        source=other("source"),
        evidence=there[plain(evidence)] if evidence else other(*_evidence(found)),
        how=other("how"),
        status=other("status", "state") if found in ("table", "listmonk") else None,
        ended=found.partition("-")[2] or None,
        dropped=(),
    )
    used = taken | {layout.source, layout.evidence, layout.how, layout.status}
    dropped = tuple(shown(columns, at) for at, column in enumerate(columns) if column not in used)
    return Layout(**{**vars(layout), "dropped": dropped})


def address_of(point: Point) -> Field:
    """The field by which people of this point are found; ``Invalid`` if that is no e-mail address."""
    for field in point.fields:
        if field.identifier and kind_of(field) == "email":
            return field
    raise Invalid(f"{point.id} has no e-mail address that identifies people", clause=point.clause)


def shown(columns: tuple[str, ...], at: int) -> str:
    """A column's name as it may be said; its number where it looks like a value rather than a name."""
    name = columns[at]
    if not name or len(name) > SHOWN or re.search(r"[@\n\r]|\d{5}", name):
        return f"column {at + 1}"
    return name


def _wanted(point: Point, format: str) -> dict[str, tuple[str, ...]]:
    return {field.name: _of_field(field, format) for field in point.fields}


def _of_field(field: Field, format: str) -> tuple[str, ...]:
    """The columns (plain) that make a field's value; those with network addresses are never among them."""
    category = "user.contact.email" if kind_of(field) == "email" else field.category
    names: tuple[str, ...] = (plain(field.name),)
    if format.startswith("mailchimp"):
        names = MAILCHIMP_HAS.get(category, names)
    elif format == "listmonk":
        names = LISTMONK_HAS.get(category, ())
    return tuple(name for name in names if not NETWORK.fullmatch(name))


def _evidence(format: str) -> tuple[str, ...]:
    """Columns that are evidence of consent by themselves. That a row was made on a day is none."""
    return ("confirm_time", "optin_time") if format.startswith("mailchimp") else ("evidence",)
