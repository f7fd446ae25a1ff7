"""A small policy of a shop, told in values, for the tests of decisions."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tests.property.policies import policy
from troth.policy.decide import decide
from troth.policy.model import (
    CompiledClause,
    CompiledPolicy,
    ConsentAsk,
    Decision,
    Duration,
    Field,
    Form,
    Grant,
    History,
    Keep,
    Never,
    Phase,
    Point,
    Position,
    Purpose,
    Question,
    Recipient,
    State,
    Template,
    Terms,
    Use,
)

FIELDS = {"email": "user.contact.email", "phone": "user.contact.phone", "name": "user.name"}


def use(purpose: str, *fields: str, clause: str = "", **more: Any) -> Use:
    """A use of the registration's data, on contract unless said otherwise."""
    plain = {name: frozenset(value) if isinstance(value, set) else value for name, value in more.items()}
    rest: dict[str, Any] = {
        "basis": "contract",
        "keep": "account",
        "meaning": purpose,
        "point": "registration",
        **plain,
    }
    return Use(
        clause=clause or f"purpose.{purpose}",
        fields=frozenset(fields or FIELDS),
        categories=frozenset(),
        purpose=purpose,
        **rest,
    )


NEWS = use("newsletter", "email", basis="consent", channel="email", direct=True)
ACCOUNT = use("account")
SUPPORT = use("support", "email", "phone", guards={"ticket"})
IMPROVE = use("improve", "name", basis="legitimate_interest", form=Form("summary", 20))
ABROAD = use("account", "email", clause="share.partners", recipient="partner")
RIGHTS = use("rights", basis="legal_obligation", survives={"restricted"})
USES = (NEWS, ACCOUNT, SUPPORT, IMPROVE, ABROAD, RIGHTS)

KEEP = Keep(
    "account",
    "retain.while-used",
    (Phase(while_="account.active"), Phase(for_=Duration("30 days"), only=frozenset({"restore", "rights"}))),
)
TREE = {"promotion": None, "newsletter": "promotion", "account": None, "support": "account", "improve": None}


def clause(id: str, prose: str, *mechanisms: str) -> CompiledClause:
    """A clause as published."""
    return CompiledClause(id, "permits", {}, prose, Position(1, 1), mechanisms)


def version(name: str, *uses: Use, nevers: tuple[Never, ...] = (), **more: Any) -> CompiledPolicy:
    """A version with these uses; all of the shop's where none is named."""
    fields = tuple(Field(field, category) for field, category in FIELDS.items())
    made = policy(
        name,
        uses=uses or USES,
        purposes={node: Purpose(node, f"purpose.{node}", node, parent) for node, parent in TREE.items()},
        points={"registration": Point("registration", "collect.registration", fields, (), ("site:www",))},
        keeps={"account": KEEP},
        recipients={"partner": Recipient("partner", "share.partners", "third_party", ("IE",), (), "account")},
        nevers=nevers,
        clauses={
            "purpose.newsletter": clause("purpose.newsletter", "We send the newsletter to whoever asks for it."),
            "purpose.account": clause("purpose.account", "We use your registration to keep your account."),
            "purpose.support": clause("purpose.support", "We call you while your question is open. No longer."),
            "purpose.improve": clause("purpose.improve", "We add up over at least 20 people."),
            "share.partners": clause("share.partners", "A partner receives what an order needs."),
            "scope.closed-list": clause("scope.closed-list", "What is not here does not happen.", "scope.closed"),
        },
        templates={
            "letter": Template("letter", "purpose.newsletter", "marketing", "newsletter", ("email",)),
            "welcome": Template("welcome", "purpose.account", "service", "account", ("email",)),
        },
    )
    ask = ConsentAsk("news", "purpose.newsletter", "newsletter", "newsletter", (), "Yes, write to me.", "email")
    return replace(made, consents={"news": ask}, **more)


NEWS_PLEASE = Grant("newsletter", "email", "newsletter")


def terms(version: str = "v1", **more: Any) -> Terms:
    """The terms of a registration on the website."""
    return Terms("Example Backup Ltd", "site:www", "registration", version, **more)


def ask(
    purpose: str,
    *fields: str,
    of: CompiledPolicy | History | None = None,
    state: State | None = None,
    evidence: frozenset[str] = frozenset(),
    under: Terms | None = None,
    now: str | None = None,
    **more: Any,
) -> Decision:
    """Put a question: may ``fields`` be used for ``purpose``?"""
    of = of or version("v1")
    history = of if isinstance(of, History) else History((of,))
    return decide(
        history,
        under or terms(history.versions[0].version),
        state or State(),
        Question(purpose, frozenset(fields), **more),
        evidence,
        now or history.versions[-1].version,
    )
