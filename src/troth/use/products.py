"""A product that keeps its own table of accounts asks here before it uses an entry, and a no stops it.

The product knows a person by its own id, the *reference*. We keep that id sealed, found by a keyed hash, and answer
from the person's choices and the policy. Every answer's entry is durable before the answer leaves; an unknown
reference is answered like a person of whom nothing was collected: no. Clause: ``purpose.provide``. Mechanism:
``product.ask``.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from sqlalchemy import RowMapping, bindparam, insert, select, update

from troth.collect.forms import CONTROLS, SPACES, clean, point_of
from troth.errors import Busy, Denied, Invalid, NotFound, Unproven
from troth.notice.shown import notice_for
from troth.notice.versions import Versions
from troth.policy.model import Terms
from troth.store import DataTx, Lane, Store, Write
from troth.store.engine import driver
from troth.store.ledger import EntryDraft
from troth.store.links import new_token
from troth.store.tables import products
from troth.use.gate import Gate, Opening, Weighed
from troth.use.verdicts import Refused
from troth.vault import NewRecord, Vault

POINT = "account.reference"
KIND = "reference"
SCOPES = ("subjects", "decisions", "rights")  # what a product that keeps its own table of accounts does
ALL_SCOPES = (*SCOPES, "suppressions")  # and what a newsletter tool does that is kept
ACTIVE, CLOSED = "product.reported", "account.closed"  # the events that keeping refers to
PREFIX = "troth_"  # so that a key that leaks into a repository is recognised by scanners
MOST_FIELDS = 100
MOST_REFERENCE = 200
# Any text on one line without outer space. U+FFFD is what a server puts where a path was not UTF-8: with it, two
# references would become one. Published in the schema, checked here.
_INNER = rf"{CONTROLS}\t\n\r\u2028\u2029\ufffd"
REFERENCE_PATTERN = f"[^{_INNER}{SPACES}]([^{_INNER}]*[^{_INNER}{SPACES}])?"
_IS_REFERENCE = re.compile(REFERENCE_PATTERN)
TRIES = 3

INSERT = insert(products)
ALL = select(products).where(products.c.tenant == bindparam("of_tenant")).order_by(products.c.created_ms)
BY_KEY = select(products).where(products.c.key_hash == bindparam("of_hash"), products.c.ended_ms.is_(None))
BY_ID = select(products).where(products.c.id == bindparam("of_id"), products.c.ended_ms.is_(None))
END = (
    update(products)
    .where(products.c.id == bindparam("of_id"), products.c.ended_ms.is_(None))
    .values(ended_ms=bindparam("at"))
)
GENERATION = "SELECT generation, mode FROM subjects WHERE tenant = ? AND sid = ?"


@dataclass(frozen=True)
class Product:
    """One of the vendor's own systems that may ask."""

    id: bytes
    tenant: str
    name: str
    scopes: frozenset[str]
    surface: str | None = None

    @property
    def actor(self) -> str:
        """As it stands in the ledger."""
        return f"product:{self.id.hex()}"


class Registered(msgspec.Struct, frozen=True):
    """The answer to a registration. ``entry`` is the ledger entry's id, hex."""

    created: bool
    entry: str


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question: may this account's fields be used for this purpose (over this channel)?"""

    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_REFERENCE)]
    purpose: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    fields: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=200)], ...], msgspec.Meta(min_length=1, max_length=MOST_FIELDS)
    ]
    channel: Annotated[str, msgspec.Meta(max_length=100)] | None = None


class Decided(msgspec.Struct, frozen=True):
    """The answer. ``clauses`` carried it or came closest, ``gaps`` is what is missing, ``entry`` its id in hex."""

    allowed: bool
    clauses: tuple[str, ...]
    gaps: tuple[str, ...]
    entry: str


@dataclass(frozen=True)
class _Answer:
    """A decision before it is recorded, and what it was made about."""

    allowed: bool
    clauses: tuple[str, ...]
    gaps: tuple[str, ...]
    purpose: str
    fields: int
    sid: bytes | None
    generation: int
    mode: str
    opening: bytes | None


