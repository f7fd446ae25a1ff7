"""The pages that the browser tests walk through: the gallery, and the console with people at work in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.use.staff import Member, Staff
from tests.web import gallery, vendor
from troth.config import Config
from troth.policy.model import CompiledPolicy
from troth.use.approvals import Approvals
from troth.use.operators import Operators
from troth.use.passkeys import Passkeys
from troth.use.sign_in import SignIn
from troth.vault.box import Box
from troth.web.app import build
from troth.web.console.guard import Desk
from troth.web.console.rooms import group
from troth.web.shell import Shell
from troth.world import Clock, Randomness

CONSOLE = ("/console", "/console/approvals", "/console/operators", "/console/account")


@dataclass
class Company:
    """A running system with staff, reached at ``url``."""

    staff: Staff
    url: str
    policy: CompiledPolicy = vendor.POLICY
    checkpoint: str = "4096 · 7bXqTzWc0d"

    def __post_init__(self) -> None:
        chance, staff = self.randomness, self.staff
        box = Box(bytes(32), chance)
        self.sign_in = SignIn(staff.operators, box, Passkeys(self.url, "Example Backup Ltd", box, self.clock, chance))

    @property
    def config(self) -> Config:
        """Where it is reached."""
        return Config(base_url=self.url, demonstration=True)

    @property
    def clock(self) -> Clock:
        """The staff's clock."""
        return self.staff.clock

    @property
    def randomness(self) -> Randomness:
        """The store's."""
        return self.staff.store.randomness

    @property
    def operators(self) -> Operators:
        """Who staff are."""
        return self.staff.operators

    @property
    def approvals(self) -> Approvals:
        """What they approve."""
        return self.staff.approvals

    def desk(self, tenant: str) -> Desk:
        """What staff work with."""
        return Desk(self.operators, self.sign_in, self.approvals)

    def faults(self) -> tuple[str, ...]:
        """Nothing is wrong."""
        return ()

    def at_work(self) -> Member:
        """Ada the administrator, with a colleague, an open invitation and two approvals that wait."""
        ada = self.staff.join("ada")
        olga = self.staff.join("olga", "officer", by=ada.operator)
        self.operators.invite("sam", "support", ada.operator)
        self.approvals.ask("legal.disclose", "case-7", olga.operator)
        self.approvals.ask("legal.disclose", "case-9", ada.operator)
        return ada

    def app(self) -> Shell[Any]:
        """The console's application."""
        return build(self, [group()])


def gallery_app(url: str) -> Shell[Any]:
    """The gallery's application."""
    return build(vendor.Standing(config=Config(base_url=url, demonstration=True)), [gallery.GROUP])
