"""Checks of how data is kept: sealed, for its time and no longer, and travelling under TLS."""

from __future__ import annotations

import mmap
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import bindparam, func, select

from troth.errors import NotFound
from troth.evidence.checks import Check, Verdict, failed, passed, unless, unseen
from troth.evidence.checks.holding import held_now, held_wrongly
from troth.evidence.inspection import Inspection
from troth.evidence.said import Said, say
from troth.policy.model import CompiledClause
from troth.rights.everybody import letter_of, people_late
from troth.store import Lane, Write
from troth.store.ledger import EntryDraft
from troth.store.tables import buckets, ledger, messages, personal_records, runs, subjects, terms, tree
from troth.use.transport import is_loopback
from troth.vault.epochs import LATEST_MS
from troth.world import DAY_MS

SAMPLE = 20
SECURITY = "security"  # the purpose of looking whether what is kept is kept safe
SHORTEST = 6  # characters: shorter values occur by chance
NEWEST = (
    select(personal_records.c.tenant, personal_records.c.sid)
    .join(subjects, (personal_records.c.tenant == subjects.c.tenant) & (personal_records.c.sid == subjects.c.sid))
    .where(subjects.c.mode.in_(("pending", "live")))
    .order_by(personal_records.c.anchor_ms.desc())
    .limit(SAMPLE)
)
LAST_RUN = select(func.max(runs.c.at_ms)).where(runs.c.kind == "retention")
CLASSES = select(personal_records.c.class_, terms.c.version).join(terms).distinct()
LOST = (
    select(func.count())
    .select_from(messages)
    .where(messages.c.template == bindparam("of_template"), messages.c.state.in_(("refused", "bounced", "unknown")))
)
TREE = select(tree.c.size)
SHED = select(func.min(buckets.c.shed_ms))
HOUR_MS = 3_600_000
ENTRIES = select(func.count()).select_from(ledger)


