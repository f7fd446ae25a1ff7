"""The closed vocabulary of declarations: one typed description for each body, with its words.

These classes are the single source: the reader (``reading``) checks files against them, the JSON Schema and the
reference manual (``schema``) are generated from them. A trailing underscore keeps a name clear of Python's words
and is not written in a policy (``as_`` is ``as:``). Wherever a list is expected, a single value stands for a list
of one. Keys that are not described here are errors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from troth.policy.model import Basis, Duration, MessageClass, Mode, Position, RightKind


class Word(str):
    """Text from a policy that knows where it stands."""

    __slots__ = ("at",)
    at: Position

    def __new__(cls, text: str, at: Position) -> Word:
        """``text`` standing at ``at``."""
        made = super().__new__(cls, text)
        made.at = at
        return made


class Name(Word):
    """An id: lower-case letters, digits, ``-`` and ``_``, in parts joined by dots or a colon."""

    __slots__ = ()


class Bits(msgspec.Struct, frozen=True):
    """An amount of chance, written ``128 bits``."""

    count: int


class Pattern(msgspec.Struct, frozen=True):
    """An Annotated mark: the text must match this regular expression in full; ``say`` describes it."""

    regex: str
    say: str


class Between(msgspec.Struct, frozen=True):
    """An Annotated mark: the number lies between these, both included."""

    low: int
    high: int


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all bodies; ``at`` is where the body begins."""

    at: Position


# --- small parts that several bodies share ---


class Operators(Body, frozen=True, kw_only=True):
    """A guard: that many operators have approved."""

    operators: Annotated[int, Between(1, 9), "how many different operators must approve"]


class AtMost(Body, frozen=True, kw_only=True):
    """A guard: this may happen that many times for one person and one occasion."""

    at_most: Annotated[int, Between(1, 1000), "how many times"]


Guard: TypeAlias = Name | Operators | AtMost


class AtLeast(Body, frozen=True, kw_only=True):
    """A threshold."""

    at_least: Annotated[int, Between(2, 1_000_000), "the smallest number of persons behind a figure"]


class Summary(Body, frozen=True, kw_only=True):
    """An output form: figures over many persons, no single one."""

    summary: Annotated[AtLeast, "the threshold below which nothing comes out"]


OutputForm: TypeAlias = Literal["identified", "pseudonymous"] | Summary


class RandomBits(Body, frozen=True, kw_only=True):
    """How much chance a random value holds."""

    at_least: Annotated[Bits, "the least amount, such as `128 bits`"]


class RandomValue(Body, frozen=True, kw_only=True):
    """A value that says nothing: drawn at random."""

    random: Annotated[RandomBits, "how much chance it holds"]


class ChoiceValue(Body, frozen=True, kw_only=True):
    """A value that is one of a few fixed words, the same for everybody who chose alike."""

    choices: Annotated[tuple[Word, ...], "the words"]


class Approval(Body, frozen=True, kw_only=True):
    """What lifts a prohibition for one case."""

    approval: Annotated[Literal["written"], "the person's own prior, specific, revocable approval"]


# --- permits ---


class FieldBody(Body, frozen=True, kw_only=True):
    """A place on a form or API that carries a category of data."""

    category: Annotated[Name, "what the field says about the person, from the tree of categories"]
    required: Annotated[bool, "whether the form is refused without it"] = False
    identifier: Annotated[bool, "whether a person is found by it (e-mail address, reference of a product)"] = False
    choices: Annotated[tuple[Word, ...], "the only answers it takes"] = ()
    max_length: Annotated[int, Between(1, 1_000_000), "the longest answer, in characters"] = 200
    stored: Annotated[
        Literal["raw", "keyed", "truncated", "country", "dropped"],
        "what remains of it: the value itself, a keyed hash, a shortened value, only the country, nothing",
    ] = "raw"


class UseBody(Body, frozen=True, kw_only=True):
    """One line of the record of processing activities: these fields, for this purpose, on this basis."""

    purpose: Annotated[Name, "what it is done for, from the tree of purposes"]
    basis: Annotated[Basis | None, "the legal basis (GDPR Art. 6); a person's powers follow from it"] = None
    fields: Annotated[tuple[Name, ...], "the fields it may use; all fields of the point where it is left out"] = ()
    keep: Annotated[Name | None, "the retention class, declared by a `keep`"] = None
    as_: Annotated[OutputForm, "the form in which data comes out"] = "identified"
    channel: Annotated[Name | None, "the channel, where the use is a message"] = None
    needs: Annotated[tuple[Guard, ...], "guards: rows that must be there at the moment of use"] = ()
    survives: Annotated[
        tuple[Mode, ...], "modes in which the use goes on: `restricted`, `child`, `erasing` (rights, legal claims)"
    ] = ()
    carries_over: Annotated[bool, "whether it also applies to data collected under earlier versions"] = False


