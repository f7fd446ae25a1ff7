"""Every page with a sample of what it is given: rendered by tests, looked at by people, searched by axe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tests.web import vendor
from troth.errors import Undeclared
from troth.rights.certificate import Certificate, not_covered
from troth.rights.hold import Held
from troth.rights.plan import Line, Plan, compare
from troth.rights.restriction import GROUNDS, Restriction
from troth.use.passkeys import Question
from troth.use.person_passkeys import LONGEST_NAME
from troth.web.forms import field_view, form_view
from troth.web.pages import Visit, Words, page
from troth.web.planned import became, planned
from troth.web.problems import ShownGap, problem
from troth.web.routes import Caller, Group, Route
from troth.web.views import Choice, CorrectView, DelegateView, FieldError, HeldField, SecondFactorView

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
        "hold": None,
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


LINES = (
    Line("keys", "data_keys", "destroyed", "rights.erase"),
    Line("records", "personal_records", "destroyed", "rights.erase", 1, point="registration", copy="records"),
    Line("letters", "messages", "destroyed", "rights.erase", 100, more=True, copy="messages"),
    Line("unsubscribing", "links", "changed", "rights.unsubscribe", 2),
    Line("objections", "tags", "kept", "rights.object-marketing", 1, copy="objections"),
    Line("reads", "read_blocks", "kept", "rights.erase", until_ms=vendor.NOON),
)


HELD = Held("claims", vendor.NOON, "retain.while-used")


def erasing(words: Words) -> dict[str, Any]:
    """What an erasure would do."""
    names = ("account", "certificate", "suppression", "final")
    plan = Plan("troth-plan-1", "", vendor.NOON, "right", LINES)
    told = {"action": "/privacy/erase", "consequences": tuple(f"privacy.erase-{name}" for name in names)}
    return told | {"plan": planned(plan, words), "held": None}


def erased(words: Words) -> dict[str, Any]:
    """What became of it: most is done, something is not yet."""
    plan = Plan("troth-plan-1", "0" * 32, vendor.NOON, "right", LINES)
    covered = not_covered("file_best_effort")
    certificate = Certificate(
        ordered="0" * 32,
        cause="right",
        ordered_ms=vendor.NOON,
        state="unreadable",
        outcomes=compare(plan, {"messages": 120}, unreadable=True, gone=False, failed=True),
        not_covered=covered,
    )
    told = {"times": vendor.TIMES, "rows": 12, "destruction": "file_best_effort", "not_covered": covered}
    return told | {"became": became(certificate, words), "plan": "0a" * 32, "held": None}


def always(**context: Any) -> Sample:
    """The same context in every language."""
    return lambda words: context


def delegate(*, acts: bool) -> Sample:
    """A place of another's account, to be corrected or looked at."""
    return lambda words: {
        "errors": correcting(words).errors if acts else (),
        "done": "" if acts else "delegates.corrected",
        "whose": "Cleo",
        "acts": acts,
        "action": "/account/delegates/0a1b2c3d/registration",
        "correct": correcting(words),
        "held": [("First name", "Cleo"), ("Phone number", "+353 1 555 0115")],
        "until_ms": vendor.NOON,
    }


def account(fault: str = "", **otherwise: Any) -> Sample:
    """One's own account: open, with a password, a passkey and two sessions; or otherwise."""
    usual: dict[str, Any] = {
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
        "second_factor": (False, True),
        "lacks_second": False,
        "due_ms": None,
        "may_remind": True,
        "reminded": True,
    }
    return lambda words: {"errors": [FieldError("old", words(fault))] if fault else [], **usual, **otherwise}


