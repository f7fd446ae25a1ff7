"""What pages are given: plain values, ready to be shown. Handlers make them; templates only lay them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from markupsafe import Markup

from troth.use.devices import Device
from troth.use.person_sessions import Session

BoardStatus = Literal["PASS", "FAIL", "NOT EXERCISED", "NOT ENFORCED", "TEXT ONLY"]


@dataclass(frozen=True)
class Card:
    """A way onward: where to, what it is called, a line about it. Texts are shown as they are."""

    href: str
    title: str
    text: str = ""


@dataclass(frozen=True)
class VersionView:
    """A version of the policy."""

    version: str
    effective: str  # ISO date
    href: str
    in_force: bool = False


@dataclass(frozen=True)
class FieldError:
    """A fault in a form: the field it is about ("" for the whole form), what to do, and what the field is called."""

    name: str
    message: str
    label: str = ""


@dataclass(frozen=True)
class FieldView:
    """One field of a generated form."""

    name: str
    label: str
    kind: Literal["text", "email", "tel", "select", "textarea", "password"] = "text"
    required: bool = False
    value: str = ""
    choices: Sequence[tuple[str, str]] = ()  # (value, label)
    max_length: int = 200
    autocomplete: str = ""
    purposes: str = ""  # what the field is used for, in the policy's own words
    error: str = ""

    @property
    def id(self) -> str:
        """The element's id, which the error summary links to."""
        return f"field-{self.name}"


@dataclass(frozen=True)
class ConsentView:
    """A consent beside a form: the exact words, never ticked in advance."""

    name: str
    ask: str
    ticked: bool = False  # only True when a form with an error comes back as the person left it
    required: bool = False
    error: str = ""


@dataclass(frozen=True)
class NoticeRow:
    """One use, as told beside the form: which fields, what for, on which basis, kept how long, given to whom."""

    fields: str
    purpose: str
    basis: str
    kept: str
    recipient: str = ""


@dataclass(frozen=True)
class FormView:
    """A form made from a collection point's declaration."""

    action: str
    point: str
    title: str
    intro: str
    fields: Sequence[FieldView]
    submit: str
    notice: str  # the notice's own words, shown beside the button
    version: str
    effective: str
    clause: str
    consent: ConsentView | None = None
    uses: Sequence[NoticeRow] = ()
    hidden: Mapping[str, str] = field(default_factory=dict)
    errors: Sequence[FieldError] = ()


@dataclass(frozen=True)
class CorrectView:
    """What was told at one place, ready to be corrected."""

    action: str
    title: str
    fields: Sequence[FieldView]
    found_by: Sequence[HeldField]
    records: int
    hidden: Mapping[str, str]
    errors: Sequence[FieldError] = ()


@dataclass(frozen=True)
class FollowsView:
    """What closing an account means for what was told at one place. ``only`` None: its uses stay as they are."""

    title: str
    only: str | None
    erased_ms: int | None


@dataclass(frozen=True)
class Choice:
    """A checkbox: its value, its words, and whether it already holds."""

    value: str
    label: str
    text: str = ""
    ticked: bool = False


@dataclass(frozen=True)
class HeldField:
    """One value held about a person."""

    label: str
    value: str


@dataclass(frozen=True)
class HeldRecord:
    """One record held about a person, with everything Art. 15 asks for."""

    title: str
    collected_ms: int
    version: str
    fields: Sequence[HeldField]
    purposes: Sequence[str]
    keeping: str
    recipients: Sequence[str] = ()
    source: str = ""


@dataclass(frozen=True)
class ConsentLine:
    """A consent as it stands: the words asked, its state, and the form that withdraws it ("" if it cannot)."""

    words: str
    state: str  # Given | Withdrawn | …
    since_ms: int
    withdraw: str = ""
    receipt: str = ""


@dataclass(frozen=True)
class LookView:
    """One time that somebody of staff looked at the person's data; ``reason`` is "" where it is not kept any more."""

    at_ms: int
    role: str
    purpose: str
    reason: str


@dataclass(frozen=True)
class PasskeyLine:
    """A passkey as its owner's copy tells of it."""

    name: str
    since_ms: int