class StandingUse(UseBody, frozen=True, kw_only=True):
    """A use of data that other clauses collect. Says what it touches by `points`, `fields` or `categories`."""

    points: Annotated[tuple[Name, ...], "the collection points whose data it may use"] = ()
    categories: Annotated[tuple[Name, ...], "the categories it may use, wherever they were collected"] = ()


class ConsentTo(Body, frozen=True, kw_only=True):
    """What a yes covers."""

    purpose: Annotated[Name, "the purpose"]
    channel: Annotated[Name | None, "the channel, such as `email`"] = None
    categories: Annotated[tuple[Name, ...], "the categories of data; those of the uses where it is left out"] = ()


class ConsentBody(Body, frozen=True, kw_only=True):
    """A consent that may be asked: in these words and no others, with a box that starts empty."""

    to: Annotated[ConsentTo, "what a yes covers"]
    ask: Annotated[Word, "the exact words of the question"]
    id: Annotated[Name | None, "its name; the purpose, and the channel if any, where it is left out"] = None
    confirm: Annotated[Literal["single", "double"], "`double`: a second yes from the address itself"] = "single"
    lasts: Annotated[Duration | None, "after which it must be asked anew"] = None
    withdraw: Annotated[Word, "where it is taken back"] = Word("/privacy", Position(0, 0))


class CollectBody(Body, frozen=True, kw_only=True):
    """A collection point: the fields of one form and API, and all that may be done with them."""

    point: Annotated[Name, "the name of the point; the form, the API and every record carry it"]
    fields: Annotated[dict[Name, FieldBody], "the fields in the order of the form"]
    uses: Annotated[tuple[UseBody, ...], "what they may be used for; without a use a field may not be asked"] = ()
    surfaces: Annotated[tuple[Name, ...], "where the point may stand; all surfaces where it is left out"] = ()
    consent: Annotated[ConsentBody | None, "the consent asked here"] = None
    confirm: Annotated[
        Literal["single", "double"] | None, "`double`: nothing is done with the data before the address confirmed"
    ] = None


class ShareBody(Body, frozen=True, kw_only=True):
    """A way out: a class of recipients and what it may receive. Names and contracts live in the register."""

    to: Annotated[Name, "the class of recipients, such as `processors`"]
    purpose: Annotated[Name, "what for"]
    role: Annotated[
        Literal["processor", "controller", "third_party", "authority", "public"], "what the recipient is in law"
    ] = "third_party"
    basis: Annotated[Basis | None, "the legal basis; not needed for a processor or for a summary"] = None
    points: Annotated[tuple[Name, ...], "the collection points whose data may go"] = ()
    fields: Annotated[tuple[Name, ...], "the fields that may go"] = ()
    categories: Annotated[tuple[Name, ...], "the categories that may go"] = ()
    countries: Annotated[tuple[Word, ...], "where recipients may be (ISO 3166 codes, `EEA`, `any`)"] = ()
    as_: Annotated[OutputForm, "the form in which data goes out"] = "identified"
    needs: Annotated[tuple[Guard, ...], "guards, such as `contract.live`, `order`, `review.live`"] = ()
    survives: Annotated[tuple[Mode, ...], "modes in which this way stays open"] = ()
    carries_over: Annotated[bool, "whether it also applies to data collected under earlier versions"] = False


class CookieBody(Body, frozen=True, kw_only=True):
    """A cookie, or anything else that a page leaves in a browser to find again."""

    purpose: Annotated[Name, "what it is for"]
    lasts: Annotated[Duration | None, "how long it lives; with the browser's session where it is left out"] = None
    essential: Annotated[bool, "whether what the visitor asked for cannot be done without it"] = False
    party: Annotated[Literal["first", "third"], "who reads it"] = "first"
    value: Annotated[RandomValue | ChoiceValue | None, "what it may hold"] = None


class Permits(Body, frozen=True, kw_only=True):
    """Makes a use possible. Nothing is possible by silence."""

    collect: Annotated[CollectBody | None, "a collection point"] = None
    use: Annotated[tuple[StandingUse, ...], "uses of data that other clauses collect"] = ()
    share: Annotated[tuple[ShareBody, ...], "ways out"] = ()
    cookie: Annotated[dict[Word, CookieBody], "cookies by name"] = {}
    consent: Annotated[ConsentBody | None, "a consent that may be asked apart from a form"] = None


# --- requires ---


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


