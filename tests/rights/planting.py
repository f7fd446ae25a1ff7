"""People who have something in every kind of data that Troth holds, each with marks that nobody else has.

The kinds come from the erasers, the records from the points of the compiled policy: a new one that nothing is planted
in stops the planting. A mark is a word (in whatever a person or a product could have written) or, where a row holds no
word, a time in the summer of 2017, when nothing else happened.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import string
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from tests.clauses.vendor import TENANT, Vendor, example
from troth.cli.postbox import Postbox
from troth.cli.setting import demonstration_config
from troth.notice import brought
from troth.notice.consents import CLASS as CONSENT
from troth.notice.consents import Shown
from troth.policy.model import Field, State, Stop, Terms
from troth.rights.access import Copy, as_json
from troth.rights.erasers import ERASERS
from troth.store import Write, links
from troth.store import tables as t
from troth.store.ledger import EntryDraft
from troth.store.tables.shapes import data, keys
from troth.store.writer import DataTx, KeyTx
from troth.use import person_sessions
from troth.use.devices import Device
from troth.use.sessions import cookie_hash
from troth.vault import NewRecord, Staged
from troth.web.running import Running, start

MARK = re.compile(r"mk[a-z]{14}")
TIME = re.compile(r"\b15\d{11}\b")
SUMMER = 1_500_000_000_000
ACCOUNT = person_sessions.CLASS
LATER = 4_000_000_000_000
GROWING = {"ledger", "jobs", "idempotency", "read_blocks", "runs", "erasures", "guards"}
GROWING |= {"links", "messages", "states"}  # links without a person, certificates, a state that nobody had before
"""Tables to which an erasure adds, in nobody's name."""
MOVING = {"tree", "heads", "jobs"}
"""Tables whose rows are about the system as it stands now."""
MARKED = "shed_ms"
"""The mark of a bucket in which a key was destroyed: the one thing that changes in it, and no part of any key."""


def mark() -> str:
    """A word that stands nowhere by chance."""
    return "mk" + "".join(secrets.choice(string.ascii_lowercase) for _ in range(14))


@dataclass
class Planted:
    """One person: what their copy must tell, and what is theirs besides."""

    number: int
    sid: bytes = b""
    email: str = ""
    told: set[str] = field(default_factory=set)  # words
    times: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)  # words that a copy has no place for

    def word(self) -> str:
        """Another mark of theirs, to be told."""
        made = mark()
        self.told.add(made)
        return made

    def time(self) -> int:
        """Another time of theirs, to be told."""
        made = SUMMER + self.number * 100 + len(self.times)
        self.times.add(str(made))
        return made


class OnPostgreSQL(Vendor):
    """The vendor with D in one cluster and K in another."""

    def __init__(self, folder: Path, box: Postbox, urls: tuple[str, str]) -> None:
        self.urls = urls
        super().__init__(folder, box, example())

    def _start(self) -> Running:
        return start(demonstration_config(self.folder, 0, self.box.port, *self.urls), clock=self.clock)


