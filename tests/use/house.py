"""An installation for tests of ``use``: a small policy, a store, a vault, a gate, and people who live in it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from troth.config import Config
from troth.notice.versions import Versions
from troth.policy.model import (
    CompiledClause,
    CompiledPolicy,
    Controller,
    Duration,
    Field,
    Grant,
    History,
    Keep,
    Never,
    Phase,
    Point,
    Position,
    Purpose,
    Recipient,
    State,
    StateRule,
    Stop,
    Template,
    Terms,
    Use,
)
from troth.store import Store, Write
from troth.store.ledger import EntryDraft
from troth.store.tables import ledger
from troth.store.writer import DataTx
from troth.use.gate import Gate
from troth.vault import NewRecord, Vault, open_vault
from troth.vault.provider import FileProvider
from troth.world import DAY_MS, SetClock, SystemRandomness

NOON = 1_767_700_800_000  # 2026-01-06 12:00 UTC
VERSION = "2026-01-01"
SITE = "site:www"
DAYS_30 = Duration("30 days", ms=30 * DAY_MS)
DAYS_7 = Duration("7 days", ms=7 * DAY_MS)
FIELDS = {
    "name": "user.name",
    "first_name": "user.name.first",
    "last_name": "user.name.last",
    "email": "user.contact.email",
    "phone": "user.contact.phone",
    "reference": "user.unique_id",
}


def use(clause: str, point: str, purpose: str, fields: str, keep: str, basis: str = "contract", **more: Any) -> Use:
    """One use; ``fields`` are names separated by spaces."""
    names = frozenset(fields.split())
    categories = frozenset(FIELDS[name] for name in names)
    return Use(clause, point, names, categories, purpose, f"{purpose}-1", basis, keep, **more)  # type: ignore[arg-type]  # a basis by name


USES = (
    use("collect.registration", "registration", "account", "first_name last_name email phone", "account"),
    use("collect.registration", "registration", "confirmation", "first_name email", "account", channel="email"),
    use("collect.registration", "registration", "restore", "first_name email", "account"),
    use("purpose.support", "registration", "support", "first_name phone", "ticket", guards=frozenset({"ticket"})),
    use("purpose.patterns", "registration", "patterns", "email", "account", "legitimate_interest"),
    use(
        "rights.proof",
        "registration",
        "rights",
        "first_name email",
        "account",
        "legal_obligation",
        survives=frozenset({"restricted"}),
    ),
    use("collect.newsletter", "newsletter", "newsletter", "name email", "newsletter", "consent", channel="email"),
    use("collect.newsletter", "newsletter", "confirmation", "name email", "newsletter", channel="email"),
    use("rights.proof", "newsletter", "rights", "name email", "newsletter", "legal_obligation"),
    use("purpose.provide", "account.reference", "account", "reference email name", "account"),
    use("purpose.provide", "account.reference", "newsletter", "email name", "account", "consent", channel="email"),
    use(
        "share.processors",
        "registration",
        "provide",
        "first_name email",
        "account",
        recipient="processors",
        guards=frozenset({"contract.live"}),
    ),
)


CLAUSES = (
    *dict.fromkeys(each.clause for each in USES),
    *("purpose.basis", "retain.while-used", "retain.periods", "collect.account.reference", "share.prior-approval"),
)


def point(name: str, fields: str, surfaces: Iterable[str] = (SITE,), identifier: str = "email") -> Point:
    """A collection point with these fields."""
    return Point(
        name,
        f"collect.{name}",
        tuple(Field(each, FIELDS[each], identifier=each == identifier) for each in fields.split()),
        tuple(each for each in USES if each.point == name),
        tuple(surfaces),
    )


def purpose(name: str, parent: str | None = None, *, direct: bool = False) -> Purpose:
    """A node of the tree."""
    return Purpose(name, "purpose.basis", f"{name}-1", parent, direct=direct)


def template(name: str, clause: str, kind: str, purpose: str, fields: str) -> Template:
    """A declared message."""
    return Template(name, clause, kind, purpose, tuple(fields.split()))  # type: ignore[arg-type]  # a class by name


def by_id(values: Iterable[Any], key: str = "id") -> dict[str, Any]:
    """A table of the policy."""
    return {getattr(value, key): value for value in values}


def policy(version: str = VERSION, effective_ms: int = 0, **changes: Any) -> CompiledPolicy:
    """The small policy; ``changes`` replace its parts."""
    made = CompiledPolicy(
        policy="example",
        version=version,
        effective=version,
        effective_ms=effective_ms,
        controller=Controller("Example Backup Ltd", "privacy@example.org", "IE", "1 Main Street, Dublin"),
        language="en",
        sha256="00" * 32,
        source="",
        notice_period=DAYS_30,
        surfaces={SITE: ("www.example.org",), "product:desktop": ()},
        clauses={each: CompiledClause(each, "permits", {}, "Words.", Position(1, 1), ()) for each in CLAUSES},
        purposes=by_id(
            (
                purpose("service"),
                *(purpose(name, "service") for name in ("account", "support", "confirmation", "restore", "provide")),
                purpose("marketing", direct=True),
                purpose("newsletter", "marketing", direct=True),
                purpose("patterns"),
                purpose("rights"),
            )
        ),
        points=by_id(
            (
                point("registration", "first_name last_name email phone"),
                point("newsletter", "name email"),
                point("account.reference", "reference email name", ("product:desktop",), "reference"),
            )
        ),
        keeps=by_id(
            (
                Keep(
                    "account",
                    "retain.while-used",
                    (
                        Phase(while_="account.active"),
                        Phase(for_=DAYS_30, only=frozenset({"restore", "confirmation", "rights"})),
                    ),
                ),
                Keep(
                    "newsletter",
                    "retain.periods",
                    (
                        Phase(while_="newsletter.active"),
                        Phase(for_=DAYS_7, only=frozenset({"confirmation", "rights"})),
                    ),
                ),
                Keep("ticket", "retain.periods", (Phase(for_=DAYS_30),)),
            ),
            "name",
        ),
        states=by_id(
            (
                StateRule(
                    "account.active",
                    "retain.while-used",
                    ("registration.confirmed", "product.reported"),
                    ("account.closed",),
                ),
                StateRule("newsletter.active", "retain.periods", ("newsletter.confirmed",), ("newsletter.withdrawn",)),
            ),
            "name",
        ),
        consents={},
        templates=by_id(
            (
                template("newsletter.confirm", "consent.at-submission", "service", "confirmation", "name email"),
                template("newsletter.issue", "rights.unsubscribe", "marketing", "newsletter", "name email"),
                template("rights.link", "rights.proof", "service", "rights", "email"),
                template("account.note", "purpose.account", "service", "account", "first_name email"),
                template("erase.certificate", "rights.erase", "notice", "rights", "email"),
            )
        ),
        recipients=by_id(
            (
                Recipient(
                    "processors", "share.processors", "processor", ("EEA",), ("user.name", "user.contact"), "provide"
                ),
            )
        ),
        rights={},
        cookies={},
        nevers=(
            Never("share.prior-approval", "share", except_=frozenset({"share.processors"}), unless="approval:written"),
        ),
        uses=USES,
    )
    return msgspec.structs.replace(made, **changes) if changes else made


class House:
    """The installation. ``close`` it at the end."""

    def __init__(self, folder: Path, *, data_url: str = "", keys_url: str = "", **options: Any) -> None:
        self.clock = SetClock(NOON)
        self.randomness = SystemRandomness()
        self.config = Config(data_folder=str(folder), data_url=data_url, keys_url=keys_url)
        key = self.config.path(self.config.root_key)
        if not key.exists():
            FileProvider.create(key, self.randomness)
        self.store: Store
        self.vault: Vault
        self.store, self.vault = open_vault(self.config, self.clock, self.randomness, **options)
        self.versions = Versions(self.store, self.clock)
        self.publish(policy())
        self.store.policy_version = lambda: self.versions.current().version
        self.gate = Gate(self.store, self.vault, self.versions)

    def publish(self, *versions: CompiledPolicy) -> None:
        """Let these be the versions there are, oldest first."""
        self.versions.history = History(versions)
        self.versions._published = {version.version: 0 for version in versions}

    def close(self) -> None:
        """Close gate and store."""
        self.gate.close()
        self.store.close()

    def person(
        self,
        point: str = "registration",
        values: dict[str, Any] | None = None,
        *,
        tenant: str = "main",
        pending: bool = False,
        sid: bytes | None = None,
        surface: str = SITE,
        version: str = VERSION,
        grants: Iterable[str] = (),
    ) -> bytes:
        """A person whose data were collected at this point, confirmed unless ``pending``; their id."""
        if values is None:
            values = {"first_name": "Ann", "last_name": "Onym", "email": "ann@example.org", "phone": "+353 1 234"}
            values["name"] = "Ann Onym"
        current = self.versions.history.version(version)
        terms = Terms(current.controller.name, surface, point, version)
        classes = current.points[point].classes()
        records = [
            NewRecord(class_, terms, {name: values[name] for name in sorted(fields) if name in values})
            for class_, fields in sorted(classes.items())
        ]
        staged = self.vault.stage(
            "main" if tenant is None else tenant, sid=sid, identifiers={}, records=records, pending=pending
        )

        def body(tx: DataTx) -> None:
            draft = EntryDraft("intake.accepted", f"collect.{point}", "intake.declared", actor="visitor")
            entry = tx.append(draft, staged.opening)
            staged.insert(tx, entry.eid)
            if not pending:
                self.vault.happen(tx, tenant, staged.sid, f"{point}.confirmed", current)
                self.vault.happen(tx, tenant, staged.sid, "registration.confirmed", current)
            self.vault.change_state(
                tx,
                tenant,
                staged.sid,
                lambda state: msgspec.structs.replace(
                    state,
                    bound=version,
                    grants=state.grants | {Grant(name, "email", f"{name}-1") for name in grants},
                ),
            )

        self.store.write(Write(before=staged.before, body=body))
        return staged.sid

    def change(self, sid: bytes, tenant: str = "main", **parts: Any) -> None:
        """Change parts of what this person chose."""

        def body(tx: DataTx) -> None:
            self.vault.change_state(tx, tenant, sid, lambda state: msgspec.structs.replace(state, **parts))

        self.store.write(Write(body))

    def stop(self, sid: bytes, purpose: str, channel: str | None = None) -> None:
        """Let this person object."""
        self.change(sid, stops=frozenset({Stop(purpose, channel)}))

    def happen(self, sid: bytes, event: str) -> None:
        """Let an event of this person happen."""
        self.store.write(Write(lambda tx: self.vault.happen(tx, "main", sid, event, self.versions.current())))

    def erase(self, sid: bytes) -> None:
        """What the first two steps of an erasure do to the stores."""

        def order(tx: DataTx) -> None:
            tx.append(EntryDraft("erase.ordered", "rights.erase", "right.erase"), self.vault.opening("main", sid))
            self.vault.change_state(tx, "main", sid, lambda state: State("erasing"))
            self.vault.set_mode(tx, "main", sid, "erasing")

        self.store.write(Write(order, after=lambda ktx, _: self.vault.destroy(ktx, "main", sid) and None))

    def entries(self, *kinds: str) -> list[dict[str, Any]]:
        """The bodies of the ledger's entries of these kinds (all, if none is named), in order."""
        rows = self.store.read(lambda c: c.execute(select(ledger.c.body).order_by(ledger.c.seq)).scalars().all())
        bodies = [msgspec.json.decode(row) for row in rows]
        return [body for body in bodies if not kinds or body["kind"] in kinds]