def second_factor(view: SecondFactorView, fault: str = "", codes: Sequence[str] = ()) -> Sample:
    """A person's second factor in this state, with a code that did not fit, or with fresh recovery codes."""
    return lambda words: {
        "errors": [FieldError("code", words(fault))] if fault else [],
        "done": "account.second-factor-set" if codes else "",
        "view": view,
        "codes": codes,
    }


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
    "privacy-erase": ("privacy/erase.html", erasing),
    "privacy-erase-held": ("privacy/erase.html", lambda words: erasing(words) | {"held": HELD}),
    "privacy-certificate-held": ("privacy/certificate.html", lambda words: erased(words) | {"held": HELD}),
    "privacy-restrict": ("privacy/restrict.html", grounds),
    "privacy-restricted": (
        "privacy/restrict.html",
        always(
            action="/privacy/restrict",
            told="7 days",
            hold=None,
            held=Restriction(b"\1" * 16, "accuracy", vendor.NOON, vendor.NOON),
        ),
    ),
    "privacy-receipts": ("privacy/receipts.html", always(receipts=vendor.RECEIPTS)),
    "privacy-certificate": ("privacy/certificate.html", erased),
    "privacy-automated": ("privacy/automated.html", always(automations=vendor.LETTERS, decisions=())),
    "privacy-visits": (
        "privacy/visits.html",
        always(lines=vendor.VISITED, more=3, words=[vendor.ANALYSE], until=vendor.NOON, known=True, done=False),
    ),
    "privacy-visits-ended": ("privacy/visits.html", always(known=False, done=True)),
    "automated": ("automated.html", always(automations=vendor.LETTERS, decisions=("rights.decisions",))),
    "account-sign-in": (
        "account/sign-in.html",
        lambda words: {
            "errors": [FieldError("", words("account.refused"))],
            "address": "ann@example.org",
            "again": True,
            "question": Question("{}", "00"),
            "openid": True,
        },
    ),
    "account-code": (
        "account/code.html",
        lambda words: {"errors": [FieldError("code", words("fault.code"))], "ticket": "00"},
    ),
    "account-known": ("account/known.html", always()),
    "account-home": ("account/home.html", account(fault="fault.wrong-password", second_factor=(True, True))),
    "account-home-closed": (
        "account/home.html",
        account(can_set=False, sessions=vendor.SESSIONS[:1], looks=(), outlook=vendor.SHUT, reminded=False),
    ),
    "account-home-halfway": (
        "account/home.html",
        account(can_set=False, second_factor=(True, True), lacks_second=True, due_ms=vendor.NOON + 86_400_000),
    ),
    "account-passkeys": (
        "account/passkeys.html",
        lambda words: {
            "errors": [FieldError(f"{vendor.PASSKEYS[0].place}-name", words("fault.required"))],
            "done": "",
            "passkeys": vendor.PASSKEYS,
            "question": Question("{}", "00"),
            "obstacle": "",
            "name": "Firefox, Linux",
            "longest": LONGEST_NAME,
        },
    ),
    "account-passkeys-unproven": (
        "account/passkeys.html",
        always(
            errors=(),
            done="",
            passkeys=vendor.PASSKEYS,
            question=None,
            obstacle="account.prove-first",
            name="",
            longest=LONGEST_NAME,
        ),
    ),
    "account-second-factor": ("account/second-factor.html", second_factor(vendor.UNSET, "fault.code")),
    "account-second-factor-set": (
        "account/second-factor.html",
        second_factor(SecondFactorView("set", since_ms=vendor.NOON, codes_left=10), codes=vendor.CODES),
    ),
    "account-second-factor-asked": (
        "account/second-factor.html",
        second_factor(SecondFactorView("to-be-shown", after="7 days"), "fault.code"),
    ),
    "account-second-factor-lost": (
        "account/second-factor.html",
        second_factor(SecondFactorView("to-be-shown", due_ms=vendor.NOON + 86_400_000, after="7 days")),
    ),
    "account-delegates": (
        "account/delegates.html",
        lambda words: {
            "errors": [FieldError("email", words("fault.email"))],
            "done": "",
            "scopes": ("look", "act"),
            "lasts": "90 days",
            "given": [
                DelegateView("0a1b2c", "Ben from accounting", "act", vendor.NOON, vendor.NOON + 86_400_000 * 90, True),
                DelegateView("0a1b2d", "Our tax adviser", "look", vendor.NOON, vendor.NOON + 86_400_000 * 90, False),
            ],
            "held": [
                DelegateView("0a1b2c3d", "Cleo", "look", 0, vendor.NOON, True, vendor.CARDS[:1]),
                DelegateView("0a1b2c3e", "Dan of the mill", "act", 0, vendor.NOON, False),
            ],
            "longest": 60,
            "typed": {"email": "ben", "name": "Ben", "own": "Ann", "scope": "act"},
        },
    ),
    "account-delegate": ("account/delegate.html", delegate(acts=True)),
    "account-delegate-look": ("account/delegate.html", delegate(acts=False)),
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