class Planting:
    """Plants people, a hundred in a transaction."""

    def __init__(self, system: Running) -> None:
        self.system = system
        self.policy = system.policy
        self.product, _ = system.products.create(TENANT, "desktop")
        self.campaign = secrets.token_bytes(16)
        row: dict[str, Any] = {"id": self.campaign, "tenant": TENANT, "template": "newsletter.issue"}
        row |= {
            "subject": "Hello",
            "source": "Hello",
            "digest": "0" * 64,
            "state": "draft",
            "made_ms": system.clock.now(),
        }
        system.store.write(Write(lambda tx: tx.execute(insert(t.campaigns), row).rowcount))
        wanted = {eraser.id for eraser in ERASERS if eraser.rows} | {"objections", "keys", "index"}
        if wanted != set(KINDS):
            raise LookupError(f"nothing is planted in {sorted(wanted ^ set(KINDS))}: tests/rights/planting.py")

    def people(self, count: int, at_once: int = 100) -> list[Planted]:
        """So many people, durable when this returns."""
        people = [Planted(number) for number in range(count)]
        for first in range(0, count, at_once):
            self._plant(people[first : first + at_once])
        return people

    def _plant(self, people: list[Planted]) -> None:
        staged = [self._stage(person) for person in people]
        letters = [self._sealed(person) for person in people]
        objected = [secrets.token_bytes(16) for _ in people]
        stop = Stop("marketing")

        def before(ktx: KeyTx) -> None:
            for person, one, eid in zip(people, staged, objected, strict=True):
                one.before(ktx)
                new = f"{person.word()}@example.org"
                person.__dict__["new"] = new
                self.system.vault.settle(
                    ktx, TENANT, one.sid, "email", live=[person.email], pending=[new], expires_ms=LATER
                )
                self.system.vault.suppress(ktx, TENANT, one.sid, "marketing")
                self.system.vault.guard(ktx, eid, TENANT, one.sid, "objected", ktx.now, stops=[stop])

        def body(tx: DataTx) -> None:
            for person, one, letter, eid in zip(people, staged, letters, objected, strict=True):
                draft = EntryDraft("intake.accepted", "collect.registration", "intake.declared")
                entry = tx.append(draft, one.opening)
                draft = EntryDraft("objection.made", "rights.object-marketing", "right.object", purpose="marketing")
                tx.append(draft, one.opening, eid=eid)
                one.insert(tx, entry.eid)
                person.sid = one.sid
                for plant in KINDS.values():
                    if plant is not None:
                        plant(Bed(self, tx, person, one, entry.eid, letter))

        self.system.store.write(Write(body=body, before=before))

    def _stage(self, person: Planted) -> Staged:
        """Their keys, the address they are found by, and a record at every point that the policy declares."""
        word = person.word()
        person.email = f"{word}@example.org"
        policy = self.policy
        records = [
            NewRecord(
                class_,
                Terms(policy.controller.name, point.surfaces[0], point.id, policy.version),
                {f.name: value_of(f, person) for f in point.fields if f.name in fields},
            )
            for point in policy.points.values()
            for class_, fields in point.classes().items()
        ]
        state = State(bound=policy.version, stops=frozenset({Stop("marketing")}))
        classes = tuple({*policy.keeps, CONSENT})
        return self.system.vault.stage(
            TENANT, identifiers={"email": person.email}, records=records, pending=False, classes=classes, state=state
        )

    def _sealed(self, person: Planted) -> bytes:
        """The words of a letter, which are no part of the copy."""
        hidden = mark()
        person.hidden.add(hidden)
        return self.system.vault.transit_seal(json.dumps({"token": hidden, "language": "en"}).encode())


@dataclass
class Bed:
    """Where one person's things are planted: the transaction, their keys, the entry of their coming."""

    planting: Planting
    tx: DataTx
    person: Planted
    staged: Staged
    eid: bytes
    letter: bytes

    @property
    def of(self) -> dict[str, Any]:
        """The columns by which a row is theirs."""
        return {"tenant": TENANT, "sid": self.staged.sid}

    def row(self, table: Table, **values: Any) -> None:
        """A row of theirs."""
        self.tx.execute(insert(table), self.of | values)

    def seal(self, place: bytes, table: str, value: dict[str, Any], class_: str = ACCOUNT) -> bytes:
        """Sealed under their own key."""
        return self.staged.seal(class_, place, table, 1, value)


def value_of(field_: Field, person: Planted) -> str:
    """What this person would have written in a field."""
    if field_.choices:
        return field_.choices[0]
    return person.email if field_.category == "user.contact.email" else person.word()


def _message(bed: Bed, campaign: bytes | None) -> None:
    policy = bed.planting.policy
    template = policy.templates["newsletter.issue" if campaign else "rights.link"]
    bed.row(
        t.messages,
        id=secrets.token_bytes(16),
        template=template.id,
        purpose=template.purpose,
        variables=bed.letter,
        state="queued",
        queued_ms=bed.person.time(),
        due_ms=LATER,
        campaign=campaign,
    )


def _consents(bed: Bed) -> None:
    policy, now, cid = bed.planting.policy, bed.tx.now, secrets.token_bytes(16)
    for point in policy.points.values():
        if point.consent is None or point.consent.asked != "form":
            continue
        row = brought.row_of(
            now,
            policy,
            point.consent,
            Shown("site:www", point.id, "en", bed.person.word(), "0" * 64),
            brought.Brought(bed.person.word(), now, bed.person.word()),
            tenant=TENANT,
            sid=bed.staged.sid,
            cid=cid,
            eid=bed.eid,
            seal=lambda place, value: bed.seal(place, "consent_records", value, CONSENT),
        )
        brought.store(bed.tx, [row])