def sealed(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Values of the newest records are looked for, in plain, in the bytes of every file; keys lie apart and closed.

    It opens what it looks for, so it leaves an entry before it does: nothing is read unseen (promise 3).
    """
    faults = [*loose_keys(inspection), *late_epochs(inspection)]
    values: set[bytes] = set()
    sample = inspection.rows(NEWEST)
    if sample:
        opened = EntryDraft(
            kind="read.check",
            clause=clause.id,
            mechanism="vault.sealed",
            purpose=SECURITY if SECURITY in inspection.policy.purposes else None,
            facts={"persons": len(sample)},
        )
        inspection.store.write(Write(lambda tx: tx.append(opened), lane=Lane.READ))
    spelled_out = {  # choices stand in the policy's own text
        choice.encode()
        for version in inspection.versions.history.versions
        for point in version.points.values()
        for field in point.fields
        for choice in field.choices
    }
    for row in sample:
        for record in inspection.store.read(partial(inspection.vault.records, tenant=row.tenant, sid=bytes(row.sid))):
            try:
                content = inspection.vault.open(record.tenant, record)
            except NotFound:
                continue  # erased meanwhile: there is nothing left that could be found
            own = {str(v).encode() for v in content.values() if len(str(v)) >= SHORTEST} - spelled_out
            values |= own
            if any(value in record.ct for value in own):
                faults.append(say("vault.sealed.record"))
    if not values:
        return failed(*faults) if faults else unseen(say("vault.sealed.unseen"))
    files = list(data_files(inspection))
    for file in files:
        if holds_any(file, values):
            faults.append(say("vault.sealed.file", file=file.name))
    return unless(faults, say("vault.sealed.good", values=len(values), files=len(files)))


def data_files(inspection: Inspection) -> Iterator[Path]:
    """Every file under the data folder."""
    yield from (p for p in sorted(inspection.config.folder.rglob("*")) if p.is_file() and p.suffix != ".sock")


def holds_any(file: Path, values: set[bytes]) -> bool:
    """Whether one of the values stands in the file's bytes."""
    try:
        with file.open("rb") as opened:
            if not file.stat().st_size:
                return False
            with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return any(content.find(value) >= 0 for value in values)
    except OSError:
        return False  # a file that went away while we looked holds nothing any more


def loose_keys(inspection: Inspection) -> Iterator[Said]:
    """What would let somebody else read the keys, or carry them off with the data."""
    root = inspection.config.path(inspection.config.root_key)
    if root.exists() and stat.S_IMODE(root.stat().st_mode) & 0o077:
        yield say("vault.sealed.root-key")
    data, keys = inspection.config.data_database, inspection.config.keys_database
    if data.startswith("sqlite") and Path(urlsplit(data).path).parent == Path(urlsplit(keys).path).parent:
        yield say("vault.sealed.together")


def late_epochs(inspection: Inspection) -> Iterator[Said]:
    """Keys were destroyed, and old copies of the key store have opened them for longer than they may."""
    since = inspection.key_rows(SHED)[0][0]
    if since is not None and since < inspection.now - LATEST_MS - HOUR_MS:
        yield say("vault.sealed.epoch", hours=(inspection.now - since) // HOUR_MS)


def transit(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Whatever leaves this machine is encrypted; a plain connection exists on loopback only."""
    config = inspection.config
    faults = []
    if not is_loopback(config.host) and not config.tls_certificate:
        faults.append(say("transit.tls.plain"))
    for name, url in (("data", config.data_url), ("keys", config.keys_url)):
        parts = urlsplit(url)
        far = parts.scheme.startswith("postgresql") and parts.hostname and not is_loopback(parts.hostname)
        if far and "sslmode=verify-full" not in parts.query:
            faults.append(say("transit.tls.unverified", database=name))
    pages = say("transit.tls.pages-here") if is_loopback(config.host) else say("transit.tls.pages")
    mail = say("transit.tls.mail-here") if is_loopback(config.mail.host) else say("transit.tls.mail")
    return unless(faults, pages, mail, say("transit.tls.good"))


def due(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Nobody's data is older than its rule by more than a day, nobody who leaves by disuse was left untold.

    Counted anew, by the rules of each version. Letters of that kind that did not arrive are said, and so are holds.
    """
    late = people_late(inspection.store, inspection.versions, inspection.now - DAY_MS)
    faults = [say("retain.due.late", persons=late.due)] if late.due else []
    faults += [say("retain.due.untold", persons=late.untold)] if late.untold else []
    faults += held_wrongly(inspection)
    if faults:
        return failed(*faults)
    if inspection.rows(LAST_RUN)[0][0] is None:
        return unseen(say("retain.heartbeat.unseen"))
    told = inspection.entries("retention.warned")
    letter = letter_of(inspection.policy)
    lost = inspection.rows(LOST, {"of_template": letter.id})[0][0] if letter else 0
    said = [say("retain.due.told", told=len(told), lost=lost)] if told else []
    return passed(say("retain.due.good"), *said, *held_now(inspection))


def heartbeat(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Retention ran within the last day."""
    last = inspection.rows(LAST_RUN)[0][0]
    if last is None:
        return unseen(say("retain.heartbeat.unseen"))
    hours = (inspection.now - last) // 3_600_000
    entries = {e.at_ms for e in inspection.entries("retention.run")}
    faults = [say("retain.heartbeat.old", hours=hours)] if hours >= 24 else []
    faults += [] if last in entries else [say("retain.heartbeat.no-entry")]
    return unless(faults, say("retain.heartbeat.good", hours=hours))


def periods(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Every use has a period, every stored record a class that its version gives a period to."""
    policy = inspection.policy
    faults = [say("retain.declared.use", clause=use.clause) for use in policy.uses if use.keep not in policy.keeps]
    faults += [say("retain.declared.phase", keep=keep.name) for keep in policy.keeps.values() if not keep.phases]
    for class_, version in inspection.rows(CLASSES):
        if class_ not in inspection.versions.history.version(version).keeps:
            faults.append(say("retain.declared.records", keep=class_, version=version))
    return unless(faults, say("retain.declared.good", periods=len(policy.keeps), uses=len(policy.uses)))


def bases(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Each use has exactly one of the six legal bases."""
    from troth.policy.vocabulary import BASES

    uses = inspection.policy.uses
    faults = [say("basis.declared.none", clause=use.clause) for use in uses if use.basis not in BASES]
    return unless(faults, say("basis.declared.good", uses=len(uses), bases=len({use.basis for use in uses})))


def recorded(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """The ledger is whole: as many entries as its head says, in the signed tree."""
    size = inspection.rows(TREE)
    count = inspection.rows(ENTRIES)[0][0]
    if not size:
        return unseen(say("evidence.ledger.unseen"))
    faults = [] if size[0][0] == count else [say("evidence.ledger.differs", head=size[0][0], entries=count)]
    return unless(faults, say("evidence.ledger.good", entries=count))


CHECKS: dict[str, Check] = {
    "vault.sealed": sealed,
    "transit.tls": transit,
    "retain.due": due,
    "retain.heartbeat": heartbeat,
    "retain.declared": periods,
    "basis.declared": bases,
    "evidence.ledger": recorded,
}
