"""Forms and API schemas, both from the policy's declarations: a field declared is a field shown, taken and mapped.

Nothing here knows a field by name. Clauses: ``collect.*``; L2 (only declared fields), L10 (notice beside the
form). Mechanism: ``intake.declared``.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import msgspec

from troth.collect.visits.rules import VISITS
from troth.errors import NotFound, Undeclared
from troth.policy.model import CompiledPolicy, Field, Point

# Written into the schemas that we publish and used by our own checks, so that neither takes what the other refuses.
CONTROLS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # but tab and the ends of lines
SPACES = r"\t\n\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
TEXT = f"[^{CONTROLS}]*"
SOME_TEXT = f"[^{CONTROLS}]*[^{CONTROLS}{SPACES}][^{CONTROLS}]*"
PHONE = r"\+?([ ()./-]{0,3}[0-9]){5,15}[ )]?"  # as people write them; E.164 has at most 15 digits
IS_TEXT = re.compile(f"[^{CONTROLS}\ud800-\udfff]*")  # nor half of a character, which no UTF-8 holds
IS_PHONE = re.compile(PHONE)


class Fault(msgspec.Struct, frozen=True):
    """Something in a submission that does not fit: which field, and which rule (a key of the catalogue)."""

    field: str
    rule: str  # required | choice | too-long | email | phone | control | text


def point_of(policy: CompiledPolicy, name: str) -> Point:
    """The declared collection point; ``NotFound`` if no clause declares it, or if no form can fill it (visits)."""
    point = policy.points.get(name)
    if point is None or name in VISITS:
        raise NotFound("no clause declares this collection point", clause="scope.closed-list")
    return point


def json_schema(point: Point) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a submission's ``values``: exactly the declared fields, nothing else."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [f.name for f in point.fields if f.required],
        "properties": {f.name: field_schema(f) for f in point.fields},
    }


def field_schema(field: Field) -> dict[str, Any]:
    """The schema of one field's value."""
    schema: dict[str, Any] = {"type": "string", "maxLength": field.max_length, "x-category": field.category}
    if field.required:
        schema["minLength"] = 1
    if field.choices:
        schema["enum"] = list(field.choices) if field.required else ["", *field.choices]
    if kind_of(field) == "email":
        schema["format"] = "email"
    elif not field.choices:
        schema["pattern"] = f"^{pattern_of(field)}$"
    return schema


def pattern_of(field: Field) -> str:
    """What the value must be as a whole, as a regular expression that JSON Schema, Python and browsers read alike."""
    if kind_of(field) == "phone":
        return PHONE if field.required else f"({PHONE})?"
    return SOME_TEXT if field.required else TEXT


def kind_of(field: Field) -> str:
    """The last part of the category: ``email``, ``phone``, ``first`` …: it decides the check and the input's type."""
    return field.category.rsplit(".", 1)[-1]


def clean(point: Point, values: dict[str, Any]) -> tuple[dict[str, str], tuple[Fault, ...]]:
    """The values as they will be kept (NFC, outer space trimmed, empty optional ones absent), and every fault.

    An undeclared name raises ``Undeclared`` at once: it is not a slip of the person but a form that asks for more
    than was promised.
    """
    undeclared = sorted(name for name in values if point.field(name) is None)
    if undeclared:
        raise Undeclared(
            f"{len(undeclared)} fields are not declared for {point.id}: declare them in clause {point.clause}, "
            "with a category and a use, or do not send them",
            clause=point.clause,
            gaps=tuple(f"field:{name[:64]}" for name in undeclared[:20]),
        )
    kept: dict[str, str] = {}
    faults: list[Fault] = []
    for field in point.fields:
        raw = values.get(field.name, "")
        if not isinstance(raw, str):
            faults.append(Fault(field.name, "text"))
            continue
        value = unicodedata.normalize("NFC", raw.replace("\r\n", "\n")).strip()  # browsers end lines with both
        rule = "too-long" if len(raw.strip()) > field.max_length else broken_rule(field, value)
        if rule:
            faults.append(Fault(field.name, rule))
        elif value:
            kept[field.name] = value
    return kept, tuple(faults)


def broken_rule(field: Field, value: str) -> str | None:
    """The first rule that the value breaks, or None."""
    if not value:
        return "required" if field.required else None
    if not IS_TEXT.fullmatch(value):
        return "control"
    if field.choices and value not in field.choices:
        return "choice"
    if kind_of(field) == "email" and not is_email(value):
        return "email"
    if kind_of(field) == "phone" and not is_phone(value):
        return "phone"
    return None


def is_email(value: str) -> bool:
    """True for an address that mail can be sent to, by form (no look-up in the DNS: that would tell a third party)."""
    from email_validator import EmailNotValidError, validate_email  # 40 ms to import: only when a form arrives

    try:
        validate_email(value, check_deliverability=False, test_environment=True)  # by form: .test has one too
    except EmailNotValidError:
        return False
    return True


def is_phone(value: str) -> bool:
    """True for a telephone number as people write them: 5 to 15 digits, with the usual marks between them."""
    return IS_PHONE.fullmatch(value) is not None
