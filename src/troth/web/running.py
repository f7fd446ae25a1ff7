"""The composition root: every part made once, with what it needs, from one configuration.

Nothing above or below makes parts of its own: the server, the demonstration and the tests all begin here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from troth.collect.confirm import Confirmation
from troth.collect.country import open_locations
from troth.collect.importing.carrying import Importing
from troth.collect.importing.undoing import Undoing
from troth.collect.intake import Intake
from troth.collect.surfaces import check_tenants
from troth.collect.traffic import Traffic
from troth.collect.visits.closing import Closing as DayClosing
from troth.collect.visits.visits import Visits
from troth.config import Config
from troth.errors import Conflict, StartRefused, TrothError, Unavailable
from troth.evidence.clauses import Board
from troth.evidence.mine import Receipts
from troth.evidence.receipts import fingerprint
from troth.evidence.tiles import PublishedLog
from troth.notice.consents import Consents
from troth.notice.controllers import controllers
from troth.notice.versions import Versions
from troth.policy.model import CompiledPolicy
from troth.rights.access import Access
from troth.rights.acting import Acting
from troth.rights.address import Addresses
from troth.rights.by_mail import ByMail
from troth.rights.delegation import Delegations
from troth.rights.erasure import Erasures
from troth.rights.filing import Filings
from troth.rights.handover import Handovers
from troth.rights.holding import Holds
from troth.rights.objection import Objections
from troth.rights.openid import OpenIdSignIn
from troth.rights.procedures import Procedures
from troth.rights.rectification import Rectification
from troth.rights.reported import Reported
from troth.rights.requests import Requests
from troth.rights.restoration import Restoration, Restored
from troth.rights.restriction import Restrictions
from troth.rights.retention import RetentionRun
from troth.rights.visitors import Visitors
from troth.store import jobs as durable
from troth.store.jobs import Worker
from troth.store.restoring import Gap
from troth.store.tables import tree
from troth.use.accounts import Accounts
from troth.use.activity import Activities
from troth.use.analytics import Analytics
from troth.use.approvals import Act, Approvals
from troth.use.arrivals import Arrivals
from troth.use.breached import Breached
from troth.use.closing import Closing
from troth.use.complaints import Complaints
from troth.use.compromise import Compromise
from troth.use.disclosures import Disclosures
from troth.use.flight import Flight
from troth.use.gate import Gate
from troth.use.handover_keys import HandoverKeys
from troth.use.hooks import Hooks
from troth.use.letters import UNDECLARED
from troth.use.looks import Looks
from troth.use.openid_provider import Provider
from troth.use.operators import Operators
from troth.use.passkeys import Passkeys
from troth.use.passwords import Passwords
from troth.use.person_passkeys import PersonPasskeys
from troth.use.products import Products
from troth.use.recovery import Recovery
from troth.use.second_factor import SecondFactor
from troth.use.sender import Sender
from troth.use.sign_in import SignIn
from troth.use.suppressions import Suppressions
from troth.vault import open_vault
from troth.vault.backups import Backups
from troth.vault.box import Box
from troth.vault.epochs import Epochs
from troth.vault.repair import Repair
from troth.web import openid
from troth.web.app import build
from troth.web.catalogue import read_catalogue
from troth.web.collector import Collector
from troth.web.console import rooms as console
from troth.web.console.guard import Desk
from troth.web.hosting import Hosting
from troth.web.inspecting import Inspector
from troth.web.mailing import mailing
from troth.web.routes import Group
from troth.web.schedule import OWED_JOBS, registry_of
from troth.web.served import CARDS, GROUPS
from troth.web.wording import check_words
from troth.world import Clock, Randomness, SystemClock, SystemRandomness

if TYPE_CHECKING:
    from troth.web.inbound import Inbound

log = logging.getLogger("troth")

CHECKPOINT = select(tree.c.checkpoint)
ACTS: tuple[Act, ...] = ()  # what needs a second operator; whoever brings such an act adds it here


@dataclass(frozen=True)
class LogFacts:
    """The published log in four facts."""

    origin: str
    key: str
    fingerprint: str
    size: int


@dataclass(frozen=True)
class Workers:
    """What works in the background."""

    jobs: Worker
    sender: Sender
    inbound: Inbound | None

    def close(self) -> None:
        """End what is in hand, then stop: first the sending, whose outcomes are still to be written."""
        if self.inbound is not None:
            self.inbound.close()
        self.sender.close()
        self.jobs.close()


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
        self.workers: Workers | None = None
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
        self.catalogue = read_catalogue(self.config.path(self.config.words))
        self.versions = Versions(store, clock, controllers(self.config))
        self.locations = open_locations(self.config.path(self.config.locations)) if self.config.locations else None
        self.consents = Consents(vault)
        self.intake = Intake(store, vault, self.versions, self.consents, chance)
        self.traffic = Traffic(store, self.versions, self.intake.refusals)
        tenant = self.config.tenant
        self.visits = Visits(store, vault, self.versions, self.consents, clock, chance, tenant=tenant)
        self.day_closing = DayClosing(store, vault, self.visits.rules, self.visits.counting.cells, tenant)
        self.gate = Gate(store, vault, self.versions)
        self.disclosures = Disclosures(store, self.gate, self.versions)
        self.products = Products(store, vault, self.versions, self.gate)
        self.hooks = Hooks(store, vault, self.products, self.disclosures, self.config.tools)
        tell = self.hooks.announce
        self.confirmation = Confirmation(store, vault, self.versions, self.consents, clock, tell)
        urls = {name: self.config.url_of(name) for name in (self.config.tenant, *self.config.tenants)}
        self.flight = Flight(store)
        self.mailing = mail = mailing(
            self.config,
            store,
            vault,
            self.versions,
            self.gate,
            self.catalogue,
            self.flight,
            chance,
            urls={**urls, "": self.config.url},  # a certificate of an earlier version says no tenant
            lacks=self._lacks,
        )
        self.readiness, self.composer, self.campaigns = mail.readiness, mail.composer, mail.campaigns
        self.letters, self.messages, self.transport = mail.letters, mail.messages, mail.transport
        self.mail_room = mail.room
        self.requests = Requests(store, vault, self.versions, clock, chance, self.config.zone_of)
        self.rectification = Rectification(store, vault, self.versions, self.requests)
        self.addresses = Addresses(self.rectification, chance)
        self.access = Access(store, vault, self.versions, self.consents, self.requests, self.addresses)
        self.objections = Objections(store, vault, self.versions, self.consents, clock, chance, self.flight, tell)
        if self.composer.unsubscribe_address:
            complaints = Complaints(store, vault, self.versions)
            self.mail_room.on(
                self.composer.unsubscribe_address.partition("@")[0], ByMail(self.objections, complaints).take
            )
        self.restrictions = Restrictions(store, vault, self.versions, self.requests, chance, tell)
        self.erasures = Erasures(store, vault, self.versions, clock, chance, tell)
        self.holds = Holds(store, vault, self.erasures, tell)
        self.procedures = Procedures(
            store,
            vault,
            self.versions,
            self.erasures,
            self.restrictions,
            self.objections,
            chance,
            self.catalogue.words,
            self.config.zone_of,
        )
        self.visitors = Visitors(store, vault, self.consents, self.access, self.erasures, self.visits)
        self.analytics = Analytics(store, self.visits.rules, tenant)
        self.importing = Importing(store, vault, self.versions, self.consents, chance, self._objected_there)
        self.undoing = Undoing(store, vault, self.versions, self.consents, self._erase_brought)
        self.retention = RetentionRun(store, vault, self.versions, self.erasures)
        self.closing = Closing(store, vault, self.versions)
        self.backups = Backups(store, vault)
        self.receipts = Receipts(store, vault, self.versions, self.consents)
        self.suppressions = Suppressions(store, vault, self.versions)
        self.reports = mail.reports
        if self.reports is not None:
            self.mail_room.on(self.reports.local, Reported(self.objections, self.products, self.reports).take)
        self.filings = Filings(self.procedures, self.products, clock)
        self.handover_keys = HandoverKeys(store)
        self.activities = Activities(store, vault, self.versions, self.products, clock, audiences=urls)
        self.handovers = Handovers(store, vault, self.products, clock, chance, audiences=urls)
        self.restoration = Restoration(
            store,
            vault,
            self.versions,
            self.erasures,
            self.objections,
            self.restrictions,
            self.holds,
            self.retention,
            self.handover_keys,
            kept_jobs=OWED_JOBS,
            recall=self._recall,
        )
        box = Box(vault.secret("operators"), chance)
        passwords = Passwords(Breached(self.config.folder))
        self.desks = {tenant: self._desk(tenant, url, box, passwords) for tenant, url in urls.items()}
        own = self.desks[self.config.tenant]
        self.operators, self.sign_in, self.approvals = own.operators, own.sign_in, own.approvals
        self.looks = Looks(store, vault, self.versions, self.consents, self.gate)
        arrivals = Arrivals(store, vault, self.versions)
        self.compromise = Compromise(arrivals)
        self.accounts = Accounts(arrivals, passwords, self.compromise)
        peoples_box = Box(vault.secret("accounts"), chance)
        self.second_factor = SecondFactor(arrivals, peoples_box, vault.secret("recovery"))
        self.recovery = Recovery(arrivals)
        self.delegations = Delegations(arrivals)
        self.acting = Acting(self.delegations, self.rectification, self.gate)
        handles = vault.secret("handles")
        self.passkeys = {
            tenant: PersonPasskeys(arrivals, Passkeys(url, host_of(url), peoples_box, clock, chance), handles)
            for tenant, url in urls.items()
        }
        self.openid = self._openid(Box(vault.secret("openid"), chance))
        self.repair = Repair(store, vault.keyring)
        staff: Group[Any] = console.group(CARDS)  # knows of a system only what staff need
        self.epochs = Epochs(store, vault.keyring, self.erasures.settle, vault.copy.refresh)
        self.shell = build(self, [*GROUPS, staff], catalogue=self.catalogue)
        folders = {host: self.config.path(folder) for host, folder in self.config.sites.items()}
        self.hosting = Hosting(self, self.shell, self.shell.table, folders)
        self.app = Collector(self, self.hosting, self.shell.metrics.visit)
        self.inspector = Inspector(self, lambda: self.hosting)

    def _desk(self, tenant: str, url: str, box: Box, passwords: Passwords) -> Desk:
        """What this tenant's staff work with."""
        operators = Operators(self.store, tenant=tenant)
        passkeys = Passkeys(url, host_of(url), box, self.clock, self.randomness)
        approvals = Approvals(self.store, {act.name: act for act in ACTS}, tenant=tenant)
        return Desk(operators, SignIn(operators, box, passkeys, passwords), approvals)

    def _openid(self, box: Box) -> OpenIdSignIn | None:
        """The way in by the vendor's own provider, where one is configured."""
        settings = self.config.openid
        if not settings.issuer:
            return None
        try:
            secret = self.config.path(settings.secret_file).read_text("utf-8").strip() if settings.secret_file else ""
        except OSError as fault:
            raise StartRefused(f"openid.secret_file cannot be read: {fault.strerror}") from fault
        provider = Provider(settings, secret, f"{self.config.url}{openid.RETURN}", self.clock)
        return OpenIdSignIn(self.store, self.vault, self.products, provider, box, self.config.tenant)

    def _lacks(self, tenant: str) -> tuple[str, ...]:
        """What keeps marketing from being sent in this tenant's name."""
        controller = self.versions.current(tenant).controller
        return self.readiness.missing(controller, self.config.url_of(tenant))

    def _make_ready(self, gap: Gap | None) -> None:
        """What must be done before the port opens: restore, repair, resolve, publish."""
        self.versions.load()
        self.store.policy_version = lambda: self._version_now()
        if gap is not None:
            self.restored = self.restoration.apply(gap)
        self.publish_configured()
        check_tenants(self.policy, self.config)
        self._check_words()
        self.hosting.tell()
        self.repair.require_keys()
        self.repair.run()
        self.addresses.mend_all()
        self.repair.hasten(OWED_JOBS)
        self.day_closing.run()
        self.messages.resolve()
        self.disclosures.resolve()

    def _check_words(self) -> None:
        """``StartRefused`` where a declared message has words that it must not be sent with."""
        folder = self.config.path(self.config.words)
        wrong = check_words(self.composer, self.versions.current(), self.catalogue.languages, [folder])
        if wrong:
            raise StartRefused(
                "the words of a message do not compile", clause=UNDECLARED, gaps=tuple(each.render() for each in wrong)
            )

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

    def work(self, most: int = 1000) -> int:
        """Do what is due now, on this thread: for tests and commands that have no worker. How many jobs were begun."""
        begun = 0
        registry = registry_of(self)
        while begun < most and (done := durable.run_due(self.store, registry) + self.messages.send_due(self.transport)):
            begun += done
        return begun

    def start_worker(self) -> Workers:
        """Threads that do jobs and send messages as they come due."""
        self.workers = Workers(
            Worker(self.store, registry_of(self)),
            Sender(self.messages, self.transport, connections=self.config.mail.connections),
            self.mailing.listen(),
        )
        return self.workers

    # --- what the web shell asks ---

    def desk(self, tenant: str) -> Desk:
        """The desk of this tenant's staff."""
        return self.desks[tenant]

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
    return host_of(config.url)


def host_of(url: str) -> str:
    """A URL's host, with its port."""
    return url.split("://", 1)[-1]


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