def _look(bed: Bed) -> None:
    lid = secrets.token_bytes(16)
    ct = bed.seal(lid, "looks", {"reason": bed.person.word()})
    told = {"at_ms": bed.person.time(), "role": "support", "purpose": "account", "class_": ACCOUNT}
    bed.row(t.looks, lid=lid, ct=ct, eid=bed.eid, **told)


def _request(bed: Bed) -> None:
    times = {"received_ms": bed.person.time(), "due_ms": bed.person.time(), "ended_ms": bed.tx.now}
    bed.row(t.rights_requests, id=secrets.token_bytes(16), kind="access", state="fulfilled", **times)


def _correction(bed: Bed) -> None:
    place = {"eid": secrets.token_bytes(16), "rid": bed.staged.rids[0], "point": "registration"}
    bed.row(t.corrections, fields='["phone"]', at_ms=bed.person.time(), **place)


def _states(bed: Bed) -> None:
    for name in bed.planting.policy.states:
        bed.row(t.subject_states, state=name, since_ms=bed.person.time(), until_ms=None)


def _session(bed: Bed) -> None:
    cookie = secrets.token_urlsafe(32)
    device = Device(bed.person.word(), bed.person.word(), "IE")
    sealed = bed.seal(cookie_hash(cookie)[:16], "sessions", device._asdict())
    told: dict[str, Any] = {"csrf": bytes(32), "method": "password", "proof": bed.eid, "device": sealed}
    person_sessions.start(bed.tx, cookie, TENANT, bed.staged.sid, **told)


def _passkey(bed: Bed) -> None:
    kind = "passkey.0a1b2c3d"
    key = {"name": bed.person.word(), "credential": b"credential", "key": b"key", "count": 1, "used": bed.person.time()}
    ct = bed.seal(kind.encode().ljust(16, b"\0"), "credentials", key)
    bed.row(t.credentials, kind=kind, since_ms=bed.person.time(), eid=bed.eid, ct=ct)


def _credentials(bed: Bed) -> None:
    hidden = mark()
    bed.person.hidden.add(hidden)
    seen = [[bed.person.word(), bed.person.word(), "IE", bed.person.time()]]
    for kind, content in (("password", {"hash": hidden}), ("devices", {"seen": seen})):
        ct = bed.seal(kind.encode().ljust(16, b"\0"), "credentials", content)
        since = bed.person.time() if kind == "password" else bed.tx.now
        bed.row(t.credentials, kind=kind, since_ms=since, eid=bed.eid, ct=ct)


def _restriction(bed: Bed) -> None:
    if bed.person.number % 10:  # the others have their data set aside for real
        bed.row(t.restrictions, eid=secrets.token_bytes(16), ground="accuracy", since_ms=bed.person.time())


def _hold(bed: Bed) -> None:
    """One that is over: whoever is held is not erased, which is tests/clauses/test_holding.py's to see."""
    times = {"since_ms": bed.tx.now, "set_ms": bed.tx.now, "until_ms": LATER, "ended_ms": bed.tx.now}
    bed.row(t.holds, eid=secrets.token_bytes(16), reason="claims", set_by="system", ended_by="operator", **times)


def _address(bed: Bed) -> None:
    eid = secrets.token_bytes(16)
    ct = bed.seal(eid, "address_changes", {"address": bed.person.__dict__["new"]})
    bed.row(t.address_changes, eid=eid, class_=ACCOUNT, ct=ct, asked_ms=bed.person.time(), expires_ms=LATER)


def _activity(bed: Bed) -> None:
    times = {"at_ms": bed.person.time(), "until_ms": bed.person.time()}
    bed.row(t.activity, product=bed.planting.product.id, event="licence", eid=bed.eid, **times)


def _link(bed: Bed, kind: str) -> None:
    links.make(bed.tx, secrets.token_urlsafe(32), kind, tenant=TENANT, sid=bed.staged.sid, expires_ms=LATER)


