"""A system with something of everything in it, the way out of it and into another, and what must be equal after."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from tests.clauses.vendor import BEGIN, TENANT, Person, Vendor
from troth.cli.setting import demonstration_config
from troth.config import Config
from troth.errors import Denied
from troth.evidence.words import read_words
from troth.store import Write
from troth.store.moving.manifest import Manifest
from troth.store.tables import subjects
from troth.store.writer import Idempotency
from troth.use import totp
from troth.vault.moving.arriving import Arriving
from troth.vault.moving.export import Export, check
from troth.vault.moving.leaving import leave
from troth.web.running import Running, start
from troth.world import SetClock, SystemRandomness

PHRASE = "nine boxes and a lamp on the stair"
STAFF_PHRASE = "seven grey herons on the weir"
ONCE = Idempotency("test", bytes(32), bytes(32))


@dataclass
class Lived:
    """Who lived in the system, and what they hold in their hands."""

    ann: Person = field(default_factory=Person)  # newsletter and account
    ben: Person = field(default_factory=Person)  # objected to all advertising
    cid: Person = field(default_factory=Person)  # objected, then was erased
    dot: Person = field(default_factory=Person)  # has not confirmed yet: her letter waits in the queue
    eve: Person = field(default_factory=Person)  # withdrew
    fay: Person = field(default_factory=Person)  # had her data set aside
    sids: dict[str, bytes] = field(default_factory=dict)
    receipts: list[tuple[str, bytes]] = field(default_factory=list)
    secret: bytes = b""  # of an operator's app
    key: str = ""  # of a product
    unsubscribe: str = ""  # the token in a letter that Ann keeps

    @property
    def markers(self) -> set[str]:
        """What may stand nowhere in plain."""
        return {one for who in (self.ann, self.ben, self.cid, self.dot, self.eve, self.fay) for one in who.markers}


def live(vendor: Vendor) -> Lived:
    """Something of everything happens."""
    lived, system = Lived(), vendor.system
    lived.sids["ann"] = vendor.join("newsletter", lived.ann)
    vendor.join("registration", lived.ann)
    lived.sids["ben"] = vendor.join("newsletter", lived.ben)
    lived.sids["cid"] = vendor.join("newsletter", lived.cid)
    lived.sids["eve"] = vendor.join("registration", lived.eve)
    vendor.issues(lived.sids["ann"], lived.ann.email)
    lived.unsubscribe = vendor.token(lived.ann.email, "/unsubscribe/")
    lived.sids["fay"] = vendor.join("newsletter", lived.fay)
    system.restrictions.restrict(TENANT, lived.sids["fay"], "accuracy")
    system.holds.set(TENANT, lived.sids["fay"], "law", 90, actor="system")
    system.objections.object(TENANT, lived.sids["ben"], "marketing")
    system.objections.object(TENANT, lived.sids["cid"], "newsletter")
    assert system.erasures.erase(TENANT, lived.sids["cid"]).state == "gone"
    system.gate.open("account").read(TENANT, lived.sids["ann"], frozenset({"email", "phone"}))
    token = system.operators.first("oda")
    invited = system.operators.invited(token)
    lived.secret, sealed = system.sign_in.new_secret(invited)
    code = totp.code(lived.secret, totp.step_at(system.clock.now()))
    system.sign_in.join_by_password(token, STAFF_PHRASE, sealed, code, "a cookie of the old house")
    _, lived.key = system.products.create(TENANT, "desktop", surface="product:desktop")
    assert system.store.write(Write(lambda tx: b"the first answer", key=ONCE)) == b"the first answer"
    vendor.letters()
    system.retention.run()
    system.store.publish()
    for line in system.receipts.of_person(TENANT, lived.sids["ann"]):
        page = system.receipts.page(TENANT, lived.sids["ann"], line.entry, "Recorded.", read_words("en"), "")
        lived.receipts.append((line.entry, page.encode()))
    vendor.submit("newsletter", lived.dot)
    return lived


def export(system: Running, folder: Path, *, final: bool = True) -> Manifest:
    """Out."""
    return leave(system.store, system.vault, system.config, folder, PHRASE, final=final)


def looked_through(folder: Path, passphrase: str = PHRASE) -> Export:
    """The export, if it holds."""
    return check(folder, passphrase, SystemRandomness())


def bring(folder: Path, config: Config, clock: SetClock | None = None) -> int:
    """In; how many records were opened as a sample."""
    with Arriving(looked_through(folder), config, clock or SetClock(BEGIN), SystemRandomness()) as place:
        place.write()
        opened = place.compare()
        place.finish()
    return opened


def config_at(folder: Path, port: int = 9, urls: tuple[str, str] = ("", "")) -> Config:
    """A new place with the policy in it."""
    from tests.clauses.vendor import example

    folder.mkdir(mode=0o700)
    (folder / "policy.md").write_text(example(), "utf-8")
    return demonstration_config(folder, 0, port, *urls)


def begin(config: Config, now: int = BEGIN) -> Running:
    """The system in a place."""
    return start(config, clock=SetClock(now))


def hashes(manifest: Manifest) -> dict[str, str]:
    """The SHA-256 of every table's file."""
    return {file.name: file.sha256 for file in manifest.files if file.rows is not None}


# --- what must be equal ---


def board(system: Running) -> dict[str, str]:
    """The status of each clause."""
    return {row.clause: row.status for row in system.inspector.now().rows}


def decisions(system: Running) -> dict[tuple[Any, ...], Any]:
    """For every declared use: of whom the fields may be taken, or why of nobody."""
    found: dict[tuple[Any, ...], Any] = {}
    for use in system.policy.uses:
        about = (use.purpose, use.channel, use.recipient, tuple(sorted(use.fields)), tuple(sorted(use.guards)))
        opening = system.gate.open(
            use.purpose, channel=use.channel, recipient=use.recipient, evidence=frozenset(use.guards)
        )
        try:
            scanned = opening.scan(TENANT, use.fields)
            found[about] = hashlib.sha256(b"".join(sorted(scanned._members))).hexdigest(), scanned.count
        except Denied as denied:
            found[about] = denied.clause, denied.gaps
    return found


def one_by_one(system: Running) -> dict[tuple[Any, ...], Any]:
    """Every person for every purpose, with and without a channel: the values, or what is missing."""
    people = system.store.read(
        lambda c: [bytes(s) for s in c.execute(select(subjects.c.sid).order_by(subjects.c.sid)).scalars()]
    )
    asked = {
        (use.purpose, channel, tuple(sorted(use.fields))) for use in system.policy.uses for channel in (None, "email")
    }
    found: dict[tuple[Any, ...], Any] = {}
    for sid in people:
        for purpose, channel, fields in sorted(asked, key=str):
            opening = system.gate.open(purpose, channel=channel)
            try:
                found[sid, purpose, channel, fields] = dict(opening.read(TENANT, sid, frozenset(fields)).values)
            except Denied as denied:
                found[sid, purpose, channel, fields] = denied.clause, denied.gaps
    return found
