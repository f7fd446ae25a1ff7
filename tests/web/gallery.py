"""Every page with a sample of what it is given: rendered by tests, looked at by people, searched by axe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tests.web import vendor
from troth.errors import Undeclared
from troth.rights.restriction import GROUNDS, Restriction
from troth.use.passkeys import Question
from troth.web.forms import field_view, form_view
from troth.web.pages import Visit, Words, page
from troth.web.problems import ShownGap, problem
from troth.web.routes import Caller, Group, Route
from troth.web.views import Choice, CorrectView, FieldError, HeldField

Sample = Callable[[Words], dict[str, Any]]


def newsletter(words: Words) -> dict[str, Any]:
    """The newsletter's form, fresh."""
    return {"form": form_view(vendor.POLICY, vendor.NEWSLETTER, words, action="/forms/newsletter")}


def registration(words: Words) -> dict[str, Any]:
    """The registration's form as it comes back with two faults."""
    return {
        "form": form_view(
            vendor.POLICY,
            vendor.REGISTRATION,
            words,
            action="/forms/registration",
            values={"first_name": "Ann", "email": "ann.lee", "company_size": "10-49"},
            errors=(
                FieldError("last_name", words("fault.required")),
                FieldError("email", words("fault.email")),
            ),
        )
    }


def grounds(words: Words) -> dict[str, Any]:
    """The four grounds for setting data aside, as they come back when none was chosen."""
    choices = [Choice(ground, words(f"restrict.ground-{ground}")) for ground in GROUNDS]
    return {
        "action": "/privacy/restrict",
        "held": None,
        "grounds": choices,
        "errors": [FieldError("ground", words("fault.choose"))],
    }


def correcting(words: Words) -> CorrectView:
    """What was told at one place, come back with a fault."""
    errors = (FieldError("last_name", words("fault.required"), "Last name"),)
    fields = [f for f in vendor.REGISTRATION.fields if not f.identifier]
    return CorrectView(
        action="/privacy/correct/registration",
        title="Registration",
        fields=[field_view(f, words, "", words("fault.required") if f.name == "last_name" else "") for f in fields],
        found_by=(HeldField("E-mail address", "ann.lee@example.org"),),
        records=2,
        hidden={"seen-as": "0" * 32},
        errors=errors,
    )


def always(**context: Any) -> Sample:
    """The same context in every language."""
    return lambda words: context


REFUSAL = problem(
    Undeclared(
        "1 field is not declared for newsletter: declare it in clause collect.newsletter",
        clause="collect.newsletter",
        gaps=("field:phone",),
    )
)

SAMPLES: dict[str, tuple[str, Sample]] = {
    "home": ("home.html", always(cards=vendor.CARDS)),
    "policy": ("policy.html", always(body=vendor.PROSE, versions=vendor.VERSIONS, prose_language="en")),
    "versions": ("versions.html", always(versions=vendor.VERSIONS)),
    "clause": ("clause.html", always(clause=vendor.CLAUSE)),
    "newsletter": ("form.html", newsletter),
    "registration-faulty": ("form.html", registration),
    "check-mail": ("check-mail.html", always()),
    "confirm": (
        "confirm.html",
        always(
            action="/confirm/x",
            title_key="confirm.newsletter.title",
            text_key="confirm.newsletter.text",
            submit_key="confirm.newsletter.submit",
        ),
    ),
    "done": (
        "done.html",
        always(title_key="unsubscribe.done", text_key="unsubscribe.done-text", links=vendor.CARDS[:1]),
    ),
    "privacy-request": ("privacy/request.html", always(action="/privacy")),
    "privacy-home": ("privacy/home.html", always(person=vendor.PERSON)),
    "privacy-copy": ("privacy/copy.html", always(person=vendor.PERSON)),
    "privacy-object": ("privacy/object.html", always(action="/privacy/object", purposes=vendor.CHOICES)),
    "privacy-erase": (
        "privacy/erase.html",
        always(
            action="/privacy/erase",
            consequences=tuple(f"privacy.erase-{name}" for name in ("account", "certificate", "suppression", "final")),
        ),
    ),
    "privacy-restrict": ("privacy/restrict.html", grounds),
    "privacy-restricted": (
        "privacy/restrict.html",
        always(
            action="/privacy/restrict",
            told="7 days",
            held=Restriction(b"\1" * 16, "accuracy", vendor.NOON, vendor.NOON),
        ),
    ),
    "privacy-receipts": ("privacy/receipts.html", always(receipts=vendor.RECEIPTS)),
    "account-sign-in": (
        "account/sign-in.html",
        lambda words: {
            "errors": [FieldError("", words("account.refused"))],
            "address": "ann@example.org",
            "again": True,
            "question": Question("{}", "00"),
        },
    ),
    "account-home": (
        "account/home.html",
        lambda words: {
            "errors": [FieldError("old", words("fault.wrong-password"))],
            "done": "",
            "since_ms": vendor.NOON,
            "can_set": True,
            "has_account": True,
            "ask_old": True,
            "sessions": vendor.SESSIONS,
            "looks": vendor.LOOKS,
            "outlook": vendor.OPEN,
            "closable": True,
            "passkeys": 1,
            "second_factor": (True, True),
            "lacks_second": False,
            "due_ms": None,
        },
    ),
    "account-home-closed": (
        "account/home.html",
        always(
            errors=(),
            done="",
            since_ms=vendor.NOON,
            can_set=False,
            has_account=True,
            ask_old=True,
            sessions=vendor.SESSIONS[:1],
            outlook=vendor.SHUT,
            closable=True,
        ),
    ),
    "account-correct": ("privacy/correct.html", always(cards=vendor.CARDS, correct=None, errors=())),
    "account-correct-faulty": (
        "privacy/correct.html",
        lambda words: {"cards": (), "correct": correcting(words), "errors": correcting(words).errors},
    ),
    "account-address": (
        "account/address.html",
        lambda words: {
            "action": "/account/address",
            "errors": [FieldError("email", words("fault.email"))],
            "address": "ann.lee",
            "waits": (vendor.NOON, vendor.NOON + 86_400_000),
        },
    ),
    "account-close": (
        "account/close.html",
        lambda words: {
            "action": "/account/close",
            "errors": [FieldError("sure", words("fault.sure"))],
            "outlook": vendor.OPEN,
            "follows": vendor.FOLLOWS,
            "letter": True,
        },
    ),
    "account-close-closed": (
        "account/close.html",
        always(action="/account/close", errors=(), outlook=vendor.SHUT, follows=vendor.FOLLOWS, letter=True),
    ),
    "board": ("evidence/board.html", always(board=vendor.BOARD)),
    "board-green": ("evidence/board.html", always(board=vendor.GREEN_BOARD)),
    "verify": ("evidence/verify.html", always(log=vendor.LOG)),
    "error": (
        "error.html",
        always(problem=REFUSAL, text_key="error.undeclared.text", gaps=[ShownGap("birthday", "fault.required")]),
    ),
}


async def show(request: Request, system: vendor.Standing) -> Response:
    """One page of the gallery."""
    name, sample = SAMPLES[request.path_params["page"]]
    visit: Visit = request.state.visit
    visit.caller = Caller("person", b"\1" * 16, "subject", csrf="c" * 43)
    return page(request, name, **sample(Words(visit.pages.catalogue, visit.language)))


GROUP: Group[vendor.Standing] = Group("gallery", [Route("GET", "/gallery/{page}", show, "scope.readable")])
