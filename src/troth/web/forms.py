"""Forms from the policy: a collection point's declaration becomes labels, controls, a notice and a consent.

Adding a field to the policy adds it here; there is no second list (clauses ``scope.closed-list``,
``consent.at-submission``). Mechanism ``notice.bind``: the version shown is the version that the submission carries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from troth.collect.intake import only_by_consent
from troth.errors import Invalid
from troth.notice.shown import PointNotice, notice_for
from troth.policy.model import CompiledPolicy, Field, Point
from troth.web.pages import Words
from troth.web.views import ConsentView, FieldError, FieldView, FormView, NoticeRow

VERSION_FIELD = "policy_version"
NOTICE_FIELD = "notice"  # the hash of what was shown: troth.notice.shown
CONSENT_FIELD = "consent"
LONG_TEXT = 1000  # from here on a field is a text area

# WCAG 1.3.5: what browsers and helpers know how to fill in, by category
AUTOCOMPLETE = {
    "user.name": "name",
    "user.name.first": "given-name",
    "user.name.last": "family-name",
    "user.contact.email": "email",
    "user.contact.phone": "tel",
    "user.contact.phone_number": "tel",
    "user.company.name": "organization",
    "user.contact.organization": "organization",
    "user.company": "organization",
    "user.credentials.password": "new-password",
}


def control(field: Field) -> str:
    """The kind of control that suits a declared field."""
    if field.choices:
        return "select"
    if field.category.startswith("user.contact.email"):
        return "email"
    if field.category.startswith("user.contact.phone"):
        return "tel"
    return "textarea" if field.max_length >= LONG_TEXT else "text"


def field_view(field: Field, words: Words, value: str = "", error: str = "") -> FieldView:
    """One declared field, ready to be shown."""
    choices = tuple((choice, choice_label(words, field, choice)) for choice in field.choices)
    return FieldView(
        name=field.name,
        label=words.label(field.name, field.category),
        kind=control(field),  # type: ignore[arg-type]  # control() returns only members of the Literal
        required=field.required,
        value=value,
        choices=choices,
        max_length=field.max_length,
        autocomplete=AUTOCOMPLETE.get(field.category, ""),
        error=error,
    )


def choice_label(words: Words, field: Field, choice: str) -> str:
    """What a declared choice is called; the vendor's own word where the catalogue has none."""
    key = f"choice.{field.name}.{choice}"
    return words.catalogue.text(words.language, key) if words.catalogue.has(key) else choice


def form_view(
    policy: CompiledPolicy,
    point: Point,
    words: Words,
    *,
    action: str,
    values: Mapping[str, str] | None = None,
    errors: Sequence[FieldError] = (),
    hidden: Mapping[str, str] | None = None,
) -> FormView:
    """The form of ``point`` under ``policy``. ``values`` are what the person sent, shown again beside the faults."""
    values = values or {}
    notice = notice_for(policy, point)
    catalogue, language = words.catalogue, words.language
    labels = {field.name: words.label(field.name, field.category) for field in point.fields}
    by_name: dict[str, str] = {}
    for error in errors:
        by_name.setdefault(error.name, error.message)
    title_key, intro_key = f"point.{point.id}.title", f"point.{point.id}.intro"
    submit_key, notice_key = f"point.{point.id}.submit", f"point.{point.id}.notice"
    consent = None
    if point.consent is not None:
        consent = ConsentView(
            name=CONSENT_FIELD,
            ask=point.consent.ask,
            ticked=CONSENT_FIELD in values,
            required=only_by_consent(point),
            error=by_name.get(CONSENT_FIELD, ""),
        )
    return FormView(
        action=action,
        point=point.id,
        title=catalogue.text(language, title_key) if catalogue.has(title_key) else words.label(point.id),
        intro=catalogue.text(language, intro_key) if catalogue.has(intro_key) else "",
        fields=tuple(
            field_view(field, words, values.get(field.name, ""), by_name.get(field.name, "")) for field in point.fields
        ),
        submit=catalogue.text(language, submit_key if catalogue.has(submit_key) else "form.submit"),
        notice=catalogue.text(
            language, notice_key if catalogue.has(notice_key) else "form.notice", name=policy.controller.name
        ),
        version=policy.version,
        effective=policy.effective,
        clause=point.clause,
        consent=consent,
        uses=notice_rows(notice, words),
        hidden={VERSION_FIELD: policy.version, NOTICE_FIELD: notice.sha256, **(hidden or {})},
        errors=tuple(replace(error, label=labels.get(error.name, "")) for error in errors),
    )


def notice_rows(notice: PointNotice, words: Words) -> tuple[NoticeRow, ...]:
    """The notice's lines in the reader's words; figures and ids the catalogue does not know stay as declared."""
    return tuple(
        NoticeRow(
            fields=words.listed([words.label(name) for name in line.fields]),
            purpose=words.named("purpose", line.purpose),
            basis=words.named("basis", line.basis),
            kept=words.listed(line.kept),
            recipient=words.named("recipient", line.recipient) if line.recipient else "",
        )
        for line in notice.lines
    )


def field_errors(fault: Invalid, words: Words) -> tuple[FieldError, ...]:
    """The gaps of an ``Invalid`` (``/field: what is wrong``) as faults beside the fields they name."""
    found = []
    for gap in fault.gaps:
        pointer, _, problem = gap.partition(": ")
        name = pointer.strip("/").partition("/")[0]
        key = f"fault.{problem}"
        catalogue = words.catalogue
        message = catalogue.text(words.language, key if catalogue.has(key) else "fault.other")
        found.append(FieldError(name, message))
    return tuple(found) or (FieldError("", words.catalogue.text(words.language, "fault.other")),)