KINDS: dict[str, Callable[[Bed], None] | None] = {
    "keys": None,  # with the person
    "index": None,  # their address, and one that waits
    "records": None,  # at every point of the policy
    "objections": None,  # in their state and in the key store
    "person": None,
    "consents": _consents,
    "letters": lambda bed: _message(bed, None),
    "campaigns": lambda bed: _message(bed, bed.planting.campaign),
    "looks": _look,
    "requests": _request,
    "corrections": _correction,
    "states": _states,
    "sessions": _session,
    "passkeys": _passkey,
    "credentials": _credentials,
    "restrictions": _restriction,
    "holds": _hold,
    "address-changes": _address,
    "activity": _activity,
    "links": lambda bed: _link(bed, "centre"),
    "unsubscribing": lambda bed: _link(bed, "unsubscribe"),
}


# --- what is looked at afterwards ---


def told_wrong(copy: Copy, person: Planted) -> dict[str, set[str]]:
    """What a copy leaves out of this person's marks, and what it tells of anybody else's."""
    text = as_json(copy).decode()
    words, times = set(MARK.findall(text)), set(TIME.findall(text))
    return {
        "missing": (person.told | person.times) - words - times,
        "another's": (words | times) - person.told - person.times,
    }


def rows_of(connection: Connection, table: Table) -> Iterator[tuple[Any, ...]]:
    """Every row of a table, bytes as bytes on either store."""
    for row in connection.execute(select(*(column for column in table.c if column.name != MARKED))):
        yield tuple(bytes(cell) if isinstance(cell, memoryview) else cell for cell in row)


def picture(system: Running, but: Collection[bytes]) -> dict[str, set[bytes]]:
    """A hash of every row of both stores that is not one of these persons', by table, as it stands word for word."""
    found: dict[str, set[bytes]] = {}
    for store, read in ((data, system.store.read), (keys, system.store.read_keys)):
        for table in store.sorted_tables:
            at = list(table.c.keys()).index("sid") if "sid" in table.c else None

            def ask(connection: Connection, table: Table = table, at: int | None = at) -> set[bytes]:
                rows = rows_of(connection, table)
                return {hashlib.sha256(repr(row).encode()).digest() for row in rows if at is None or row[at] not in but}

            found[table.name] = read(ask)
    return found


def changed(before: dict[str, set[bytes]], after: dict[str, set[bytes]]) -> dict[str, tuple[int, int]]:
    """Tables whose other rows are not as they were: (gone or altered, new). Those that grow may have new ones."""
    told = {}
    for name, rows in before.items():
        lost = len(rows - after[name]) if name not in MOVING else 0
        new = len(after[name] - rows) if name not in GROWING | MOVING else 0
        if lost or new:
            told[name] = (lost, new)
    return told


def named(system: Running, sids: Collection[bytes]) -> set[str]:
    """The tables of either store in which a cell names one of these persons, as bytes or in hex."""
    hexes = {sid.hex() for sid in sids}
    found = set()
    for store, read in ((data, system.store.read), (keys, system.store.read_keys)):
        for table in store.sorted_tables:

            def ask(connection: Connection, table: Table = table) -> bool:
                return any(
                    cell in sids
                    if isinstance(cell, bytes) and len(cell) == 16
                    else bool(hexes & set(re.findall(r"[0-9a-f]{32}", text_of(cell))))
                    for row in rows_of(connection, table)
                    for cell in row
                )

            if read(ask):
                found.add(table.name)
    return found


def text_of(cell: object) -> str:
    """A cell as text, if it is one."""
    return cell if isinstance(cell, str) else cell.decode("latin-1") if isinstance(cell, bytes) else ""


def marks_in(folder: Path, people: list[Planted]) -> dict[str, str]:
    """Every mark of these people that stands in plain in a file, and where: what is sealed shows none.

    Base64 has words that look like marks now and then; they are nobody's.
    """
    pattern, theirs = re.compile(MARK.pattern.encode(), re.IGNORECASE), {m for p in people for m in p.told | p.hidden}
    return {
        found.decode().lower(): str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file()
        for found in pattern.findall(path.read_bytes())
        if found.decode().lower() in theirs
    }
