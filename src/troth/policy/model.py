"""The compiled policy: what a document means, as values. Pure data; no clock, disk or network.

``parse`` makes a document, ``compile`` makes these; ``decide`` and every layer above read only these.
All values are frozen and hashable where they stand in sets, so that terms and states can be interned.
"""

from __future__ import annotations

import calendar
import datetime as dt
from typing import Any, Literal

import msgspec

Verb = Literal["permits", "requires", "never", "asserts", "define", "informs"]
Basis = Literal["consent", "contract", "legal_obligation", "vital_interest", "public_interest", "legitimate_interest"]
Mode = Literal["normal", "restricted", "child", "erasing"]
MessageClass = Literal["service", "notice", "support", "clarification", "follow_up", "marketing", "automation"]
RightKind = Literal[
    "access",
    "portability",
    "rectification",
    "erasure",
    "restriction",
    "objection",
    "withdrawal",
    "information",
    "complaint",
]


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all model values: immutable, compared by content."""


class Position(Value, order=True, frozen=True, gc=False):
    """A place in a source file, counted from 1."""

    line: int
    column: int


class Duration(Value, frozen=True, gc=False):
    """A period as written: calendar months and exact days are different things (LANGUAGE 4)."""

    text: str
    months: int = 0
    ms: int = 0

    def after(self, start_ms: int) -> int:
        """The end of this period begun at ``start_ms`` (UTC milliseconds); 31 January + 1 month = 28/29 February."""
        if self.months:
            start = dt.datetime.fromtimestamp(start_ms / 1000, tz=dt.UTC)
            years, month = divmod(start.month - 1 + self.months, 12)
            year = start.year + years
            day = min(start.day, calendar.monthrange(year, month + 1)[1])
            moved = start.replace(year=year, month=month + 1, day=day)
            start_ms += round((moved - start).total_seconds() * 1000)
        return start_ms + self.ms


class Phase(Value, frozen=True):
    """One phase of keeping: ``while_`` a state holds, or ``for_`` a period; ``only`` narrows use to these purposes."""

    while_: str | None = None
    for_: Duration | None = None
    only: frozenset[str] | None = None


class Keep(Value, frozen=True):
    """A retention class: its phases in order. What has passed the last one is erased (mechanism ``retain.due``)."""

    name: str
    clause: str
    phases: tuple[Phase, ...]


class StateRule(Value, frozen=True):
    """A state that keeping can refer to (``account.active``): which events begin and end it, after what idleness.

    ``warn`` is how long before that end the person is told: an exact time, no months.
    """

    name: str
    clause: str
    begins: tuple[str, ...]
    ends: tuple[str, ...]
    idle: Duration | None = None
    warn: Duration | None = None


class Field(Value, frozen=True):
    """A place on a form or API that carries a category."""

    name: str
    category: str
    required: bool = False
    identifier: bool = False
    choices: tuple[str, ...] = ()
    max_length: int = 200
    stored: Literal["raw", "keyed", "truncated", "country", "dropped"] = "raw"


class Form(Value, frozen=True):
    """How data may come out: ``identified``, ``pseudonymous``, or ``summary`` over at least ``at_least`` persons."""

    kind: Literal["identified", "pseudonymous", "summary"] = "identified"
    at_least: int = 0


class Use(Value, frozen=True):
    """One atom of a permits row (LANGUAGE 3): one line of the record of processing activities (Art. 30).

    ``channel`` None is any channel, ``recipient`` None the controller itself; ``survives`` names the modes
    (``restricted``, ``child``, ``erasing``) in which the use goes on. ``carries_over``: it applies to data collected
    under earlier versions too, of persons who are bound by its version.
    """

    clause: str
    point: str
    fields: frozenset[str]
    categories: frozenset[str]
    purpose: str
    meaning: str
    basis: Basis
    keep: str
    recipient: str | None = None
    channel: str | None = None
    form: Form = Form()
    guards: frozenset[str] = frozenset()
    survives: frozenset[str] = frozenset()
    direct: bool = False
    carries_over: bool = False


class ConsentAsk(Value, frozen=True):
    """A consent that may be asked: the exact words, and what follows from a yes."""

    id: str
    clause: str
    purpose: str
    meaning: str
    categories: tuple[str, ...]
    ask: str
    channel: str | None = None
    confirm: Literal["double", "single"] = "single"
    lasts: Duration | None = None
    withdraw: str = "/privacy"
    asked: Literal["form", "site"] = "form"
    loses: tuple[str, ...] = ()


class Point(Value, frozen=True):
    """A collection point: the one door's list of fields, and what they may be used for."""

    id: str
    clause: str
    fields: tuple[Field, ...]
    uses: tuple[Use, ...]
    surfaces: tuple[str, ...]
    consent: ConsentAsk | None = None
    confirm: Literal["double", "single"] = "single"

    def field(self, name: str) -> Field | None:
        """The declared field of this name, or None."""
        return next((f for f in self.fields if f.name == name), None)

    def classes(self) -> dict[str, frozenset[str]]:
        """Retention class -> the fields kept under it (a field used under two classes is kept twice)."""
        found: dict[str, frozenset[str]] = {}
        for use in self.uses:
            found[use.keep] = found.get(use.keep, frozenset()) | use.fields
        return found


