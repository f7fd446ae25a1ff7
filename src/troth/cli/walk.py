"""The walk of the demonstration: one person through every right, another who stays and must be untouched.

Every step says what it saw, over real HTTP and SMTP; a step that is not as it must be raises ``Failed``.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from troth.cli.visitor import Visitor

if TYPE_CHECKING:
    from troth.cli.postbox import Letter, Postbox
    from troth.policy.model import Point
    from troth.web.running import Running

ANN = {
    "email": "ann.fennimore-quill@example.org",
    "first": "Annabeth",
    "last": "Fennimore-Quill",
    "name": "Annabeth Fennimore-Quill",
    "phone": "+353 1 555 0142",
    "phone_number": "+353 1 555 0142",
    "company": "Quillwright and Daughters",
    "purpose": "Backing up the manuscripts of a small press",
}
BEN = {
    "email": "ben.okonkwo-strand@example.org",
    "first": "Benedict",
    "last": "Okonkwo-Strand",
    "name": "Benedict Okonkwo-Strand",
    "phone": "+353 1 555 0187",
    "phone_number": "+353 1 555 0187",
    "company": "Strandline Charts",
    "purpose": "Two laptops and a server",
}


class Failed(Exception):
    """A step was not as it must be."""


@dataclass
class Show:
    """What the person at the terminal sees of the walk."""

    quiet: bool
    began: float = field(default_factory=time.monotonic)
    steps: int = 0

    def heading(self, words: str) -> None:
        """A part of the walk."""
        if not self.quiet:
            click.secho(f"\n{words}", bold=True)

    def saw(self, words: str) -> None:
        """A step that was as it must be."""
        self.steps += 1
        if not self.quiet:
            click.echo(f"  {click.style('✓', fg='green')} {words}")

    def mail(self, letter: Letter) -> None:
        """A letter that arrived."""
        if not self.quiet:
            click.echo(f"    {click.style('✉', fg='cyan')} {letter.subject}")


def expect(condition: object, otherwise: str) -> None:
    """Go on only if it holds."""
    if not condition:
        raise Failed(otherwise)


@dataclass
class Stage:
    """A served system with its postbox."""

    system: Running
    box: Postbox
    port: int
    host: str
    show: Show

    def letter(self, before: int) -> Letter:
        """The letter after ``before`` others: waits until it has arrived."""
        found = self.box.wait(before + 1)[before]
        self.show.mail(found)
        return found


def link_in(letter: Letter, path: str) -> str:
    """The link of a letter that begins with this path."""
    for word in letter.text.split():
        if path in word:
            return word[word.index(path) :].rstrip(".,")
    raise Failed(f"the letter holds no link to {path}")


def answers(point: Point, person: dict[str, str]) -> dict[str, str]:
    """What this person writes into the fields of a form, by their categories."""
    found = {}
    for f in point.fields:
        parts = ["company"] if ".company" in f.category else f.category.split(".")
        if f.choices:
            found[f.name] = f.choices[min(1, len(f.choices) - 1)]
            continue
        known = next((person[part] for part in reversed(parts) if part in person), None)
        found[f.name] = known if known is not None else person["purpose"]
    return found


def walk(stage: Stage) -> None:
    """One person, from reading the policy to being erased; another stays, and must be untouched."""
    system, show = stage.system, stage.show
    policy = system.policy
    ann, ben = Visitor(stage.port, stage.host), Visitor(stage.port, stage.host)

    show.heading("Reading")
    ann.open("/policy")
    expect(ann.answer.status == 200, "the policy cannot be read")
    show.saw(f"The policy, version {policy.version}, {len(ann.page.text.split())} words, without a cookie or a script")
    expect(not ann.answer.cookies, "reading the policy set a cookie")

    points = [p for p in policy.points.values() if f"{p.id}.confirm" in policy.templates]
    for person, visitor, values in (("Ben", ben, BEN), ("Annabeth", ann, ANN)):
        show.heading(f"{person} fills in forms")
        for point in points:
            submit(stage, visitor, point, values)
    sign_in(stage, ben)

    tenant, address = system.config.tenant, ANN["email"]
    sid = system.vault.find(tenant, "email", address)
    expect(sid, "the person cannot be found after confirming")
    assert sid is not None
    read_for_purposes(stage, tenant, sid, points)
    ask_as_product(stage)
    newsletter(stage, tenant, sid)
    exercise(stage, ann, tenant, sid)


def submit(stage: Stage, visitor: Visitor, point: Point, person: dict[str, str]) -> None:
    """Fill in one form, be refused for one field too many, send it, and confirm by the link in the mail."""
    before = len(stage.box.letters)
    path = f"/forms/{point.id}"
    visitor.open(path)
    expect(visitor.answer.status == 200, f"the form {point.id} does not open")
    values = answers(point, person)
    if point.consent:
        values["consent"] = point.consent.id
    visitor.send(path, **values, shoe_size="44")
    expect(visitor.answer.status == 422, "a field that no clause declares was taken")
    visitor.open(path)
    visitor.send(path, **values)
    expect(visitor.address == "/sent", f"the form {point.id} was not taken: {visitor.answer.status}")
    letter = stage.letter(before)
    visitor.open(link_in(letter, "/confirm/"))
    visitor.send()
    expect(visitor.answer.status == 200, "the confirmation was not taken")
    stage.show.saw(f"{point.id}: an undeclared field refused with its clause, the form sent, the address confirmed")


def sign_in(stage: Stage, ben: Visitor) -> None:
    """Set a password after a link, leave, and come back with it."""
    from troth.use.arrivals import SIGNED_IN
    from troth.web.account import has_accounts

    system, phrase, guess = stage.system, "three herons beside the mill race", "a guess at the phrase"
    if not has_accounts(system):
        return
    before = len(stage.box.letters)
    ben.open("/privacy")
    ben.send("/privacy", email=BEN["email"])
    ben.open(link_in(stage.letter(before), "/privacy/open/"))
    ben.send()
    ben.open("/account")
    ben.send("/account/password", password=phrase)
    expect(ben.answer.status == 200, "the password was not taken")
    ben.send("/privacy/leave")
    ben.open("/account/sign-in")
    ben.send(email=BEN["email"], password=guess)
    expect(ben.answer.status == 401, "a wrong password let somebody in")
    before = len(stage.box.letters)
    ben.send("/account/sign-in", email=BEN["email"], password=phrase)
    expect(ben.address == "/account", "the password did not let its owner in")
    if SIGNED_IN in system.policy.templates:
        stage.letter(before)  # from where nobody did before
    stage.show.saw("Ben set a password, left, and came back with it; a wrong one was refused")


def read_for_purposes(stage: Stage, tenant: str, sid: bytes, points: list[Point]) -> None:
    """Read for a declared purpose; be refused for one that is not."""
    from troth.errors import TrothError

    show, system = stage.show, stage.system
    show.heading("Using data, for a purpose")
    use = next(u for p in points for u in p.uses if u.basis == "contract")
    some = frozenset(sorted(use.fields)[:2])
    answer = system.gate.open(use.purpose).read(tenant, sid, some)
    show.saw(f"{use.purpose} may read {', '.join(sorted(some))}: permitted by {', '.join(answer.clauses)}")
    try:
        system.gate.open("profiling").read(tenant, sid, some)
    except TrothError as refusal:
        show.saw(f"profiling may not: {refusal.detail}")
    else:
        raise Failed("an undeclared purpose could read")


def ask_as_product(stage: Stage) -> None:
    """A product that keeps its own table asks before it uses an entry."""
    if "account.reference" not in stage.system.policy.points:
        return
    from troth.use.products import Asked

    products, tenant = stage.system.products, stage.system.config.tenant
    product, _key = products.create(tenant, "Desktop licence server")
    products.register(product, "customer-4711")
    yes = products.decide(product, Asked("customer-4711", "account", ("reference",)))
    no = products.decide(product, Asked("customer-4711", "marketing", ("reference",)))
    expect(yes.allowed and not no.allowed, "a product got the wrong answer")
    stage.show.saw(
        "A product asked before it used its own table: account yes, marketing no, each answer with its entry"
    )


def newsletter(stage: Stage, tenant: str, sid: bytes) -> None:
    """One issue, by a declared template, with a link that stops it."""
    system = stage.system
    template = next((t for t in system.policy.templates.values() if t.kind == "marketing"), None)
    if template is None:
        return
    before = len(stage.box.letters)
    post_issue(system, tenant, sid, template.id)
    letter = stage.letter(before)
    expect("List-Unsubscribe" in letter.message, "a marketing message has no unsubscribe header")
    stage.show.saw("A newsletter arrived, with a link and headers that stop it with one click")


def post_issue(system: Running, tenant: str, sid: bytes, template: str) -> None:
    """Queue one issue to one person."""
    import msgspec

    from troth.store import Write
    from troth.store.outbox import post

    words = {"title": "Spring backups", "text": "Test your restores before you need them.", "language": "en"}
    variables = system.vault.transit_seal(msgspec.json.encode(words))
    opening = system.vault.opening(tenant, sid)
    declared = system.policy.templates[template]
    system.store.write(
        Write(
            lambda tx: post(
                tx, declared, system.randomness, tenant=tenant, sid=sid, opening=opening, variables=variables
            )
        )
    )


def exercise(stage: Stage, ann: Visitor, tenant: str, sid: bytes) -> None:
    """Prove who one is, take a copy, object, and be erased; then look for what is left."""
    system, show = stage.system, stage.show
    show.heading("Rights")
    before = len(stage.box.letters)
    ann.open("/privacy")
    ann.send("/privacy", email=ANN["email"])
    ann.open(link_in(stage.letter(before), "/privacy/open/"))
    ann.send()
    expect(ann.address == "/privacy/data", "the link did not open the privacy centre")
    show.saw("A link to the address on file opened the privacy centre, once")
    copy = json.loads(ann.open("/privacy/copy.json").body)
    values = {str(v) for record in copy["records"] for v in record["values"].values()}
    expect(ANN["email"] in values and BEN["email"] not in values, "the copy is not this person's")
    show.saw(f"Her copy: {len(copy['records'])} records, {len(copy['consents'])} consents, nobody else's data")

    stop = next(
        (
            p.id
            for p in system.policy.purposes.values()
            if (p.direct and p.parent not in system.policy.purposes)
            or (p.direct and not system.policy.purposes[p.parent or p.id].direct)
        ),
        None,
    )
    if stop:
        ann.open("/privacy/object")
        ann.send("/privacy/object", purpose=stop)
        expect(ann.answer.status == 200, "the objection was not taken")
        object_holds(stage, tenant, sid)
    erase(stage, ann, tenant, sid, values)


def object_holds(stage: Stage, tenant: str, sid: bytes) -> None:
    """After the objection a queued issue is refused at the moment of sending."""
    system = stage.system
    template = next((t.id for t in system.policy.templates.values() if t.kind == "marketing"), None)
    if template:
        post_issue(system, tenant, sid, template)
        settle(system)
        refused = system.inspector.inspection().entries("message.refused")
        expect(any(e.facts.get("template") == template for e in refused), "a message went out after an objection")
    stage.show.saw("Her objection holds: the next newsletter was refused at the moment of sending")


def settle(system: Running, seconds: float = 20.0) -> None:
    """Wait until no message is on its way any more."""
    from sqlalchemy import func, select

    from troth.store.tables import messages

    waiting = select(func.count()).where(messages.c.state.in_(("queued", "sending")))
    until = time.monotonic() + seconds
    while system.store.read(lambda c: c.execute(waiting).scalar()):
        expect(time.monotonic() < until, "messages are still waiting to be sent")
        time.sleep(0.01)


def erase(stage: Stage, ann: Visitor, tenant: str, sid: bytes, values: set[str]) -> None:
    """Erase, receive the certificate, and search every file for what was held."""
    from troth.evidence.checks.keeping import data_files, holds_any

    system, show = stage.system, stage.show
    settle(system)
    before = len(stage.box.letters)
    ann.open("/privacy/erase")
    began = time.perf_counter()
    ann.send("/privacy/erase", sure="yes")
    took = (time.perf_counter() - began) * 1000
    expect(ann.answer.status == 200, "the erasure was not taken")
    look = system.vault.look(tenant, sid)
    expect(not look.keys and not look.tags, "keys are left after the erasure")
    show.saw(f"Erased in {took:.0f} ms: 0 keys and 0 index entries found again on a new connection")
    if "erase.certificate" in system.policy.templates:
        stage.letter(before)
        show.saw("The certificate arrived; its address was sealed before the keys died")
    settle(system)
    own = {value.encode() for value in values & set(ANN.values())}  # not choices that the policy itself spells out
    where = [file.name for file in data_files(system.inspector.inspection()) if holds_any(file, own)]
    expect(not where, f"values are left in {', '.join(where)}")
    show.saw("No value of hers in any file of the data folder")
    other = system.vault.find(tenant, "email", BEN["email"])
    expect(other and system.vault.look(tenant, other).keys, "somebody else was erased too")
    show.saw("Ben's data is untouched")
