"""The one sender. Only declared templates, asked of the gate again at the moment of sending, never twice.

A message is a row that holds no address and no words. Its way: queued -> sending -> sent | refused | unknown. The
entry of intent is durable before the relay hears anything, the outcome after it has answered; what is found in
``sending`` after a crash is ``unknown`` and is never sent again by itself (promise 3). Clauses: ``rights.automated``,
``rights.object-marketing``, ``rights.unsubscribe``. Mechanisms: ``message.declared``, ``message.unsubscribe``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import bindparam, select, update

from troth.errors import Denied, Invalid, NotFound
from troth.notice.versions import Versions
from troth.policy.model import CompiledPolicy, Template
from troth.store import DataTx, Lane, Store, Write, links
from troth.store.jobs import Job, Later
from troth.store.ledger import EntryDraft
from troth.store.tables import messages, subjects, tree
from troth.use.compose import Addressee, Composer
from troth.use.gate import Gate
from troth.use.transport import Envelope, Outcome, Transport
from troth.vault import Vault
from troth.world import DAY_MS

UNDECLARED = "rights.automated"  # the clause under which a template without declaration is refused
UNSUBSCRIBE_MS = 800 * DAY_MS  # how long an unsubscribe link works: more than two years
GIVE_UP_MS = 4 * DAY_MS  # RFC 5321 4.5.4.1: give up after four or five days
FIRST_PAUSE_MS = 60_000
LONGEST_PAUSE_MS = 4 * 3_600_000
EMAIL = "user.contact.email"
PATHS: Mapping[str, str] = {"rights.link": "/privacy/open/"}
CONFIRM_PATH = "/confirm/"

ROW = select(messages).where(messages.c.id == bindparam("of_id"))
CUT_OFF = select(messages.c.id).where(messages.c.state == "sending")
MOVE = (
    update(messages)
    .where(messages.c.id == bindparam("of_id"), messages.c.state == bindparam("from_state"))
    .values(state=bindparam("to_state"), reason=bindparam("why"), eid=bindparam("by_eid"), ended_ms=bindparam("at"))
)
SHED = update(messages).where(messages.c.id == bindparam("of_id")).values(variables=None, sealed=None)
GENERATION = select(subjects.c.generation).where(
    subjects.c.tenant == bindparam("of_tenant"), subjects.c.sid == bindparam("of_sid")
)
CHECKPOINT = select(tree.c.checkpoint)
Row = dict[str, Any]
ENDED = frozenset({"sent", "refused", "unknown"})


@dataclass(frozen=True)
class Letter:
    """A message that may be sent: what goes to the relay, and what the intent must find unchanged."""

    envelope: Envelope
    template: Template
    words: str  # SHA-256 of the words as they stand in the catalogue: what was said, without whom it was said to
    generation: int | None
    token: str | None


class _Refusal(Exception):
    """Why a message is not sent: under which clause, and in a few words of ours."""

    def __init__(self, clause: str, reason: str, gaps: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.clause = clause
        self.reason = reason
        self.gaps = gaps


class Messages:
    """Sends what is queued. ``send`` is the handler of the job ``message.send``."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        gate: Gate,
        versions: Versions,
        composer: Composer,
        transport: Transport,
        *,
        paths: Mapping[str, str] = PATHS,
        urls: Mapping[str, str] | None = None,
    ) -> None:
        """``urls`` are where each tenant's links begin; where they are given, nothing goes out for anybody else."""
        self.store = store
        self.vault = vault
        self.gate = gate
        self.versions = versions
        self.composer = composer
        self.transport = transport
        self.paths = paths
        self.urls = urls
        self._lock = threading.Lock()
        self._in_hand: set[bytes] = set()

    def send(self, job: Job) -> None:
        """Send the message that the job names; ``Later`` where it has to wait. Done messages are left alone."""
        mid = bytes.fromhex(job.ref)
        with self._lock:
            if mid in self._in_hand:
                raise Later()
            self._in_hand.add(mid)
        try:
            self._send(mid, job.attempt)
        finally:
            with self._lock:
                self._in_hand.discard(mid)

    def resolve(self) -> int:
        """Before the port opens: what a crash left in ``sending`` is said to be unknown; how many there were."""
        cut_off = self.store.read(lambda connection: connection.execute(CUT_OFF).scalars().all())
        for mid in cut_off:
            with self._lock:
                if mid in self._in_hand:
                    continue
            self._end(self._row(mid), "unknown", "the sending was cut off")
        return len(cut_off)

    # --- one message ---

    def _send(self, mid: bytes, attempt: int) -> None:
        row = self._row(mid)
        if row is None or row["state"] in ENDED:
            return
        if row["state"] == "sending":
            self._end(row, "unknown", "the sending was cut off")
            return
        if row["state"] != "queued":
            return
        try:
            letter = self._write(row)
        except _Refusal as refusal:
            self._end(row, "refused", refusal.reason, clause=refusal.clause, gaps=refusal.gaps)
            return
        intent = self._intend(row, letter)
        if intent is None:
            raise Later(100)  # the person's choices changed just now: ask again
        outcome = self.transport.send(letter.envelope)
        self._conclude(row, letter, outcome, intent, attempt)

    def _row(self, mid: bytes) -> Row | None:
        found = self.store.read(lambda connection: connection.execute(ROW, {"of_id": mid}).mappings().first())
        return dict(found) if found is not None else None

    def _write(self, row: Row) -> Letter:
        """Ask whether it may be sent, open what it needs, and make it; ``_Refusal`` where it may not or cannot."""
        policy, url = self.versions.current(row["tenant"]), self._url(row["tenant"])
        template = policy.templates.get(row["template"])
        if template is None or template.purpose != row["purpose"] or template.channel != "email":
            raise _Refusal(UNDECLARED, "no clause declares this message")
        try:
            variables = self._variables(row)
            fields, generation = self._open(row, policy, template)
            address = str(fields.pop(_address_field(policy, template), ""))
            self._ask_suppression(row, policy, template, address)
            token = links.new_token(self.store.randomness) if template.kind == "marketing" else None
            language = variables.pop("language", policy.language)
            to = Addressee(
                address,
                language,
                {**{name: str(value) for name, value in fields.items()}, **variables},
                f"/unsubscribe/{token}" if token else None,
            )
            envelope = self.composer.at(url).compose(
                policy, template, to, mid=row["id"], now_ms=self.store.clock.now(), checkpoint=self._checkpoint()
            )
            return Letter(envelope, template, self._said(template, language), generation, token)
        except Denied as denied:
            raise _Refusal(denied.clause or template.clause, "denied", denied.gaps) from denied
        except NotFound as gone:
            raise _Refusal(template.clause, "what it was to say has expired") from gone
        except Invalid as fault:
            raise _Refusal(fault.clause or template.clause, fault.detail) from fault
        except KeyError as missing:
            raise _Refusal(template.clause, "its words or a value they need are missing") from missing

    def _url(self, tenant: str) -> str:
        """Where the links of this tenant's letters begin, "" for the system's own address."""
        if self.urls is None:
            return ""
        if tenant not in self.urls:
            raise _Refusal(UNDECLARED, "no such tenant is configured")  # never in the name of somebody else
        return self.urls[tenant]

    def _variables(self, row: Row) -> dict[str, str]:
        """What the queue sealed: texts, and the token of the link to click."""
        if row["variables"] is None:
            return {}
        opened = msgspec.json.decode(self.vault.transit_open(row["variables"]), type=dict[str, Any])
        values = {key: _text(value) for key, value in opened.items()}
        token, path = values.pop("token", None), values.pop("path", None)
        if token is not None:
            values["link"] = f"{path or self.paths.get(row['template'], CONFIRM_PATH)}{token}"
        return values

    def _open(self, row: Row, policy: CompiledPolicy, template: Template) -> tuple[dict[str, Any], int | None]:
        """The address and the other declared fields, through the gate, under the template's own purpose."""
        if row["sealed"] is not None:  # the person's keys are gone, as they asked: this was sealed for this message
            return {_address_field(policy, template): self.vault.transit_open(row["sealed"]).decode()}, None
        opening = self.gate.open(template.purpose, channel=template.channel, proving=template.id.endswith(".confirm"))
        answer = opening.read(row["tenant"], row["sid"] or b"", frozenset(template.fields))
        return dict(answer.values), answer.generation

    def _ask_suppression(self, row: Row, policy: CompiledPolicy, template: Template, address: str) -> None:
        """An objection outlives the data it was made about: the address itself is asked for (L17)."""
        if row["sealed"] is not None or not address:
            return
        for node in policy.ancestors(template.purpose):
            if self.vault.suppressed(row["tenant"], "email", address, node):
                raise _Refusal("rights.object-marketing", "suppressed", (f"stop:{node}",))

    def _checkpoint(self) -> str:
        """The newest head of the ledger in one line: origin, size, root."""
        note = self.store.read(lambda connection: connection.execute(CHECKPOINT).scalar())
        return " ".join(str(note or "").split("\n")[:3])

    def _said(self, template: Template, language: str) -> str:
        words = [self.composer.said(f"mail.{template.id}.{part}", language) for part in ("subject", "body")]
        return hashlib.sha256("\n".join(words).encode()).hexdigest()

    # --- what is recorded ---

    def _intend(self, row: Row, letter: Letter) -> bytes | None:
        """The entry before the relay hears anything; None if the person or the message changed meanwhile."""
        secret = self._secret(row)
        template = letter.template

        def body(tx: DataTx) -> bytes | None:
            if letter.generation is not None:
                key = {"of_tenant": row["tenant"], "of_sid": row["sid"]}
                if tx.execute(GENERATION, key).scalar() != letter.generation:
                    return None
            entry = tx.append(
                EntryDraft(
                    kind="message.sending",
                    clause=template.clause,
                    mechanism="message.declared",
                    purpose=template.purpose,
                    refers=row["eid"],
                    facts={
                        "template": template.id,
                        "class": template.kind,
                        "message": row["id"].hex(),
                        "words": letter.words,
                        "unsubscribe": letter.token is not None,
                    },
                ),
                secret,
            )
            if not self._move(tx, row["id"], "queued", "sending", entry.eid):
                raise Later(100)
            if letter.token is not None:
                links.make(
                    tx,
                    letter.token,
                    "unsubscribe",
                    tenant=row["tenant"],
                    sid=row["sid"],
                    ref=template.purpose,
                    expires_ms=tx.now + UNSUBSCRIBE_MS,
                )
            return entry.eid

        return self.store.write(Write(body=body, lane=Lane.JOB))

    def _conclude(self, row: Row, letter: Letter, outcome: Outcome, intent: bytes, attempt: int) -> None:
        state: str = outcome.kind
        if state == "deferred":
            late = self.store.clock.now() - row["queued_ms"] > GIVE_UP_MS
            state = "refused" if late else "queued"
        self._end(
            {**row, "state": "sending", "eid": intent},
            state,
            outcome.reason,
            clause=letter.template.clause,
        )
        if state == "queued":
            raise Later(min(FIRST_PAUSE_MS << min(attempt - 1, 10), LONGEST_PAUSE_MS))

    def _end(
        self,
        row: Row | None,
        state: str,
        reason: str,
        *,
        clause: str | None = None,
        gaps: tuple[str, ...] = (),
    ) -> None:
        """Record what became of it. An erased person's message has no row any more: then nobody is named."""
        if row is None:
            return
        secret = self._secret(row)
        template = self.versions.current().templates.get(row["template"])
        facts: dict[str, Any] = {"message": row["id"].hex(), "reason": reason}
        if template is not None:
            facts["template"] = template.id
        if gaps:
            facts["gaps"] = list(gaps)

        def body(tx: DataTx) -> None:
            there = tx.execute(ROW, {"of_id": row["id"]}).mappings().first()
            if there is not None and there["state"] != row["state"]:
                return  # somebody ended it before: what is recorded stands
            entry = tx.append(
                EntryDraft(
                    kind="message.deferred" if state == "queued" else f"message.{state}",
                    clause=clause or (template.clause if template else UNDECLARED),
                    mechanism="message.declared",
                    purpose=row["purpose"] if template is not None else None,
                    refers=row["eid"],
                    facts=facts,
                ),
                secret if there is not None else None,
            )
            if there is not None:
                self._move(tx, row["id"], row["state"], state, entry.eid, reason)
                if state != "queued":
                    tx.execute(SHED, {"of_id": row["id"]})  # what it said and where it went is needed no more

        self.store.write(Write(body=body, lane=Lane.JOB))

    def _move(self, tx: DataTx, mid: bytes, before: str, after: str, eid: bytes, reason: str | None = None) -> bool:
        changed = tx.execute(
            MOVE,
            {
                "of_id": mid,
                "from_state": before,
                "to_state": after,
                "why": reason,
                "by_eid": eid,
                "at": tx.now if after in ENDED else None,
            },
        )
        return changed.rowcount == 1

    def _secret(self, row: Row) -> bytes | None:
        if row["sid"] is None:
            return None
        try:
            return self.vault.opening(row["tenant"], row["sid"])
        except NotFound:  # erased meanwhile
            return None


def _address_field(policy: CompiledPolicy, template: Template) -> str:
    """The declared field of the template that is an e-mail address; ``Invalid`` if it declares none."""
    for name in template.fields:
        for point in policy.points.values():
            field = point.field(name)
            if field is not None and (field.category == EMAIL or field.category.startswith(f"{EMAIL}.")):
                return name
    raise Invalid("the message declares no field with an address to send to", clause=template.clause)


def _text(value: Any) -> str:
    """A value as words: objects as lines of ``name: value``, their times as dates."""
    if isinstance(value, dict):
        lines = []
        for name, inner in value.items():
            if name.endswith("_ms") and isinstance(inner, int):
                at = dt.datetime.fromtimestamp(inner / 1000, tz=dt.UTC).isoformat(timespec="milliseconds")
                lines.append(f"{name.removesuffix('_ms')}: {at.replace('+00:00', 'Z')}")
            else:
                lines.append(f"{name}: {_text(inner)}")
        return "\n".join(lines)
    if isinstance(value, list | tuple):
        return ", ".join(_text(inner) for inner in value)
    return "" if value is None else str(value)
