"""The bodies of ``requires``: keeping, messages, protection, changes, rights, what is shown, what follows."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import field

from troth.policy.bodies.parts import Between, Body, ChoiceValue, Guard, Name, RandomValue, Word
from troth.policy.model import Duration, MessageClass, Position, RightKind


class PhaseBody(Body, frozen=True, kw_only=True):
    """One phase of keeping: as long as a state holds, or for a period."""

    while_: Annotated[Name | None, "a state, such as `account.active`"] = None
    for_: Annotated[Duration | None, "a period after the phase before"] = None
    only: Annotated[tuple[Name, ...] | None, "the only purposes that remain in this phase"] = None


class KeepBody(Body, frozen=True, kw_only=True):
    """How long a class of data is kept: its phases in order. Past the last one it is erased."""

    phases: Annotated[tuple[PhaseBody, ...], "the phases"]


class StateBody(Body, frozen=True, kw_only=True):
    """A state that keeping can refer to."""

    from_: Annotated[tuple[Name, ...], "events that begin it"]
    to: Annotated[tuple[Name, ...], "events that end it"] = ()
    idle: Annotated[Duration | None, "it also ends after this long without any use"] = None
    warn: Annotated[Duration | None, "so many days before that end the person is told by mail"] = None


class HoldBody(Body, frozen=True, kw_only=True):
    """What may stop an erasure that is due. A hold narrows use; it never widens it."""

    only: Annotated[tuple[Name, ...], "the only purposes that remain while it holds"]
    needs: Annotated[tuple[Guard, ...], "what it takes, such as `reason` and `expires`"] = ()


class MessageBody(Body, frozen=True, kw_only=True):
    """A message that may be sent; its words are in the catalogue. Without one, nothing is sent."""

    class_: Annotated[MessageClass, "what kind of message it is"]
    purpose: Annotated[Name, "what it is sent for; the gate asks"]
    fields: Annotated[tuple[Name, ...], "the fields it may hold"] = ()
    when: Annotated[Name | None, "the event that sets it off"] = None
    channel: Annotated[Name, "how it goes out"] = Name("email", Position(0, 0))


class BreachBody(Body, frozen=True, kw_only=True):
    """What happens when protection failed (GDPR Art. 33, 34)."""

    authority_within: Annotated[Duration, "by when the authority knows"]
    register: Annotated[bool, "whether every breach is written down"] = True
    tell: Annotated[tuple[Literal["persons", "controllers"], ...], "who else is told"] = ()


class SecondFactorBody(Body, frozen=True, kw_only=True):
    """A second factor that people may set for their account."""

    recovery_after: Annotated[Duration, "how long a person waits who has lost it, told of it and able to stop it"]


class DelegationBody(Body, frozen=True, kw_only=True):
    """Access to an account for somebody else, who signs in as themselves."""

    scopes: Annotated[
        tuple[Literal["look", "act"], ...], "what may be given: to look at what the account holds, or to correct it too"
    ]
    lasts: Annotated[Duration, "how long it lasts, if its giver does not end it before"]


class ProtectBody(Body, frozen=True, kw_only=True):
    """Measures that protect data (GDPR Art. 32)."""

    transit: Annotated[Literal["tls"] | None, "every transfer is encrypted; there is no switch"] = None
    storage: Annotated[Literal["sealed"] | None, "stored under keys of the person's own, kept apart"] = None
    password: Annotated[Literal["hashed"] | None, "stored so that nobody can read it back"] = None
    passkey: Annotated[Literal["sealed"] | None, "stored under keys of the person's own; nobody else adds one"] = None
    second_factor: Annotated[SecondFactorBody | None, "a second factor is asked wherever its owner set one"] = None
    password_change: Annotated[
        Literal["on_compromise", "on_request", "periodic"] | None, "when a password must be changed"
    ] = None
    password_sharing: Annotated[DelegationBody | None, "access for others without giving a password away"] = None
    breach: Annotated[BreachBody | None, "what happens when protection failed"] = None
    embeds: Annotated[Literal["registered"] | None, "what pages load from others stands in a register"] = None
    links: Annotated[
        tuple[Literal["registered", "marked", "bare"], ...],
        "links to other sites: in a register, marked, carrying nothing about the person",
    ] = ()


class ChangesBody(Body, frozen=True, kw_only=True):
    """How the policy itself changes."""

    takes_effect: Annotated[Literal["on_effective_date"] | None, "when a version binds"] = None
    date_first: Annotated[bool, "the effective date stands in the first block of the page"] = False
    published: Annotated[Literal["current"] | None, "what is served is what runs"] = None
    archive: Annotated[bool, "older versions stay readable"] = False
    advance_notice: Annotated[
        Literal["notice_period"] | Duration | None, "how long before a reduction of rights everybody is told"
    ] = None
    linked_documents: Annotated[Literal["versioned"] | None, "documents that belong to it have versions too"] = None


class AgeBody(Body, frozen=True, kw_only=True):
    """The question about age."""

    at_least: Annotated[int, Between(1, 99), "from which age"]
    keep: Annotated[Literal["answer", "nothing"], "what remains of it: the yes, or nothing; never the age"] = "answer"


class RightBody(Body, frozen=True, kw_only=True):
    """A right, and how it is exercised."""

    kind: Annotated[RightKind | Literal["any"], "which right; `any` sets what holds for all of them"] = "any"
    proof: Annotated[Literal["link", "sign_in", "none", "operator"] | None, "how the person shows who they are"] = None
    within: Annotated[Duration | None, "the answer comes within; one calendar month where it is left out"] = None
    where: Annotated[tuple[Word, ...], "where it is exercised"] = ()
    to: Annotated[Name | None, "for an objection: the purpose it is about, with all below it"] = None
    formats: Annotated[tuple[Literal["html", "json", "csv"], ...], "for a copy: its formats"] = ()
    approvals: Annotated[int, Between(0, 9), "how many operators must approve"] = 0
    undo: Annotated[Duration | None, "how long it can be called back"] = None
    session: Annotated[Duration | None, "how long the proof holds once it is given"] = None
    told: Annotated[Duration | None, "for a restriction: how long before its end the person is told"] = None


TellWhat: TypeAlias = Literal[
    "policy",
    "policy.version",
    "policy.sha256",
    "controller.name",
    "controller.contact",
    "controller.address",
    "forms",
    "notices",
    "pages",
    "board",
    "recipients",
    "erasures",
    "cookies",
    "automation",
    "link.policy",
]


class TellBody(Body, frozen=True, kw_only=True):
    """What is shown, and where it can be seen."""

    what: Annotated[tuple[TellWhat, ...], "what is shown"]
    where: Annotated[
        tuple[Literal["policy", "forms", "pages", "submissions", "evidence", "privacy", "messages", "recipients"], ...],
        "where it is shown",
    ] = ()
    without: Annotated[tuple[Literal["cookies", "scripts", "signing_in"], ...], "what a reader does not need"] = ()
    meets: Annotated[Word | None, "a standard it meets, such as `WCAG 2.2 AA`"] = None


class RefusalBody(Body, frozen=True, kw_only=True):
    """What a no costs: the whole list."""

    loses: Annotated[tuple[Word, ...], "what somebody who refuses does without"] = ()


class ConsentRule(Body, frozen=True, kw_only=True):
    """How consents as such are treated."""

    signal: Annotated[Literal["Sec-GPC"] | None, "a signal of the browser that is heard"] = None
    means: Annotated[Literal["refused"] | None, "what the signal means"] = None
    refusal: Annotated[RefusalBody | None, "what a no costs"] = None


class AutomationBody(Body, frozen=True, kw_only=True):
    """The list of automatic messages and decisions."""

    listed: Annotated[Literal["each"], "each one stands in the list with its trigger and how to stop it"]
    decisions: Annotated[Literal["none", "listed"], "automatic decisions with legal or similar effect"] = "none"


class When(Body, frozen=True, kw_only=True):
    """What sets an obligation off."""

    event: Annotated[Name, "an event, such as `child.known`"]
    under: Annotated[int | None, Between(1, 99), "for a child: below which age"] = None


class Reply(Body, frozen=True, kw_only=True):
    """Answer."""

    reply: Annotated[Literal["once"], "how often"]


class Every(Body, frozen=True, kw_only=True):
    """All of a class: `*`, or one kind of it (`message: marketing`)."""

    cookie: Annotated[Word | None, "cookies"] = None
    message: Annotated[Word | None, "messages"] = None
    use: Annotated[Word | None, "uses"] = None
    share: Annotated[Word | None, "ways out"] = None


class Has(Body, frozen=True, kw_only=True):
    """What each of them has. What a declaration can show is proven when compiling."""

    value: Annotated[RandomValue | ChoiceValue | None, "for cookies: what they may hold"] = None
    purpose: Annotated[Literal["declared"] | None, "a declared purpose"] = None
    basis: Annotated[Literal["declared"] | None, "for uses: a declared legal basis"] = None
    keep: Annotated[Literal["declared"] | None, "for uses: a declared period"] = None
    countries: Annotated[Literal["declared"] | None, "for ways out: declared countries"] = None
    lasts: Annotated[Literal["declared"] | None, "for cookies: a declared life"] = None
    link: Annotated[Literal["unsubscribe"] | None, "for messages: a link that stops them"] = None
    header: Annotated[Literal["one_click"] | None, "for messages: the headers of RFC 8058"] = None


class Requires(Body, frozen=True, kw_only=True):
    """An obligation that a mechanism fulfils and evidence shows."""

    keep: Annotated[
        dict[Name, KeepBody | Duration],
        "retention classes by name; a bare period is one phase",
    ] = field(default_factory=dict)
    states: Annotated[dict[Name, StateBody], "states that keeping refers to"] = field(default_factory=dict)
    hold: Annotated[HoldBody | None, "what may stop an erasure"] = None
    message: Annotated[dict[Name, MessageBody], "messages by name"] = field(default_factory=dict)
    protect: Annotated[ProtectBody | None, "measures"] = None
    changes: Annotated[ChangesBody | None, "how the policy changes"] = None
    age: Annotated[AgeBody | None, "the question about age"] = None
    right: Annotated[tuple[RightBody, ...], "rights"] = ()
    tell: Annotated[TellBody | None, "what is shown"] = None
    consent: Annotated[ConsentRule | None, "how consents are treated"] = None
    automation: Annotated[AutomationBody | None, "automatic messages and decisions"] = None
    when: Annotated[When | None, "an event …"] = None
    then: Annotated[tuple[Literal["restrict", "erase"] | Reply, ...], "… and what follows from it, in order"] = ()
    every: Annotated[Every | None, "all of a class …"] = None
    has: Annotated[Has | None, "… and what each has"] = None