class Purpose(Value, frozen=True):
    """A node of the purpose tree; ``meaning`` changes when the definition does, so that consent must be asked anew."""

    id: str
    clause: str
    meaning: str
    parent: str | None = None
    dpv: str | None = None
    direct: bool = False
    title: str = ""


class Template(Value, frozen=True):
    """A message that may be sent. Its words are in the catalogue under ``mail.<id>``."""

    id: str
    clause: str
    kind: MessageClass
    purpose: str
    fields: tuple[str, ...]
    trigger: str = ""
    channel: str = "email"


class Recipient(Value, frozen=True):
    """A class of recipients (the names live in the register, not in the policy)."""

    id: str
    clause: str
    role: str
    countries: tuple[str, ...]
    categories: tuple[str, ...]
    purpose: str
    guards: frozenset[str] = frozenset()


class Never(Value, frozen=True):
    """A prohibition. An empty set means any; ``except_`` lists clauses that may, ``unless`` the guard that lifts it.

    ``joined`` (for the act ``join``) are the points or categories whose data is never brought together.
    """

    clause: str
    act: Literal["share", "collect", "use", "join", "keep"]
    purposes: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    recipients: frozenset[str] = frozenset()
    except_: frozenset[str] = frozenset()
    unless: str | None = None
    joined: frozenset[str] = frozenset()


class Right(Value, frozen=True):
    """A right and how it is exercised: the proof asked, and the time allowed.

    ``told`` is how long before the end of a restriction the person is told of it (GDPR Art. 18(3)).
    """

    kind: RightKind
    clause: str
    proof: str = "link"
    within: Duration = Duration("1 month", months=1)
    approvals: int = 0
    undo: Duration | None = None
    to: str | None = None
    formats: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    told: Duration | None = None


class CookieRule(Value, frozen=True):
    """A cookie that may be set. ``value`` is ``random`` (at least ``bits``) or one of ``choices``.

    ``flag``: its choices are what a browser can have chosen (``policy.choices``); there is at most one such cookie.
    """

    name: str
    clause: str
    purpose: str
    essential: bool
    lasts: Duration | None
    party: str = "first"
    value: Literal["random", "choice"] = "random"
    bits: int = 128
    choices: tuple[str, ...] = ()
    flag: bool = False


class Embed(Value, frozen=True):
    """A place of somebody else's that pages may load from: the origin, and the kinds of thing that may come."""

    origin: str
    clause: str
    purpose: str
    loads: tuple[str, ...]
    essential: bool = False
    title: str = ""
    policy: str = ""


class CompiledClause(Value, frozen=True):
    """One clause as compiled: its words, its mechanisms, its figures, and where it stands."""

    id: str
    verb: Verb
    body: dict[str, Any]
    prose: str
    position: Position
    mechanisms: tuple[str, ...]
    figures: tuple[str, ...] = ()
    not_enforced: str | None = None
    supplement: str | None = None

    @property
    def text_only(self) -> bool:
        """True where the clause is published but promises nothing that a machine could keep."""
        return self.verb == "informs"