class ProtectBody(Body, frozen=True, kw_only=True):
    """Measures that protect data (GDPR Art. 32)."""

    transit: Annotated[Literal["tls"] | None, "every transfer is encrypted; there is no switch"] = None
    storage: Annotated[Literal["sealed"] | None, "stored under keys of the person's own, kept apart"] = None
    password: Annotated[Literal["hashed"] | None, "stored so that nobody can read it back"] = None
    password_change: Annotated[
        Literal["on_compromise", "on_request", "periodic"] | None, "when a password must be changed"
    ] = None
    password_sharing: Annotated[Literal["delegation"] | None, "access for others without giving it away"] = None
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

    keep: Annotated[dict[Name, KeepBody | Duration], "retention classes by name; a bare period is one phase"] = {}
    states: Annotated[dict[Name, StateBody], "states that keeping refers to"] = {}
    hold: Annotated[HoldBody | None, "what may stop an erasure"] = None
    message: Annotated[dict[Name, MessageBody], "messages by name"] = {}
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


# --- never, asserts, define, informs ---


class NeverShare(Body, frozen=True, kw_only=True):
    """No way out, but for the exceptions."""

    to: Annotated[tuple[Name, ...], "classes of recipients; any where it is left out"] = ()
    purpose: Annotated[tuple[Name, ...], "purposes, with all below them; any where it is left out"] = ()
    categories: Annotated[tuple[Name, ...], "categories, with all below them; any where it is left out"] = ()
    except_: Annotated[tuple[Name, ...], "the clauses that may all the same; each must exist"] = ()
    unless: Annotated[Approval | None, "what lifts it for one case"] = None


class NeverCollect(Body, frozen=True, kw_only=True):
    """Not collected at all, not at that moment, or not from there."""

    categories: Annotated[tuple[Name, ...], "categories, with all below them"] = ()
    before: Annotated[Literal["submission"] | None, "nothing typed arrives before the form is sent"] = None
    after: Annotated[Literal["refusal"] | None, "a no leaves nothing behind"] = None
    source: Annotated[Literal["unnamed", "third_party"] | None, "not from there"] = None
    except_: Annotated[tuple[Name, ...], "the clauses that may all the same"] = ()


class NeverUse(Body, frozen=True, kw_only=True):
    """Not used for that."""

    for_: Annotated[tuple[Name, ...], "purposes, with all below them; `automated_decision` is one"] = ()
    categories: Annotated[tuple[Name, ...], "categories, with all below them"] = ()
    except_: Annotated[tuple[Name, ...], "the clauses that may all the same"] = ()
    unless: Annotated[Approval | None, "what lifts it for one case"] = None


class Forbids(Body, frozen=True, kw_only=True):
    """A prohibition. It beats `permits` of equal or wider scope."""

    share: Annotated[NeverShare | None, "no way out"] = None
    collect: Annotated[NeverCollect | None, "not collected"] = None
    use: Annotated[NeverUse | None, "not used"] = None
    join: Annotated[tuple[Name, ...], "data of these points or categories is never brought together"] = ()
    keep: Annotated[tuple[Name, ...], "categories that are never kept"] = ()


Closed: TypeAlias = Literal["share", "collect", "use", "cookie", "message"]


class AssertUses(Body, frozen=True, kw_only=True):
    """What holds for every use with this purpose."""

    purpose: Annotated[Name, "the purpose"]
    basis: Annotated[tuple[Basis, ...], "the only bases"] = ()
    keep: Annotated[tuple[Name, ...], "the only retention classes"] = ()
    as_: Annotated[OutputForm | None, "the form, or a narrower one"] = None
    needs: Annotated[tuple[Guard, ...], "guards that each of them has"] = ()


class Asserts(Body, frozen=True, kw_only=True):
    """A theorem about the other clauses, proven when compiling and shown on the board."""

    closed: Annotated[tuple[Closed, ...], "the permits are the only ways to do this"] = ()
    uses: Annotated[tuple[AssertUses, ...], "what holds for every use with a purpose"] = ()
    every: Annotated[Every | None, "all of a class …"] = None
    has: Annotated[Has | None, "… and what each has"] = None
    precedence: Annotated[Literal["most_specific"] | None, "of several policies the most specific applies"] = None


class TermBody(Body, frozen=True, kw_only=True):
    """What a word means here."""

    means: Annotated[Word | None, "in words"] = None
    categories: Annotated[tuple[Name, ...], "for `personal_data`: the categories, with all below them"] = ()
    unknown: Annotated[Literal["personal"] | None, "for `personal_data`: what is not labelled counts as personal"] = (
        None
    )
    includes: Annotated[tuple[Word, ...], "kinds of things the word covers"] = ()


