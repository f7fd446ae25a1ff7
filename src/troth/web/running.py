"""The composition root: every part made once, with what it needs, from one configuration.

Nothing above or below makes parts of its own: the server, the demonstration and the tests all begin here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from troth.collect.confirm import Confirmation
from troth.collect.importing.carrying import Importing
from troth.collect.importing.undoing import Undoing
from troth.collect.intake import Intake
from troth.config import Config
from troth.errors import Conflict, StartRefused, TrothError, Unavailable
from troth.evidence.clauses import Board
from troth.evidence.mine import Receipts
from troth.evidence.receipts import fingerprint
from troth.evidence.tiles import PublishedLog
from troth.notice.consents import Consents
from troth.notice.versions import Versions
from troth.policy.model import CompiledPolicy
from troth.rights.access import Access
from troth.rights.erasure import ERASE_JOB, Erasures
from troth.rights.handover import Handovers
from troth.rights.objection import GUARD_JOB, Objections
from troth.rights.requests import LINK_JOB, Requests
from troth.rights.restoration import Restoration, Restored
from troth.rights.retention import CLASSES_JOB, PERIOD_MS, RETAIN_JOB, RetentionRun
from troth.store import Lane, Write
from troth.store import jobs as durable
from troth.store.jobs import Job, Registry, Worker
from troth.store.restoring import Gap
from troth.store.tables import tree
from troth.use import person_sessions, sessions
from troth.use.accounts import Accounts
from troth.use.approvals import Act, Approvals
from troth.use.breached import Breached
from troth.use.compose import Composer
from troth.use.disclosures import Disclosures
from troth.use.gate import Gate
from troth.use.handover_keys import HandoverKeys
from troth.use.messages import Messages
from troth.use.operators import Operators
from troth.use.passkeys import Passkeys
from troth.use.passwords import Passwords
from troth.use.products import Products
from troth.use.sign_in import SignIn
from troth.use.transport import SmtpTransport
from troth.vault import open_vault
from troth.vault.backups import Backups
from troth.vault.box import Box
from troth.vault.epochs import Epochs
from troth.vault.repair import Repair
from troth.web import account, api, api_products, handover, privacy, public, published
from troth.web.app import build
from troth.web.catalogue import read_catalogue
from troth.web.console import rooms as console
from troth.web.inspecting import Inspector
from troth.web.routes import Group
from troth.world import Clock, Randomness, SystemClock, SystemRandomness

log = logging.getLogger("troth")

CHECKPOINT = select(tree.c.checkpoint)
MESSAGE_JOB = "message.send"
GROUPS: tuple[Group[Running], ...] = (
    public.GROUP,
    published.GROUP,
    privacy.GROUP,
    account.GROUP,
    handover.GROUP,
    api.GROUP,
    api_products.GROUP,
)
ACTS: tuple[Act, ...] = ()  # what needs a second operator; whoever brings such an act adds it here
REPAIR_JOB = "vault.repair"
SWEEP_JOB = "use.sweep"
SWEEP_MS = 60 * 60_000
REPAIR_MS = 10 * 60_000
EPOCH_JOB = "vault.epoch"
EPOCH_MS = 5 * 60_000


@dataclass(frozen=True)
class LogFacts:
    """The published log in four facts."""

    origin: str
    key: str
    fingerprint: str
    size: int


class Running:
    """A running system: its parts by name. ``close`` ends it in the right order."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        randomness: Randomness,
        *,
        rebuild_tiles: bool = False,
        gap: Gap | None = None,
    ) -> None:
        """Open stores and vault, repair, publish the configured policy; ``StartRefused`` with one clear reason.

        ``rebuild_tiles`` writes the published log anew from the ledger, where its files were lost or damaged. ``gap``
        is what a restore, of which this start is a part, has to make good (``web.backups``).
        """
        self.config = config
        self.clock = clock
        self.randomness = randomness
        self.store, self.vault = open_vault(
            config,
            clock,
            randomness,
            log_name=log_name(config),
            rebuild_tiles=rebuild_tiles,
            restoring=gap is not None,
        )
        self.restored: Restored | None = None
        try:
            self._compose()
            self._make_ready(gap)
        except BaseException:
            self.store.close()
            raise

    def _compose(self) -> None:
        """Make every part, each with what it needs and nothing more."""
        store, vault, clock, chance = self.store, self.vault, self.clock, self.randomness
        self.catalogue = read_catalogue()
        self.versions = Versions(store, clock)
        self.consents = Consents(vault)
        self.intake = Intake(store, vault, self.versions, self.consents, chance)
        self.confirmation = Confirmation(store, vault, self.versions, self.consents, clock)
        self.gate = Gate(store, vault, self.versions)
        mail = self.config.mail
        composer = Composer(
            self.catalogue.words,
            base_url=self.config.url,
            sender=mail.sender or "no-reply@localhost.localdomain",
        )
        transport = SmtpTransport(mail, folder=self.config.folder, demonstration=self.config.demonstration)
        self.messages = Messages(store, vault, self.gate, self.versions, composer, transport)
        self.requests = Requests(store, vault, self.versions, clock, chance)
        self.access = Access(store, vault, self.versions, self.consents, self.requests)
        self.objections = Objections(store, vault, self.versions, self.consents, clock, chance)
        self.erasures = Erasures(store, vault, self.versions, clock, chance)
        self.importing = Importing(store, vault, self.versions, self.consents, chance, self._objected_there)
        self.undoing = Undoing(store, vault, self.versions, self.consents, self._erase_brought)
        self.retention = RetentionRun(store, vault, self.versions, self.erasures)
        self.backups = Backups(store, vault)
        self.receipts = Receipts(store, vault, self.versions, self.consents)
        self.disclosures = Disclosures(store, self.gate, self.versions)
        self.products = Products(store, vault, self.versions, self.gate)
        self.handover_keys = HandoverKeys(store)
        self.handovers = Handovers(
            store, vault, self.products, clock, chance, tenant=self.config.tenant, audience=self.config.url
        )
        self.restoration = Restoration(
            store,
            vault,
            self.versions,
            self.erasures,
            self.objections,
            self.retention,
            self.handover_keys,
            kept_jobs=(GUARD_JOB, ERASE_JOB, CLASSES_JOB),
            recall=self._recall,
        )
        self.operators = Operators(store, tenant=self.config.tenant)
        box = Box(vault.secret("operators"), chance)
        passkeys = Passkeys(self.config.url, log_name(self.config), box, clock, chance)
        passwords = Passwords(Breached(self.config.folder))
        self.sign_in = SignIn(self.operators, box, passkeys, passwords)
        self.accounts = Accounts(store, vault, self.versions, passwords)
        self.approvals = Approvals(store, {act.name: act for act in ACTS})
        self.repair = Repair(store, vault.keyring)
        self.epochs = Epochs(store, vault.keyring, self.erasures.settle, vault.copy.refresh)
        staff: Group[Any] = console.group()  # knows of a system only what staff need
        self.shell = build(self, [*GROUPS, staff], catalogue=self.catalogue)
        self.inspector = Inspector(self, lambda: self.shell)

    def _make_ready(self, gap: Gap | None) -> None:
        """What must be done before the port opens: restore, repair, resolve, publish."""
        self.versions.load()
        self.store.policy_version = lambda: self._version_now()
        if gap is not None:
            self.restored = self.restoration.apply(gap)
        self.publish_configured()
        self.repair.require_keys()
        self.repair.run()
        self.repair.hasten((GUARD_JOB, ERASE_JOB, CLASSES_JOB))  # what a crash left owing is done first
        self.messages.resolve()
        self.disclosures.resolve()

    def _version_now(self) -> str:
        policy = self.versions.in_force(self.versions.now())
        return policy.version if policy else ""

    def publish_configured(self) -> None:
        """Publish the configured policy file if its version is new; ``StartRefused`` if a published one was edited."""
        path = self.config.path(self.config.policy)
        bindings = self.config.path(self.config.bindings) if self.config.bindings else None
        try:
            source = path.read_text("utf-8")
            laid = bindings.read_text("utf-8") if bindings else None
        except OSError as fault:
            raise StartRefused(f"the policy cannot be read: {path.name}: {fault.strerror}") from fault
        except UnicodeDecodeError as fault:
            raise StartRefused(f"the policy cannot be read: {path.name} is not UTF-8 text") from fault
        try:
            self.versions.publish(source, laid)
        except Conflict as edited:
            raise StartRefused(edited.detail, clause=edited.clause) from edited
        except TrothError as fault:
            raise StartRefused(fault.detail, clause=fault.clause, gaps=fault.gaps) from fault

    def registry(self) -> Registry:
        """Which handler does which durable job."""
        registry = Registry()
        registry.on(MESSAGE_JOB, self.messages.send)
        registry.on(LINK_JOB, self.requests.send_link)
        registry.on(ERASE_JOB, self.erasures.job)
        registry.on(GUARD_JOB, self.objections.redo_guard)
        registry.on(CLASSES_JOB, self.retention.end_classes)
        registry.every(RETAIN_JOB, PERIOD_MS, self.retention.job)
        registry.every(REPAIR_JOB, REPAIR_MS, self._repair)
        registry.every(EPOCH_JOB, EPOCH_MS, self._roll)
        registry.every(SWEEP_JOB, SWEEP_MS, self._sweep)
        return registry

    def _objected_there(self, tenant: str, sid: bytes, purpose: str) -> None:
        """A file that is brought in says that this person objected."""
        self.objections.object(tenant, sid, purpose, via="operator", actor="system")

    def _erase_brought(self, tenant: str, sid: bytes) -> bool:
        """A file that was brought in is taken back: this person with it."""
        return self.erasures.erase(tenant, sid, cause="undo", actor="system").state == "gone"

    def _recall(self, sha256: str) -> tuple[str, str | None] | None:
        """The text of a policy in the data folder, with the configured bindings if it needs them, by its hash."""
        laid = self.config.path(self.config.bindings).read_text("utf-8") if self.config.bindings else None
        for path in {self.config.path(self.config.policy), *self.config.folder.glob("*.md")}:
            for bindings in {laid, None}:
                source = path.read_text("utf-8")
                if self.versions.hash_of(source, bindings) == sha256:
                    return source, bindings
        return None

    def _repair(self, job: Job) -> None:
        self.repair.run()
        self.vault.copy.refresh()

    def _roll(self, job: Job) -> None:
        """Some time after an erasure the epoch is rolled, so that old copies of the key store open nothing."""
        self.epochs.roll(after_ms=self.config.roll_after * 60_000)

    def _sweep(self, job: Job) -> None:
        """What has a fixed life and is over: sessions, and approvals that nobody gave."""
        self.store.write(Write(sessions.sweep, lane=Lane.JOB))
        self.store.write(Write(person_sessions.sweep, lane=Lane.JOB))
        self.approvals.sweep()

    def work(self, most: int = 1000) -> int:
        """Do what is due now, on this thread: for tests and commands that have no worker. How many jobs were begun."""
        begun = 0
        registry = self.registry()
        while begun < most and (done := durable.run_due(self.store, registry)):
            begun += done
        return begun

    def start_worker(self) -> Worker:
        """A thread that does jobs as they come due."""
        return Worker(self.store, self.registry())

    # --- what the web shell asks ---

    @property
    def policy(self) -> CompiledPolicy:
        """The version in force now; before the first takes effect, the one that will."""
        current = self.versions.in_force(self.versions.now())
        return current or self.versions.history.versions[0]

    @property
    def checkpoint(self) -> str:
        """The newest checkpoint in one short line: size and root."""
        text = self.store.read(lambda connection: connection.execute(CHECKPOINT).scalar())
        return " ".join(text.split("\n")[1:3]) if text else ""

    def faults(self) -> tuple[str, ...]:
        """What is not as it must be now, as short names."""
        found = []
        if self.store.fault:
            found.append("ledger")
        if durable.counts(self.store).get("failed"):
            found.append("jobs")
        try:
            if self.epochs.standing().overdue(self.store.now()):
                found.append("epoch")
        except Unavailable:
            found.append("keys")
        return tuple(found)

    async def board(self) -> Board:
        """The clause board as of the last minute."""
        return await self.inspector.recent()

    def log_facts(self) -> LogFacts:
        """What one needs to check the log: its key, the key's fingerprint, its size."""
        self.store.publish()
        published = PublishedLog(self.config.folder / "evidence")
        return LogFacts(published.origin, published.key, fingerprint(published.public), published.size)

    def close(self) -> None:
        """End everything; what waits to be written is written first."""
        self.gate.close()
        self.store.close()


def log_name(config: Config) -> str:
    """The ledger's name in its checkpoints: the host people reach it under."""
    return config.url.split("://", 1)[-1]


def start(
    config: Config,
    *,
    clock: Clock | None = None,
    randomness: Randomness | None = None,
    rebuild_tiles: bool = False,
    gap: Gap | None = None,
) -> Running:
    """A running system from a configuration, with the machine's clock and chance unless others are given."""
    return Running(
        config, clock or SystemClock(), randomness or SystemRandomness(), rebuild_tiles=rebuild_tiles, gap=gap
    )