class Controller(Value, frozen=True):
    """Who is responsible (Art. 13(1)(a))."""

    name: str
    contact: str
    country: str
    address: str = ""


class Example(Value, frozen=True):
    """A ``yaml example`` block: given, ask, expect; run by ``troth check`` and shown as "for instance"."""

    given: str
    ask: str
    expect: str
    position: Position


class CompiledPolicy(Value, frozen=True):
    """One version of a policy, executable. ``sha256`` is of the source text (and bindings), lower-case hex.

    ``modes``: surface -> the paths of a site -> ``observe`` or ``enforce``; the longest path that fits counts.
    """

    policy: str
    version: str
    effective: str
    effective_ms: int
    controller: Controller
    language: str
    sha256: str
    source: str
    notice_period: Duration
    surfaces: dict[str, tuple[str, ...]]
    clauses: dict[str, CompiledClause]
    purposes: dict[str, Purpose]
    points: dict[str, Point]
    keeps: dict[str, Keep]
    states: dict[str, StateRule]
    consents: dict[str, ConsentAsk]
    templates: dict[str, Template]
    recipients: dict[str, Recipient]
    rights: dict[str, Right]
    cookies: dict[str, CookieRule]
    nevers: tuple[Never, ...]
    uses: tuple[Use, ...]
    embeds: tuple[Embed, ...] = ()
    modes: dict[str, dict[str, str]] = {}
    examples: tuple[Example, ...] = ()
    affiliates: tuple[str, ...] = ()
    personal: frozenset[str] = frozenset()
    bindings: str | None = None
    figures: dict[str, Any] = {}

    def ancestors(self, purpose: str) -> tuple[str, ...]:
        """The purpose itself and its parents, nearest first; a purpose unknown here has only itself."""
        found = []
        node: str | None = purpose
        while node is not None and node not in found:
            found.append(node)
            known = self.purposes.get(node)
            node = known.parent if known else None
        return tuple(found)


# --- the decision's questions and answers (LANGUAGE 3) ---


class Terms(Value, frozen=True):
    """What a record was collected under.

    ``phase`` is computed, never stored: the index into the phases of the record's retention class. ``keep`` is that
    class; None where no record is meant (then a use of any class may answer).
    """

    controller: str
    surface: str
    point: str
    version: str
    phase: int = 0
    keep: str | None = None


class Grant(Value, frozen=True):
    """A consent given, for this purpose, channel and meaning."""

    purpose: str
    channel: str | None
    meaning: str


class Stop(Value, frozen=True):
    """An objection or withdrawal at a node of the purpose tree; channel None is every channel."""

    purpose: str
    channel: str | None = None


class State(Value, frozen=True):
    """What a person chose. A missing row is ``UNKNOWN``: no consent, bound to nothing later than their terms."""

    mode: Mode = "normal"
    bound: str = ""
    grants: frozenset[Grant] = frozenset()
    stops: frozenset[Stop] = frozenset()


UNKNOWN = State()


class Question(Value, frozen=True):
    """May these fields be used for this purpose (by this recipient, over this channel, in this form)?"""

    purpose: str
    fields: frozenset[str]
    recipient: str | None = None
    channel: str | None = None
    form: Form = Form()


class Decision(Value, frozen=True):
    """The answer. Denied unless ``allowed``; ``clauses`` carried or came closest, ``gaps`` is what is missing."""

    allowed: bool
    clauses: tuple[str, ...]
    gaps: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()


class History(Value, frozen=True):
    """The versions of one policy, oldest first. Which of them is in force is told by whoever asks."""

    versions: tuple[CompiledPolicy, ...]

    def version(self, name: str) -> CompiledPolicy:
        """The version of this identity; KeyError if it was never published."""
        for version in self.versions:
            if version.version == name:
                return version
        raise KeyError(name)