class SurfaceBody(Body, frozen=True, kw_only=True):
    """A place where the policy applies."""

    hosts: Annotated[tuple[Word, ...], "its host names"] = ()
    tenants: Annotated[bool, "whether other controllers run parts of it"] = False


class PurposeBody(Body, frozen=True, kw_only=True):
    """A purpose of this policy. A change of its meaning asks for new consent."""

    is_: Annotated[Word | None, "the DPV term, such as `dpv:DirectMarketing`"] = None
    parent: Annotated[Name | None, "the purpose above it; an objection there covers it"] = None
    title: Annotated[Word | None, "what people read"] = None
    means: Annotated[Word | None, "what exactly is done"] = None
    direct: Annotated[bool, "whether it is direct marketing"] = False


class Defines(Body, frozen=True, kw_only=True):
    """Gives words their meaning."""

    terms: Annotated[dict[Name, TermBody | Word], "words of the policy"] = {}
    states: Annotated[dict[Name, StateBody], "states that keeping refers to"] = {}
    events: Annotated[dict[Name, Word], "events and what they mean"] = {}
    surfaces: Annotated[dict[Name, SurfaceBody], "the places of the front matter and their hosts"] = {}
    purposes: Annotated[dict[Name, PurposeBody], "purposes and their tree"] = {}
    categories: Annotated[dict[Name, Word], "further categories of data, below known ones"] = {}
    roles: Annotated[dict[Name, Literal["controller", "processor", "joint"]], "our role on a surface"] = {}


class Informs(Body, frozen=True, kw_only=True):
    """Published text that promises nothing."""

    about: Annotated[Word | None, "what it is about"] = None
    text: Annotated[bool, "says again that it is text only"] = True


VERBS: dict[str, type[Body]] = {
    "permits": Permits,
    "requires": Requires,
    "never": Forbids,
    "asserts": Asserts,
    "define": Defines,
    "informs": Informs,
}


class ClauseEnvelope(Body, frozen=True, kw_only=True):
    """What stands around the verb."""

    id: Annotated[Name, "the clause's id; the page, the code, the tests and the ledger spell it the same"]
    words: Annotated[tuple[Word, ...], "the words it makes executable, where that is not all of the prose above"] = ()
    permits: Annotated[Any, "makes a use possible"] = None
    requires: Annotated[Any, "an obligation"] = None
    never: Annotated[Any, "a prohibition"] = None
    asserts: Annotated[Any, "a theorem"] = None
    define: Annotated[Any, "a definition"] = None
    informs: Annotated[Any, "text only"] = None
    by: Annotated[tuple[Name, ...], "the mechanisms that keep it, where they are not those of its bodies"] = ()
    was: Annotated[tuple[Name, ...], "ids it had in earlier versions"] = ()
    not_enforced: Annotated[Word | None, "why no mechanism keeps it yet; what it permits stays closed"] = None
    supplement: Annotated[Word | None, "why no sentence of the prose stands for it; it is printed in an annex"] = None
    silence: Annotated[dict[Word, Word], "lints that are not to speak here, each with the reason"] = {}


class ControllerBody(Body, frozen=True, kw_only=True):
    """Who is responsible (GDPR Art. 13(1)(a))."""

    name: Annotated[Word, "the name"]
    contact: Annotated[Word, "the address for privacy matters"]
    country: Annotated[
        Word, Pattern(r"[A-Z]{2}", "a country as two capital letters (ISO 3166)"), "the country as ISO 3166 code"
    ]
    address: Annotated[Word | None, "the postal address"] = None


_DATE = Pattern(r"\d{4}-\d{2}-\d{2}", "a date as YYYY-MM-DD")


class FrontMatter(Body, frozen=True, kw_only=True):
    """The settings at the head of the file. Clauses refer to them and never repeat them."""

    policy: Annotated[Name, "the name of the policy"]
    version: Annotated[Word, Pattern(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}", "letters, digits, dots"), "its identity"]
    effective: Annotated[Word, _DATE, "the day from which it binds, 00:00 UTC"]
    controller: Annotated[ControllerBody, "who is responsible"]
    language: Annotated[
        Word, Pattern(r"[a-z]{2,3}(-[A-Za-z0-9]+)*", "a language tag such as en"), "the language it is written in"
    ]
    surfaces: Annotated[tuple[Name, ...], "where it applies: `site:www`, `product:desktop`, `service:managed`"]
    notice_period: Annotated[Duration, "how long before a reduction of rights everybody is told"]
    affiliates: Annotated[tuple[Word, ...], "companies that it binds as well"] = ()
    historical: Annotated[bool, "an old text: missing bases and periods are warnings"] = False
    silence: Annotated[dict[Word, Word], "lints that are not to speak in this policy, each with the reason"] = {}
