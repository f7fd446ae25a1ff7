"""A small vendor for tests of the web: a policy made by hand, a standing system, and everything pages can show."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from troth.config import Config
from troth.policy.model import (
    CompiledClause,
    CompiledPolicy,
    ConsentAsk,
    Controller,
    CookieRule,
    Duration,
    Field,
    Keep,
    Phase,
    Point,
    Position,
    Purpose,
    Use,
)
from troth.use.automations import Told
from troth.use.closing import Follows, Outlook
from troth.use.person_passkeys import Passkey
from troth.web.automated import AutomationView
from troth.web.views import (
    BoardRow,
    BoardView,
    Card,
    Choice,
    ClauseView,
    ConsentLine,
    CorrectedView,
    EntryLine,
    FollowsView,
    HeldField,
    HeldRecord,
    LookView,
    PasskeyLine,
    PersonView,
    ReceiptView,
    SecondFactorView,
    SessionView,
    UsedView,
    VersionView,
)
from troth.world import SetClock

NOON = 1_768_478_400_000  # 2026-01-15T12:00:00Z
DAYS_90 = Duration("90 days", ms=90 * 86_400_000)


class Dice:
    """Randomness that a test can repeat."""

    def __init__(self, seed: int = 1) -> None:
        self.random = random.Random(seed)

    def bytes(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        return self.random.randbytes(count)


def clause(name: str, prose: str, body: dict[str, Any] | None = None) -> CompiledClause:
    """A clause with its words."""
    return CompiledClause(
        name, "permits", body or {}, prose, Position(1, 1), ("intake.declared",), figures=("list: 30 days",)
    )


def use(clause_id: str, point: str, fields: set[str], purpose: str, basis: Any, keep: str) -> Use:
    """One use."""
    return Use(clause_id, point, frozenset(fields), frozenset(), purpose, purpose, basis, keep)


NEWSLETTER = Point(
    id="newsletter",
    clause="collect.newsletter",
    fields=(
        Field("name", "user.name", required=True),
        Field("email", "user.contact.email", required=True, identifier=True),
    ),
    uses=(use("collect.newsletter", "newsletter", {"name", "email"}, "newsletter", "consent", "list"),),
    surfaces=("site:www",),
    consent=ConsentAsk(
        "newsletter",
        "collect.newsletter",
        "newsletter",
        "m",
        ("user.contact.email",),
        "Yes, send me the newsletter by e-mail. I can stop it at any time.",
        channel="email",
        confirm="double",
    ),
)

REGISTRATION = Point(
    id="registration",
    clause="collect.registration",
    fields=(
        Field("first_name", "user.name.first", required=True),
        Field("last_name", "user.name.last", required=True),
        Field("email", "user.contact.email", required=True, identifier=True),
        Field("phone", "user.contact.phone"),
        Field("company", "user.company.name"),
        Field("company_size", "user.company.size", choices=("1-9", "10-49", "50-249", "250+")),
        Field("intended_use", "user.company.purpose", max_length=2000),
    ),
    uses=(
        use(
            "collect.registration", "registration", {"first_name", "last_name", "email"}, "account", "contract", "list"
        ),
        use("collect.registration", "registration", {"company_size"}, "patterns", "legitimate_interest", "list"),
    ),
    surfaces=("site:www",),
)

POLICY = CompiledPolicy(
    policy="example",
    version="2026-01-15",
    effective="2026-02-15",
    effective_ms=NOON,
    controller=Controller("Example Backup Ltd", "privacy@example.com", "IE"),
    language="en",
    sha256="ab" * 32,
    source="",
    notice_period=Duration("30 days", ms=30 * 86_400_000),
    surfaces={"site:www": ("127.0.0.1", "testserver")},
    clauses={
        name: clause(name, prose)
        for name, prose in {
            "collect.newsletter": "If you ask for our newsletter, we take your name and your e-mail address.",
            "collect.registration": "If you register, we take your name, address, telephone, company and its size.",
            "retain.list": "We keep it until you stop it.",
        }.items()
    },
    purposes={name: Purpose(name, "purpose." + name, name) for name in ("newsletter", "account", "patterns")},
    points={"newsletter": NEWSLETTER, "registration": REGISTRATION},
    keeps={"list": Keep("list", "retain.list", (Phase(for_=DAYS_90),))},
    states={},
    consents={},
    templates={},
    recipients={},
    rights={},
    cookies={
        "troth_session": CookieRule(
            "troth_session", "collect.cookies", "rights", True, Duration("30 minutes", ms=1_800_000)
        ),
        "troth_console": CookieRule(
            "troth_console", "collect.cookies", "security", True, Duration("8 hours", ms=28_800_000)
        ),
        "choice": CookieRule(
            "choice", "consent.refusal", "rights", True, DAYS_90, value="choice", choices=("refused", "accepted")
        ),
    },
    nevers=(),
    uses=(),
)


@dataclass
class Standing:
    """A system that only stands there: the least that the shell needs."""

    config: Config = field(default_factory=lambda: Config(base_url="http://testserver"))
    clock: SetClock = field(default_factory=lambda: SetClock(NOON))
    randomness: Dice = field(default_factory=Dice)
    policy: CompiledPolicy = POLICY
    checkpoint: str = "4096 · 7bXqTzWc0d"
    wrong: tuple[str, ...] = ()

    def faults(self) -> tuple[str, ...]:
        """What the test says is wrong."""
        return self.wrong


PROSE = Markup(
    "<h1>Privacy policy</h1>"
    '<p class="eyebrow">Version 2026-01-15, in force from 15 February 2026</p>'
    "<p>This policy says how Example Backup Ltd handles personal data. What it does not say does not happen.</p>"
    '<h2 id="collect.newsletter">Newsletter</h2>'
    "<p>If you ask for our newsletter, we take your name and your e-mail address, and use them to send it. "
    "You can stop it with one click, at any time.</p>"
    '<p class="figures">In figures: newsletter · consent · kept 90 days after you stop it · nobody else</p>'
    '<h2 id="retain.list">How long</h2>'
    "<ul><li>Account data: while you use the product, and thirty days more.</li>"
    "<li>Support conversations: ninety days after the last answer.</li></ul>"
)

BOARD = BoardView(
    rows=(
        BoardRow(
            "changes.effective-date",
            "/policy/clauses/changes.effective-date",
            "PASS",
            "Each version binds from one date.",
            NOON - 300_000,
            12,
            ("policy.effective",),
            limits="that nobody was shown another page",
        ),
        BoardRow(
            "collect.newsletter",
            "/policy/clauses/collect.newsletter",
            "PASS",
            "We take your name and your e-mail address.",
            NOON - 7_200_000,
            48,
            ("intake.declared", "intake.double-opt-in"),
        ),
        BoardRow(
            "rights.erase",
            "/policy/clauses/rights.erase",
            "FAIL",
            "You can have everything erased.",
            NOON - 86_400_000 * 3,
            3,
            ("right.erase",),
            reason="One erasure was ordered 31 days ago and has no outcome.",
        ),
        BoardRow(
            "share.legal",
            "/policy/clauses/share.legal",
            "NOT EXERCISED",
            "We disclose where a court orders it.",
            None,
            0,
            ("share.deny",),
        ),
        BoardRow(
            "collect.device",
            "/policy/clauses/collect.device",
            "NOT ENFORCED",
            "Our products report the device they run on.",
            None,
            0,
            (),
            reason="The desktop product does not speak to this system yet.",
        ),
        BoardRow("links.no-endorsement", "/policy/clauses/links.no-endorsement", "TEXT ONLY", "A link is no praise."),
    ),
    at_ms=NOON,
    checkpoint="4096 · 7bXqTzWc0d",
    verify="/evidence/verify",
)

LOG = {
    "origin": "example.org/log",
    "key": "example.org/log+7bXqTzWc+AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCdEfGhIjKl",
    "fingerprint": "7b1f 03aa 91c4 55d0 2e6f 8a10 4c3b 99e2",
    "size": 4096,
}

GREEN_BOARD = BoardView(
    tuple(row for row in BOARD.rows if row.colour == "green"), NOON, BOARD.checkpoint, "/evidence/verify"
)

CLAUSE = ClauseView(
    id="collect.newsletter",
    verb="permits",
    prose="If you ask for our newsletter, we take your name and your e-mail address.",
    declaration=(
        "id: collect.newsletter\npermits:\n  collect:\n    point: newsletter\n    fields:\n"
        "      name:  {category: user.name, required: true}\n"
        "      email: {category: user.contact.email, required: true, identifier: true}\n"
        "    uses:\n      - {purpose: newsletter, basis: consent, fields: [name, email], keep: newsletter}\n"
    ),
    mechanisms=("intake.declared", "intake.double-opt-in", "notice.bind"),
    row=BOARD.rows[1],
    figures=("kept 90 days after you stop it", "given to nobody"),
    entries=tuple(
        EntryLine(NOON - n * 3_600_000, kind, "intake.declared", f"/evidence/entries/{n:032x}", f"{n * 77777:032x}")
        for n, kind in enumerate(("intake.confirmed", "consent.given", "intake.accepted"), 1)
    ),
)

LOOKS = (
    LookView(NOON - 86_400_000, "support", "Your account", "She rang about her invoice"),
    LookView(NOON - 86_400_000 * 60, "officer", "Answering your requests about your data", ""),
)

PERSON = PersonView(
    looks=LOOKS,
    records=(
        HeldRecord(
            "Newsletter",
            NOON - 86_400_000 * 9,
            "2026-01-15",
            (HeldField("Name", "Ann Lee"), HeldField("E-mail address", "ann.lee@example.org")),
            ("The newsletter",),
            "until you stop it, then 90 days",
            source="you, on our website",
        ),
        HeldRecord(
            "Registration",
            NOON - 86_400_000 * 40,
            "2026-01-15",
            (
                HeldField("First name", "Ann"),
                HeldField("Last name", "Lee"),
                HeldField("E-mail address", "ann.lee@example.org"),
                HeldField("Number of employees", "10-49"),
            ),
            ("Your account", "Support"),
            "while you use the product, and 30 days more",
            ("Example Payments Ltd",),
        ),
    ),
    consents=(
        ConsentLine(
            "Yes, send me the newsletter by e-mail.",
            "Given",
            NOON - 86_400_000 * 9,
            withdraw="/privacy/consents/1/withdraw",
            receipt="/privacy/receipts/1",
        ),
    ),
    objections=("Telling you about our products",),
    closed_ms=NOON - 86_400_000,
    waiting="ann@new.example.org",
    corrections=(CorrectedView("Telephone, Company", "Registration", NOON - 86_400_000),),
    activity=(
        UsedView("Desktop", "a licence runs", NOON - 86_400_000, NOON + 86_400_000),
        UsedView("Desktop", "the account was used", NOON - 86_400_000, None),
    ),
    password_since_ms=NOON - 86_400_000 * 40,
    passkeys=(PasskeyLine("Firefox, Linux", NOON - 86_400_000 * 9),),
    second_factor_since_ms=NOON - 86_400_000 * 9,
    devices=(("Firefox, Linux, IE", NOON),),
    downloads=(
        Card("/privacy/copy.html", "As a page", "To read, print or keep."),
        Card("/privacy/copy.json", "As JSON", "For programs."),
        Card("/privacy/copy.zip", "As CSV tables", "For spreadsheets, in one archive."),
    ),
)

OPEN = Outlook(None, (Follows("registration", ("restore", "rights"), NOON + 30 * 86_400_000),), NOON + 30 * 86_400_000)
SHUT = Outlook(NOON - 86_400_000, OPEN.follows, NOON + 29 * 86_400_000)
FOLLOWS = (
    FollowsView("Registration", "Letting you return, Answering your requests about your data", NOON + 30 * 86_400_000),
    FollowsView("Newsletter", None, None),
)

SESSIONS = (
    SessionView("1" * 32, NOON, NOON, "link"),
    SessionView("2" * 32, NOON, NOON, "password", "Firefox", "Linux", own=True),
)

PASSKEYS = (
    Passkey("1" * 32, NOON - 86_400_000 * 9, "Firefox, Linux", NOON - 3_600_000, b"", b"", 4),
    Passkey("2" * 32, NOON - 86_400_000, "The key on my ring", 0, b"", b"", 0),
)

UNSET = SecondFactorView(
    "unset",
    after="7 days",
    secret="JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP",  # RFC 6238 in a picture: nobody's
    address="otpauth://totp/Example?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
    sealed="00",
)

CODES = tuple(f"{n:04d}-{n * 7:04d}-{n * 77:04d}" for n in range(1, 11))

TIMES = (
    ("privacy.certificate-ordered", NOON - 86_400_000),
    ("privacy.certificate-unreadable", NOON - 86_400_000),
    ("privacy.certificate-gone", NOON),
    ("privacy.certificate-destroyed", None),
)

LETTERS = (
    AutomationView(
        "reminder",
        "Your password",
        "A letter",
        "A year without a change",
        "E-mail address",
        "Your account",
        "Turn it off in your account",
        "protect.password",
        Told(2, NOON - 86_400_000),
    ),
    AutomationView(
        "confirm",
        "Please confirm",
        "A letter",
        "You asked for the newsletter",
        "E-mail address",
        "The newsletter",
        "It comes once",
        "collect.newsletter",
    ),
)

ANALYSE = "Yes, remember what I look at, so that your pages get better."
VISITED = (("2026-01-15 12:00:00", "/welcome"), ("2026-01-15 12:01:30", "/a/rather/long/path/to/some/page"))

RECEIPTS = (
    ReceiptView("Your consent to the newsletter", NOON - 86_400_000, "collect.newsletter", "/privacy/receipts/1", "ab"),
    ReceiptView("Your objection", NOON - 3_600_000, "rights.object-marketing", "/privacy/receipts/2", "cd"),
)

VERSIONS = (
    VersionView("2026-01-15", "2026-02-15", "/policy/versions/2026-01-15", in_force=True),
    VersionView("2025-03-01", "2025-04-01", "/policy/versions/2025-03-01"),
)

CHOICES = (
    Choice("marketing", "Telling you about our products", "By e-mail and by telephone."),
    Choice("analytics", "Understanding how our pages are used", ticked=True),
)

CARDS = (
    Card("/policy", "Read the privacy policy", "What we collect, what for, and for how long."),
    Card("/forms/newsletter", "Newsletter", "News about our products, a few times a year."),
    Card("/forms/registration", "Register", "Create your account."),
    Card("/privacy", "Your privacy", "See what we hold about you, take a copy, object, erase."),
    Card("/evidence", "Check that we keep it", "Clause by clause, from a ledger that anybody can verify."),
)
