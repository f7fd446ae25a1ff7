"""From a row of the queue to a letter: whether it may be sent, to whom, and its bytes, for many at once.

The gate is asked for all of them in one transaction; what it denies, what no clause declares and what cannot be made
is told with its reason. Nothing here sends, and nothing changes the queue. Clauses: ``rights.automated``,
``rights.object-marketing``, ``rights.unsubscribe``. Mechanism: ``message.declared``.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import select

from troth.errors import Denied, Invalid, NotFound
from troth.notice.versions import Versions
from troth.policy.model import CompiledPolicy, Template
from troth.store import Store, links
from troth.store.jobs import Later
from troth.store.tables import tree
from troth.use.compose import Addressee, Composer
from troth.use.domains import Domains
from troth.use.gate import Answer, Gate, Opening
from troth.use.templates import Said
from troth.use.transport import Envelope
from troth.vault import Vault

log = logging.getLogger("troth.use")

UNDECLARED = "rights.automated"  # the clause under which a template without declaration is refused
EMAIL = "user.contact.email"
PATHS: Mapping[str, str] = {"rights.link": "/privacy/open/"}
CONFIRM_PATH = "/confirm/"
CHECKPOINT = select(tree.c.checkpoint)
Row = dict[str, Any]
Words = Callable[[bytes, str], Said | None]
"""(campaign, language) -> what its letters say; None: the campaign is over; raises ``Later`` while it is paused."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that may be sent: what goes to the relay, and what the intent must find unchanged."""

    row: Row
    envelope: Envelope
    template: Template
    digest: str  # SHA-256 of the words before anybody's values: what was said, without whom it was said to
    generation: int | None
    token: str | None
    secret: bytes | None
    hashed: bytes | None  # the address, as suppressions know it
    nodes: tuple[str, ...]  # the purpose and those above it
    version: str  # of the policy
    made_ms: int
    intent: bytes  # the id that its entry of intent will have

    @property
    def mid(self) -> bytes:
        """The message's id."""
        return bytes(self.row["id"])


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that is not sent: under which clause, and in a few words of ours."""

    row: Row
    clause: str
    reason: str
    gaps: tuple[str, ...] = ()


@dataclass
class Made:
    """What became of rows: letters, refusals, and those that wait until a time (milliseconds)."""

    letters: list[Letter] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    later: list[tuple[Row, int]] = field(default_factory=list)


class Letters:
    """Makes letters. Safe from any thread."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        gate: Gate,
        versions: Versions,
        composer: Composer,
        *,
        paths: Mapping[str, str] = PATHS,
        words: Words | None = None,
        domains: Domains | None = None,
        urls: Mapping[str, str] | None = None,
    ) -> None:
        """``urls`` are where each tenant's links begin; where they are given, nothing goes out for anybody else."""
        self.store = store
        self.vault = vault
        self.gate = gate
        self.versions = versions
        self.composer = composer
        self.paths = paths
        self.words = words
        self.domains = domains or Domains({})
        self._composers = None if urls is None else {tenant: composer.at(url) for tenant, url in urls.items()}
        self._openings: dict[tuple[str, str, bool], Opening] = {}

    def make(self, rows: Sequence[Row]) -> Made:
        """Make what these rows say. ``Busy`` or ``Unavailable`` before anything was read."""
        made = Made()
        checkpoint, now = self._checkpoint(), self.store.clock.now()
        policies = {tenant: self.versions.current(tenant) for tenant in {row["tenant"] for row in rows}}
        reading: list[tuple[Row, Template]] = []
        for row in rows:
            template = policies[row["tenant"]].templates.get(row["template"])
            if template is None or template.purpose != row["purpose"] or template.channel != "email":
                made.refused.append(Refusal(row, UNDECLARED, "no clause declares this message"))
            elif self._composers is not None and row["tenant"] not in self._composers:
                made.refused.append(Refusal(row, UNDECLARED, "no such tenant is configured"))  # in nobody else's name
            else:
                reading.append((row, template))
        for (row, template), answer in zip(reading, self._read(reading), strict=True):
            try:
                letter = self._one(policies[row["tenant"]], row, template, answer, checkpoint, now)
            except Later as later:
                made.later.append((row, now + later.after_ms))
            except Denied as denied:
                made.refused.append(Refusal(row, denied.clause or template.clause, "denied", denied.gaps))
            except NotFound:
                made.refused.append(Refusal(row, template.clause, "what it was to say has expired"))
            except Invalid as fault:
                made.refused.append(Refusal(row, fault.clause or template.clause, fault.detail))
            except KeyError:
                made.refused.append(Refusal(row, template.clause, "its words or a value they need are missing"))
            except Exception as problem:  # one that cannot be made must not keep the others
                log.warning("a message by %s cannot be made: %s", template.id, type(problem).__name__)
                made.later.append((row, now + 60_000))
            else:
                made.letters.append(letter)
        return made

    def _read(self, reading: Sequence[tuple[Row, Template]]) -> list[Answer | Exception | bytes | None]:
        """The gate's answers in the order of ``reading``; None where the address is sealed for the message itself."""
        asked = []
        for row, template in reading:
            if row["sealed"] is None:
                proving = template.id.endswith(".confirm")
                key = (template.purpose, template.channel, proving)
                opening = self._openings.get(key)
                if opening is None:
                    opening = self.gate.open(template.purpose, channel=template.channel, proving=proving)
                    self._openings[key] = opening
                asked.append((opening, row["tenant"], row["sid"] or b"", frozenset(template.fields)))
        answers = iter(self.gate.read_many(asked) if asked else ())
        return [None if row["sealed"] is not None else next(answers) for row, _ in reading]

    def _one(
        self,
        policy: CompiledPolicy,
        row: Row,
        template: Template,
        answer: Answer | Exception | bytes | None,
        checkpoint: str,
        now: int,
    ) -> Letter:
        if isinstance(answer, Exception):
            raise answer
        variables = self._variables(row)
        generation, field_name = None, address_field(policy, template)
        if isinstance(answer, Answer):
            fields, generation = dict(answer.values), answer.generation
        else:  # the person's keys are gone, as they asked: this was sealed for this message
            fields = {field_name: self.vault.transit_open(row["sealed"]).decode()}
        address = str(fields.pop(field_name, ""))
        language = variables.pop("language", policy.language)
        said, said_id = None, ""
        if row["campaign"] is not None:
            said, said_id = self._said(row, template, language)
        waiting = self.domains.wait(address.rpartition("@")[2], now)
        if waiting:
            raise Later(waiting)
        token = links.new_token(self.store.randomness) if template.kind == "marketing" else None
        values = {**{name: str(value) for name, value in fields.items()}, **variables}
        to = Addressee(address, language, values, f"/unsubscribe/{token}" if token else None)
        composer = self.composer if self._composers is None else self._composers[row["tenant"]]
        envelope = composer.compose(
            policy, template, to, mid=row["id"], now_ms=now, checkpoint=checkpoint, said=said, said_id=said_id
        )
        hashed = None
        if row["sealed"] is None:
            hashed = self.vault.hashed(row["tenant"], "email", address)[1]
        return Letter(
            row,
            envelope,
            template,
            composer.digest(policy, template, language, said, said_id),
            generation,
            token,
            self.secret(row),
            hashed,
            tuple(policy.ancestors(template.purpose)),
            policy.version,
            now,
            self.store.randomness.bytes(16),
        )

    def _said(self, row: Row, template: Template, language: str) -> tuple[Said, str]:
        said = self.words(bytes(row["campaign"]), language) if self.words else None
        if said is None:
            raise Invalid("its campaign is over", clause=template.clause)
        return said, bytes(row["campaign"]).hex()

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

    def _checkpoint(self) -> str:
        """The newest head of the ledger in one line: origin, size, root."""
        note = self.store.read(lambda connection: connection.execute(CHECKPOINT).scalar())
        return " ".join(str(note or "").split("\n")[:3])

    def secret(self, row: Row) -> bytes | None:
        """The person's secret for the ledger; None where there is nobody (any more)."""
        if row["sid"] is None:
            return None
        try:
            return self.vault.opening(row["tenant"], row["sid"])
        except NotFound:  # erased meanwhile
            return None


def address_field(policy: CompiledPolicy, template: Template) -> str:
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