@dataclass(frozen=True)
class PersonView:
    """A person's own centre."""

    records: Sequence[HeldRecord]
    consents: Sequence[ConsentLine] = ()
    objections: Sequence[str] = ()
    downloads: Sequence[Card] = ()
    leave: str = "/privacy/leave"
    password_since_ms: int | None = None
    closed_ms: int | None = None
    waiting: str = ""  # a new address that waits for its proof
    corrections: Sequence[CorrectedView] = ()
    activity: Sequence[UsedView] = ()
    looks: Sequence[LookView] = ()
    passkeys: Sequence[PasskeyLine] = ()
    second_factor_since_ms: int | None = None
    devices: Sequence[tuple[str, int]] = ()  # browser, system and country in one line, and when last


@dataclass(frozen=True)
class CorrectedView:
    """A correction: which fields, where, when."""

    what: str
    where: str
    at_ms: int


@dataclass(frozen=True)
class UsedView:
    """What a product told of the account's use; ``until_ms`` where it goes on."""

    product: str
    event: str
    at_ms: int
    until_ms: int | None


@dataclass(frozen=True)
class SecondFactorView:
    """A person's second factor: unset | set | to-be-shown | unproven | not-offered | no-account.

    ``secret``, ``address`` (of an app) and ``sealed`` are there while it is unset; ``due_ms`` while it waits to go.
    """

    state: str
    since_ms: int = 0
    codes_left: int = 0
    due_ms: int | None = None
    after: str = ""
    secret: str = ""
    address: str = ""
    sealed: str = ""

    def but(self, **changes: str) -> SecondFactorView:
        """The same with other members."""
        return replace(self, **changes)  # type: ignore[arg-type]  # those that change are texts


@dataclass(frozen=True)
class SessionView:
    """One open session of a person: when, how it was proven, and which device, as far as it is known."""

    place: str
    begun_ms: int
    seen_ms: int
    method: str  # as ``person_sessions.Method``
    browser: str = ""
    system: str = ""
    country: str = ""
    own: bool = False

    @classmethod
    def of(cls, session: Session, device: Device | None, *, here: bytes = b"") -> SessionView:
        """A session with the words of its device; it is one's own where its hash is that of the session ``here``."""
        words = device or Device("", "", "")
        when = (session.place, session.created_ms, session.seen_ms, session.method)
        return cls(*when, *words, own=session.hash == here)


@dataclass(frozen=True)
class DelegateView:
    """Access to an account, given or held. ``ways`` are the places that it opens, where it was taken up."""

    place: str
    name: str
    scope: str
    since_ms: int
    until_ms: int
    accepted: bool
    ways: Sequence[Card] = ()


@dataclass(frozen=True)
class ReceiptView:
    """A receipt that the person can keep and check by themselves."""

    title: str
    at_ms: int
    clause: str
    href: str
    entry: str  # hex id


@dataclass(frozen=True)
class BoardRow:
    """One clause on the board. ``age_ms`` is when it was last exercised; ``limits`` what its evidence cannot show."""

    clause: str
    href: str
    status: BoardStatus
    words: str
    age_ms: int | None = None
    entries: int = 0
    mechanisms: Sequence[str] = ()
    reason: str = ""
    limits: str = ""
    reason_language: str = ""  # where the reason is the policy's own sentence

    @property
    def colour(self) -> str:
        """``green``, ``amber`` or ``red``."""
        return {"PASS": "green", "TEXT ONLY": "green", "FAIL": "red"}.get(self.status, "amber")

    @property
    def status_key(self) -> str:
        """The catalogue key of the status."""
        return "board.status." + self.status.lower().replace(" ", "-")


@dataclass(frozen=True)
class BoardView:
    """The board: every clause, when it was computed, and the log it was computed over."""

    rows: Sequence[BoardRow]
    at_ms: int
    checkpoint: str = ""
    verify: str = ""

    @property
    def all_green(self) -> bool:
        """True where the badge may be shown."""
        return bool(self.rows) and all(row.colour == "green" for row in self.rows)

    @property
    def counts(self) -> dict[str, int]:
        """How many clauses per colour."""
        found = {"green": 0, "amber": 0, "red": 0}
        for row in self.rows:
            found[row.colour] += 1
        return found


@dataclass(frozen=True)
class EntryLine:
    """A ledger entry in a list."""

    at_ms: int
    kind: str
    mechanism: str
    href: str
    entry: str


@dataclass(frozen=True)
class ClauseView:
    """One clause: sentence, declaration, mechanisms, figures, and what the ledger has of it."""

    id: str
    verb: str
    prose: Markup | str
    declaration: str
    mechanisms: Sequence[str]
    row: BoardRow
    figures: Sequence[str] = ()
    entries: Sequence[EntryLine] = ()
    not_enforced: str = ""
    line: int = 0
