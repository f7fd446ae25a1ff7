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
    from troth.use.campaign import Campaign
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
NEW_PHONE = "+353 1 555 0199"
CLEO = {
    "email": "cleo.marsh-adeyemi@example.org",
    "first": "Cleopatra",
    "last": "Marsh-Adeyemi",
    "name": "Cleopatra Marsh-Adeyemi",
    "phone": "+353 1 555 0115",
    "phone_number": "+353 1 555 0115",
    "company": "Adeyemi Sailmakers",
    "purpose": "A patient at the one, a parent at the other",
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
    browse(stage)

    points = [p for p in policy.points.values() if f"{p.id}.confirm" in policy.templates]
    for person, visitor, values in (("Ben", ben, BEN), ("Annabeth", ann, ANN)):
        show.heading(f"{person} fills in forms")
        for point in points:
            submit(stage, visitor, point, values)
    visit(stage, ben)
    sign_in(stage, ben)

    tenant, address = system.config.tenant, ANN["email"]
    sid = system.vault.find(tenant, "email", address)
    expect(sid, "the person cannot be found after confirming")
    assert sid is not None
    read_for_purposes(stage, tenant, sid, points)
    ask_as_product(stage)
    newsletter(stage, tenant, sid)
    keep_apart(stage)
    exercise(stage, ann, ben, tenant, sid)


def browse(stage: Stage) -> None:
    """Somebody comes by at the vendor's website, is asked, and says no."""
    hosting = stage.system.hosting
    if not (hosting.hosts and hosting.site().choices.asked):
        return
    guest, host = Visitor(stage.port, hosting.hosts[0]), hosting.hosts[0]
    guest.open("/")
    expect(guest.answer.status == 200 and "troth-banner" in guest.answer.text, f"{host} does not ask")
    expect(not guest.cookies, f"{host} leaves something in a browser before anybody has chosen")
    guest.send("/troth/choices", answer="none")
    expect(len(guest.cookies) == 1, "a no leaves more than the one cookie that remembers it")
    expect("troth-banner" not in guest.answer.text, f"{host} asks again after a no")
    stage.show.saw(f"{host} asks before anything is kept; a no leaves one cookie, the same as everybody's who refused")


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


def visit(stage: Stage, ben: Visitor) -> None:
    """Look at pages: refused, then agreed; only the second is remembered, until it is taken back."""
    rules = stage.system.visits.rules()
    if rules is None or rules.ask is None or not stage.system.hosting.site().choices.asked:
        return
    stranger = Visitor(stage.port, stage.host)
    expect(stranger.say(page="/") == 204 and not stranger.cookies, "a visitor who chose nothing got a cookie")
    for granted in ("", rules.ask.purpose):
        answer(ben, granted)
        expect(ben.say(page="/") == 204 and ben.say(page="/downloads") == 204, "a visit was not taken")
        expect(bool(granted) == ("troth_visitor" in ben.cookies), "a browser is recognised against its choice")
    stage.show.saw("Ben said no, and his visits left nothing; he said yes, and they are kept under a random number")
    answer(stranger, rules.ask.purpose)
    expect(stranger.say(page="/") == 204, "a visit was not taken")
    number = stranger.cookies.get("troth_visitor", "")
    expect(stage.system.visitors.known(number), "a yes was not recorded")
    answer(stranger, "")
    expect("troth_visitor" not in stranger.cookies, "a no leaves the number in the browser")
    expect(not stage.system.visitors.known(number), "a no leaves the history")
    stage.show.saw(
        "Somebody else said yes, then no on the page of choices: history and number are gone, without a script"
    )


def answer(visitor: Visitor, granted: str) -> None:
    """Answer the site's questions: yes to this purpose and no to the others, or no to all of them."""
    visitor.open("/troth/choices")
    visitor.send("/troth/choices", answer="these" if granted else "none", granted=granted)


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
    correct(stage, ben)


def share(stage: Stage, ben: Visitor, ann: Visitor) -> None:
    """Ben gives Annabeth access to his account; she acts there as herself, once, and he ends it."""
    from troth.rights.delegation import declared

    terms, path = declared(stage.system.policy), "/account/delegates"
    if terms is None:
        return
    ben.open(path)
    settle(stage.system)
    before, scope = len(stage.box.letters), terms.scopes[-1]
    ben.send(path, email=ANN["email"], name=ANN["name"], own=BEN["name"], scope=scope)
    expect(ben.answer.status == 200, "access was not given")
    settle(stage.system)
    told = [to for letter in stage.box.letters[before:] for to in letter.recipients]
    expect(sorted(told) == sorted((ANN["email"], BEN["email"])), "the two were not both written to")
    ann.open(path)
    expect(BEN["name"] in ann.page.text, "access that was given is not shown to who has it")
    ann.send(f"{path}/accept", delegate=delegate_on(ann))
    place = delegate_on(ann)
    way = next((link for link in ann.page.links if f"{path}/{place}/" in link), "")
    ann.open(way)
    expect(ann.answer.status == 200 and BEN["email"] in ann.answer.text, "access that was taken up does not open")
    if scope == "act":
        ann.send(phone=BEN["phone"])
        expect(ann.answer.status == 200, "a correction in another's account was not taken")
    ben.open(path)
    ben.send(f"{path}/end", delegate=delegate_on(ben))
    expect(ann.open(way).status == 404, "access that was ended still opens")
    stage.show.saw("Ben gave Annabeth access to his account; she acted there under her own name, and he ended it")


def delegate_on(visitor: Visitor) -> str:
    """The name of the one access on the page that is looked at."""
    names = {c.attributes.get("value", "") for c in visitor.page.controls if c.name == "delegate"}
    expect(len(names) == 1, "the page shows another number of accesses than one")
    return names.pop()


def correct(stage: Stage, ben: Visitor) -> None:
    """Correct a telephone number: the new one is served from then on, and nothing else."""
    system = stage.system
    uses = [(p, u, f.name) for p in system.policy.points.values() for u in p.uses for f in p.fields]
    phones = (x for x in uses if x[1].basis == "contract" and x[2] in x[1].fields and x[2].startswith("phone"))
    point, use, name = next((x for x in phones if f"{x[0].id}.confirm" in system.policy.templates), (None, None, ""))
    if point is None or use is None:
        return
    ben.open(f"/privacy/correct/{point.id}")
    ben.send(f"/privacy/correct/{point.id}", **{name: NEW_PHONE})
    expect(ben.answer.status == 200, "the correction was not taken")
    sid = system.vault.find(system.config.tenant, "email", BEN["email"])
    served = system.gate.open(use.purpose).read(system.config.tenant, sid or b"", frozenset({name})).values
    expect(served == {name: NEW_PHONE}, "the old telephone number is still served")
    stage.show.saw("He corrected his telephone number; the old one is served no more")


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


def keep_apart(stage: Stage) -> None:
    """One person at two tenants: two persons, each told of their own controller, neither found from elsewhere."""
    show, system = stage.show, stage.system
    if not system.config.tenants:
        return
    show.heading("Tenants, each for its own people")
    point, email = system.policy.points["registration"], CLEO["email"]
    visitors = {}
    for name, tenant in system.config.tenants.items():
        visitor = visitors[name] = Visitor(stage.port, tenant.hosts[0])
        submit(stage, visitor, point, CLEO)
        before = len(stage.box.letters)
        visitor.open("/privacy")
        visitor.send("/privacy", email=email)
        letter = stage.letter(before)
        expect(tenant.controller.name in letter.text, f"a letter of {name} does not name its controller")
        visitor.open(link_in(letter, "/privacy/open/"))
        visitor.send()
        expect(visitor.address == "/privacy/data", f"the centre at {name} did not open")
    found = {system.vault.find(name, "email", email) for name in visitors} - {None}
    expect(len(found) == len(visitors), "one person at two tenants is not two persons")
    expect(system.vault.find(system.config.tenant, "email", email) is None, "a tenant's person is found as ours")
    first, second = list(visitors.values())[:2]
    second.cookies = dict(first.cookies)
    second.open("/privacy/data")
    expect(second.address == "/privacy", "a session of one tenant opened something at the other's host")
    show.saw("The same address at two tenants is two persons; a session of one opens nothing at the other")


def newsletter(stage: Stage, tenant: str, sid: bytes) -> None:
    """One issue to everybody who agreed, by a declared template, with a link that stops it."""
    system, show = stage.system, stage.show
    template = next((t for t in system.policy.templates.values() if t.kind == "marketing"), None)
    if template is None:
        return
    missing = system.campaigns.ready(tenant)
    if missing:
        show.saw(f"No newsletter goes out while this is missing: {', '.join(missing)}")
        return
    letter = next((one for one in issue(stage, tenant, template.id) if ANN["email"] in one.recipients), None)
    expect(letter, "the newsletter did not arrive")
    assert letter is not None
    stage.show.mail(letter)
    expect("List-Unsubscribe" in letter.message, "a marketing message has no unsubscribe header")
    show.saw("A newsletter arrived, with a link and headers that stop it with one click")


def send_issue(system: Running, tenant: str, template: str) -> Campaign:
    """Send one issue off, to everybody whom the gate gives."""
    campaigns = system.campaigns
    draft = campaigns.draft(tenant, template, "Spring backups", "Test your restores before you need them.")
    return campaigns.begin(tenant, draft.id, "system")


def issue(stage: Stage, tenant: str, template: str) -> list[Letter]:
    """Send one issue off, and wait until all of it has gone: the letters."""
    system = stage.system
    settle(system)
    before = len(stage.box.letters)
    campaign, until = send_issue(system, tenant, template), time.monotonic() + 20
    while system.campaigns.get(tenant, campaign.id).queued_ms is None:
        expect(time.monotonic() < until, "an issue was not sent off")
        time.sleep(0.01)
    settle(system)
    return stage.box.letters[before:]


def exercise(stage: Stage, ann: Visitor, ben: Visitor, tenant: str, sid: bytes) -> None:
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
    share(stage, ben, ann)

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
    set_aside(stage, ann, tenant, sid)
    erase(stage, ann, tenant, sid, values)


def set_aside(stage: Stage, ann: Visitor, tenant: str, sid: bytes) -> None:
    """Set the data aside, be refused what needs it, and take it up again."""
    from troth.errors import Denied

    system = stage.system
    if "restriction" not in system.policy.rights:
        return
    before = len(stage.box.letters)
    ann.open("/privacy/restrict")
    ann.send("/privacy/restrict", ground="accuracy")
    expect(ann.answer.status == 200, "the data was not set aside")
    use = next(u for u in system.policy.uses if u.basis == "contract" and not u.survives)
    try:
        system.gate.open(use.purpose).read(tenant, sid, frozenset(sorted(use.fields)[:1]))
    except Denied:
        pass
    else:
        raise Failed("data that is set aside was used")
    if "rights.restricted" in system.policy.templates:
        stage.letter(before)
    ann.send("/privacy/restrict/lift")
    stage.show.saw("She set her data aside: kept, and refused to every use but her rights; then she took it up again")


def object_holds(stage: Stage, tenant: str, sid: bytes) -> None:
    """After the objection the next issue goes to others, and not to her."""
    system = stage.system
    template = next((t.id for t in system.policy.templates.values() if t.kind == "marketing"), None)
    if template is None or system.campaigns.ready(tenant):
        return
    got = [recipient for letter in issue(stage, tenant, template) for recipient in letter.recipients]
    expect(ANN["email"] not in got, "a message went out after an objection")
    stage.show.saw("Her objection holds: the next newsletter went to others, and not to her")


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
