"""Which handler does which durable job, and how often what is done regularly is done."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from troth.collect.importing.runs import UNDO_JOB
from troth.collect.visits.closing import CLOSE_JOB
from troth.collect.visits.closing import PERIOD_MS as CLOSE_MS
from troth.rights.address import ADDRESS_JOB
from troth.rights.address import SWEEP_JOB as ADDRESS_SWEEP
from troth.rights.address import SWEEP_MS as ADDRESS_SWEEP_MS
from troth.rights.erasure import ERASE_JOB
from troth.rights.holding import END_EVERY_MS, END_JOB
from troth.rights.objection import GUARD_JOB
from troth.rights.procedures import REMIND_EVERY_MS, REMIND_JOB
from troth.rights.rectification import RECTIFIED_JOB
from troth.rights.requests import LINK_JOB
from troth.rights.restriction import GUARD_JOB as RESTRICT_GUARD_JOB
from troth.rights.restriction import LIFT_EVERY_MS, LIFT_JOB
from troth.rights.retention import CLASSES_JOB, PERIOD_MS, RETAIN_JOB
from troth.store import Lane, Write
from troth.store.jobs import Job, Registry
from troth.use import person_sessions, sessions
from troth.use.campaigns import CAMPAIGN_JOB
from troth.use.hooks import HOOK_JOB

if TYPE_CHECKING:
    from troth.web.running import Running

OWED_JOBS = (GUARD_JOB, RESTRICT_GUARD_JOB, ERASE_JOB, CLASSES_JOB, RECTIFIED_JOB, ADDRESS_JOB, CAMPAIGN_JOB)
"""What a crash left owing is done first."""
REPAIR_JOB = "vault.repair"
SWEEP_JOB = "use.sweep"
SWEEP_MS = 60 * 60_000
REPAIR_MS = 10 * 60_000
EPOCH_JOB = "vault.epoch"
EPOCH_MS = 5 * 60_000


def registry_of(system: Running) -> Registry:
    """Every job that this system knows, with the part of it that does it."""
    registry = Registry()
    registry.on(LINK_JOB, system.requests.send_link)
    registry.on(ERASE_JOB, system.erasures.job)
    registry.on(GUARD_JOB, system.objections.redo_guard)
    registry.on(UNDO_JOB, system.undoing.job)
    registry.on(RESTRICT_GUARD_JOB, system.restrictions.redo_guard)
    registry.on(CLASSES_JOB, system.retention.end_classes)
    registry.on(RECTIFIED_JOB, system.rectification.redo)
    registry.on(ADDRESS_JOB, system.addresses.redo)
    registry.on(CAMPAIGN_JOB, system.campaigns.job)
    registry.on(HOOK_JOB, system.hooks.job)
    registry.every(ADDRESS_SWEEP, ADDRESS_SWEEP_MS, system.addresses.sweep)
    registry.every(RETAIN_JOB, PERIOD_MS, system.retention.job)
    registry.every(REMIND_JOB, REMIND_EVERY_MS, system.procedures.job)
    registry.every(LIFT_JOB, LIFT_EVERY_MS, system.restrictions.job)
    registry.every(END_JOB, END_EVERY_MS, system.holds.job)
    registry.every(REPAIR_JOB, REPAIR_MS, partial(repair, system))
    registry.every(CLOSE_JOB, CLOSE_MS, system.day_closing.job)
    registry.every(EPOCH_JOB, EPOCH_MS, partial(roll, system))
    registry.every(SWEEP_JOB, SWEEP_MS, partial(sweep, system))
    return registry


def repair(system: Running, job: Job) -> None:
    """What a crash between the two stores left; and K's second copy as it is now."""
    system.repair.run()
    system.vault.copy.refresh()


def roll(system: Running, job: Job) -> None:
    """Some time after an erasure the epoch is rolled, so that old copies of the key store open nothing."""
    system.epochs.roll(after_ms=system.config.roll_after * 60_000)


def sweep(system: Running, job: Job) -> None:
    """What has a fixed life and is over: sessions, approvals that nobody gave, waiting; and reminders."""
    system.store.write(Write(sessions.sweep, lane=Lane.JOB))
    system.store.write(Write(person_sessions.sweep, lane=Lane.JOB))
    system.approvals.sweep()
    system.recovery.sweep()
    system.delegations.sweep()
    system.compromise.sweep()
