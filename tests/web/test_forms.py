"""Forms from the policy: every declared field and no other, the notice with its version, a consent never ticked."""

from __future__ import annotations

import msgspec
import pytest

from tests.web import vendor
from tests.web.conftest import Open
from troth.errors import Invalid
from troth.notice.shown import notice_for
from troth.policy.model import Field
from troth.web.catalogue import read_catalogue
from troth.web.forms import CONSENT_FIELD, NOTICE_FIELD, VERSION_FIELD, control, field_errors, form_view
from troth.web.pages import Pages, Words
from troth.web.static import Static
from troth.web.views import FieldError

ENGLISH, ARABIC = Words(read_catalogue(), "en"), Words(read_catalogue(), "ar")


def test_a_form_has_the_declared_fields_in_their_order() -> None:
    form = form_view(vendor.POLICY, vendor.REGISTRATION, ENGLISH, action="/x")
    assert [field.name for field in form.fields] == [field.name for field in vendor.REGISTRATION.fields]
    assert [field.required for field in form.fields] == [field.required for field in vendor.REGISTRATION.fields]
    assert [field.label for field in form.fields][:3] == ["First name", "Last name", "E-mail address"]


def test_a_field_added_to_the_policy_is_a_field_of_the_form() -> None:
    more = msgspec.structs.replace(
        vendor.NEWSLETTER, fields=(*vendor.NEWSLETTER.fields, Field("shoe_size", "user.clothing.shoe"))
    )
    form = form_view(vendor.POLICY, more, ENGLISH, action="/x")
    assert form.fields[-1].label == "Shoe size"


def test_the_form_carries_the_version_and_the_notice_that_it_shows() -> None:
    form = form_view(vendor.POLICY, vendor.NEWSLETTER, ENGLISH, action="/x")
    notice = notice_for(vendor.POLICY, vendor.NEWSLETTER)
    assert form.hidden == {VERSION_FIELD: "2026-01-15", NOTICE_FIELD: notice.sha256}
    assert [use.purpose for use in form.uses] == ["The newsletter"]
    assert form.uses[0].basis == "Your consent"
    assert form.uses[0].kept == ENGLISH.listed(notice.lines[0].kept)


def test_a_consent_is_never_ticked_in_advance(visit: Open) -> None:
    form = form_view(vendor.POLICY, vendor.NEWSLETTER, ENGLISH, action="/x")
    assert form.consent is not None
    assert not form.consent.ticked
    page = visit().page("/gallery/newsletter").text
    assert "checked" not in page
    assert vendor.NEWSLETTER.consent is not None
    assert vendor.NEWSLETTER.consent.ask in page


def test_what_a_person_ticked_and_typed_comes_back_beside_the_faults() -> None:
    form = form_view(
        vendor.POLICY,
        vendor.NEWSLETTER,
        ENGLISH,
        action="/x",
        values={"name": "Ann <Lee>", CONSENT_FIELD: "yes"},
        errors=(FieldError("email", "Please fill this in"),),
    )
    assert form.consent is not None
    assert form.consent.ticked
    assert [(field.value, field.error) for field in form.fields] == [("Ann <Lee>", ""), ("", "Please fill this in")]
    assert form.errors == (FieldError("email", "Please fill this in", "E-mail address"),)


def test_what_a_person_typed_never_becomes_markup() -> None:
    words = Words(read_catalogue(), "en")
    form = form_view(
        vendor.POLICY, vendor.NEWSLETTER, words, action="/x", values={"name": '"><script>alert(1)</script>'}
    )
    html = (
        Pages(read_catalogue(), Static())
        .environment.from_string('{% import "parts.html" as parts with context %}{{ parts.field_control(field) }}')
        .render(field=form.fields[0], t=words)
    )
    assert "<script>" not in html
    assert "&#34;&gt;&lt;script&gt;" in html


def test_labels_and_purposes_speak_arabic() -> None:
    form = form_view(vendor.POLICY, vendor.NEWSLETTER, ARABIC, action="/x")
    assert [field.label for field in form.fields] == ["الاسم", "عنوان البريد الإلكتروني"]
    assert form.uses[0].fields == "عنوان البريد الإلكتروني، الاسم"


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        (Field("email", "user.contact.email"), "email"),
        (Field("phone", "user.contact.phone"), "tel"),
        (Field("size", "user.company.size", choices=("1", "2")), "select"),
        (Field("message", "user.content", max_length=5000), "textarea"),
        (Field("name", "user.name"), "text"),
    ],
)
def test_the_control_suits_the_category(field: Field, kind: str) -> None:
    assert control(field) == kind


@pytest.mark.parametrize(
    ("gap", "name", "words"),
    [
        ("email: email", "email", "Please enter an e-mail address, such as name@example.org"),
        ("/name: required", "name", "Please fill this in"),
        ("size: something unheard of", "size", "This does not fit"),
    ],
)
def test_a_refusal_becomes_words_beside_its_field(gap: str, name: str, words: str) -> None:
    assert field_errors(Invalid("x", gaps=(gap,)), ENGLISH) == (FieldError(name, words),)


def test_a_refusal_without_a_place_is_about_the_whole_form() -> None:
    assert field_errors(Invalid("x"), ENGLISH) == (FieldError("", "This does not fit"),)


def test_browsers_are_told_what_they_know_how_to_fill_in(visit: Open) -> None:
    page = visit().page("/gallery/registration-faulty").text
    for hint in ("given-name", "family-name", "email", "tel", "organization"):
        assert f'autocomplete="{hint}"' in page


def test_faults_are_tied_to_their_fields_for_those_who_listen(visit: Open) -> None:
    page = visit().page("/gallery/registration-faulty").text
    assert 'aria-invalid="true"' in page
    assert 'aria-describedby="field-email-error"' in page
    assert 'id="field-email-error"' in page
    assert page.count('aria-invalid="true"') == 2