class Products:
    """Keys of products, their references, and the answers to their questions."""

    def __init__(self, store: Store, vault: Vault, versions: Versions, gate: Gate) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.gate = gate
        self._generation = store.data.sql(GENERATION)

    # --- keys ---

    def create(
        self,
        tenant: str,
        name: str,
        *,
        surface: str | None = None,
        scopes: Collection[str] = SCOPES,
        actor: str = "system",
    ) -> tuple[Product, str]:
        """A new product and its key, which covers these scopes. The key is told once: only its hash is kept."""
        name = name.strip()
        if not name or len(name) > 200 or not name.isprintable():
            raise Invalid("a product has a name of at most 200 characters", gaps=("/name: does not fit",))
        if not scopes or not set(scopes) <= set(ALL_SCOPES):
            raise Invalid(f"a product may do some of: {', '.join(ALL_SCOPES)}", gaps=("/may: does not fit",))
        if set(scopes) & set(SCOPES):
            surface = surface or next(iter(point_of(self.versions.current(), POINT).surfaces), None)
        key = PREFIX + new_token(self.store.randomness)
        product = Product(self.store.randomness.bytes(16), tenant, name, frozenset(scopes), surface)

        def body(tx: DataTx) -> None:
            tx.append(
                EntryDraft(
                    "product.created",
                    "purpose.provide",
                    "product.ask",
                    actor,
                    facts={"product": product.id.hex(), "surface": surface or "", "scopes": sorted(scopes)},
                )
            )
            tx.execute(
                INSERT,
                {
                    "id": product.id,
                    "tenant": tenant,
                    "name": name,
                    "key_hash": key_hash(key),
                    "scopes": msgspec.json.encode({"scopes": sorted(scopes), "surface": surface}).decode(),
                    "created_ms": tx.now,
                },
            )

        self.store.write(Write(body=body))
        return product, key

    def end(self, product: bytes, *, actor: str = "system") -> bool:
        """End a product: its key proves nothing from here on. False if it was ended before."""

        def body(tx: DataTx) -> bool:
            if not tx.execute(END, {"of_id": product, "at": tx.now}).rowcount:
                return False
            facts = {"product": product.hex()}
            tx.append(EntryDraft("product.ended", "purpose.provide", "product.ask", actor, facts=facts))
            return True

        return self.store.write(Write(body=body))

    def all(self, tenant: str) -> list[tuple[Product, int | None]]:
        """Every product of a tenant, and when it was ended."""
        rows = self.store.read(lambda connection: connection.execute(ALL, {"of_tenant": tenant}).mappings().all())
        return [(_product(row), row["ended_ms"]) for row in rows]

    def prove(self, key: str, tenant: str | None = None) -> Product:
        """The product behind a key; ``Unproven`` for any other text, and for another tenant's key."""
        row = self.store.read(
            lambda connection: connection.execute(BY_KEY, {"of_hash": key_hash(key)}).mappings().first()
        )
        if row is None or tenant not in (None, row["tenant"]):
            raise Unproven("this product key is not known, or no longer: ask an administrator for a new one")
        return _product(row)

    def active(self, id_: bytes) -> Product | None:
        """The product of this id; None where there is none, or its key has ended."""
        row = self.store.read(lambda connection: connection.execute(BY_ID, {"of_id": id_}).mappings().first())
        return None if row is None else _product(row)

    def named(self, tenant: str, name: str) -> Product | None:
        """The product of this name or id (hex) whose key has not ended, if there is exactly one."""
        found = [one for one, ended in self.all(tenant) if ended is None and name in (one.name, one.id.hex())]
        return found[0] if len(found) == 1 else None

    # --- accounts ---

    def register(self, product: Product, reference: str, *, active: bool = True) -> Registered:
        """Say that this account exists and is in use, or (``active`` False) that it has ended. Repeating is harmless.

        ``Invalid`` where the reference does not fit, ``Denied`` where the product's surface does not collect here.
        """
        policy = self.versions.current(product.tenant)
        point = point_of(policy, POINT)
        values, faults = clean(point, {KIND: reference})
        if faults or KIND not in values or not _IS_REFERENCE.fullmatch(reference):
            raise Invalid("the reference does not fit", clause=point.clause, gaps=("/reference: does not fit",))
        surface = product.surface or next(iter(point.surfaces), "")
        if point.surfaces and surface not in point.surfaces:
            raise Denied("this product's surface does not collect accounts", clause="scope.services")
        reference = values[KIND]
        event = ACTIVE if active else CLOSED
        sid = self.find(product.tenant, reference)
        if sid is None and not active:
            raise NotFound("there is no account under this reference", clause=point.clause)
        facts = {"point": POINT, "surface": surface, "control": "api"}

        def report(tx: DataTx, subject: bytes, opening: bytes) -> Registered:
            draft = EntryDraft("product.reported", point.clause, "product.ask", product.actor, facts={"event": event})
            entry = tx.append(draft, opening)
            self.vault.happen(tx, product.tenant, subject, event, policy)
            return Registered(False, entry.eid.hex())

        if sid is not None:
            known, secret = sid, self.vault.opening(product.tenant, sid)
            return self.store.write(Write(body=lambda tx: report(tx, known, secret)))

        terms = Terms(policy.controller.name, surface, POINT, policy.version)
        records = [NewRecord(class_, terms, dict(values)) for class_, f in sorted(point.classes().items()) if KIND in f]
        staged = self.vault.stage(product.tenant, identifiers={KIND: reference}, records=records, pending=False)
        notice = notice_for(policy, point).sha256

        def body(tx: DataTx) -> Registered:
            if staged.adopted:  # the same reference came twice at once: the other one brought the rows
                return report(tx, staged.sid, staged.opening)
            entry = tx.append(
                EntryDraft(
                    "intake.accepted",
                    point.clause,
                    "intake.declared",
                    product.actor,
                    facts=facts | {"notice": notice, "fields": [KIND]},
                ),
                staged.opening,
            )
            staged.insert(tx, entry.eid)
            self.vault.happen(tx, product.tenant, staged.sid, event, policy)
            return Registered(True, entry.eid.hex())

        return self.store.write(Write(before=staged.before, body=body))

    def find(self, tenant: str, reference: str) -> bytes | None:
        """Whose reference this is, confirmed by the sealed record itself (the index alone may be mistaken)."""
        reference = unicodedata.normalize("NFC", reference)  # as it is kept
        try:
            sid = self.vault.find(tenant, KIND, reference)
        except Invalid:
            return None
        if sid is None:
            return None
        for row in self.gate.fetch(tenant, sid):
            if row[6] is None or self.gate.terms[row[7]].point != POINT:
                continue
            try:
                if self.gate.open_row(tenant, row).get(KIND) == reference:
                    return sid
            except NotFound:  # erased just now
                return None
        return None

    def reference_of(self, tenant: str, sid: bytes) -> str | None:
        """By which reference products know this person; None where none has made them known."""
        for row in self.gate.fetch(tenant, sid):
            if row[6] is None or self.gate.terms[row[7]].point != POINT:
                continue
            try:
                return str(self.gate.open_row(tenant, row).get(KIND) or "") or None
            except NotFound:  # erased just now
                return None
        return None

    # --- questions ---

    def decide(self, product: Product, asked: Asked) -> Decided:
        """Answer one question; the entry is durable when this returns."""
        return self.decide_many(product, (asked,))[0]

    def decide_many(self, product: Product, questions: Sequence[Asked]) -> list[Decided]:
        """Answer several questions with one write; each has its own entry."""
        for _ in range(TRIES):
            answers = self._answers(product, questions)
            decided = self.store.write(self._record(product, answers))
            if decided is not None:
                return decided
        raise Busy("these accounts keep changing: ask again")

    async def adecide(self, product: Product, asked: Asked) -> Decided:
        """As ``decide``, on an event loop."""
        for _ in range(TRIES):
            answers = await self.gate.off_loop(lambda: self._answers(product, (asked,)))
            decided = await self.store.awrite(self._record(product, answers))
            if decided is not None:
                return decided[0]
        raise Busy("this account keeps changing: ask again")

    def _answers(self, product: Product, questions: Sequence[Asked]) -> list[_Answer]:
        self.store.require_available(Lane.WRITE)
        openings: dict[tuple[str, str | None], Opening] = {}
        answers = []
        for asked in questions:
            if len(asked.fields) > MOST_FIELDS:
                raise Invalid("too many fields", gaps=(f"/fields: at most {MOST_FIELDS}",))
            of = (asked.purpose, asked.channel)
            opening = openings.get(of)
            if opening is None:
                opening = openings[of] = self.gate.open(asked.purpose, channel=asked.channel, actor=product.actor)
            answers.append(self._answer(product, opening, asked.reference, asked.fields))
        return answers

    def _answer(self, product: Product, opening: Opening, reference: str, fields: Collection[str]) -> _Answer:
        sid = self.find(product.tenant, reference)
        told: Weighed | Refused = Refused((), (f"record:{POINT}",))
        secret = None
        if sid is not None:
            try:
                secret = self.vault.opening(product.tenant, sid)
                told = opening.weigh(product.tenant, sid, frozenset(fields))
            except NotFound:  # erased just now
                sid = None
        if isinstance(told, Refused):
            told = self.gate.told(told)
        read = told.read if isinstance(told, Weighed) else None
        return _Answer(
            read is not None,
            told.clauses,
            () if isinstance(told, Weighed) else told.gaps,
            self.gate.purpose_told(opening.ask.purpose),
            len(fields),
            sid,
            read.generation if read else 0,
            read.mode if read else "",
            secret,
        )

    def _record(self, product: Product, answers: list[_Answer]) -> Write[list[Decided] | None]:
        """One entry an answer. A yes about somebody who changed meanwhile is taken back, with all that came with it."""

        def body(tx: DataTx) -> list[Decided] | None:
            raw = driver(tx.connection)
            for answer in answers:
                if answer.allowed:
                    row = raw.execute(self._generation, (product.tenant, answer.sid)).fetchone()
                    if row is None or tuple(row) != (answer.generation, answer.mode):
                        return None
            return [self._entry(tx, product, answer) for answer in answers]

        return Write(body=body)

    def _entry(self, tx: DataTx, product: Product, answer: _Answer) -> Decided:
        entry = tx.append(
            EntryDraft(
                kind="decision.made",
                clause=answer.clauses[0] if answer.clauses else "scope.closed-list",
                mechanism="product.ask",
                actor=product.actor,
                purpose=answer.purpose,
                facts={
                    "allowed": answer.allowed,
                    "clauses": list(answer.clauses),
                    "gaps": list(answer.gaps),
                    "fields": answer.fields,
                },
            ),
            answer.opening,
        )
        return Decided(answer.allowed, answer.clauses, answer.gaps, entry.eid.hex())


def key_hash(key: str) -> bytes:
    """What is stored of a key: its SHA-256. A key is 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _product(row: RowMapping) -> Product:
    kept = msgspec.json.decode(row["scopes"])
    return Product(row["id"], row["tenant"], row["name"], frozenset(kept["scopes"]), kept["surface"])
