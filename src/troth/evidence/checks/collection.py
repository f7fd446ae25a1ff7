"""Checks of what is collected: declared fields and nothing else, bound to what was shown, with consent where needed."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, func, inspect, select

from troth.evidence.checks import Check, Verdict, failed, unless, unseen
from troth.evidence.checks.pages import probe
from troth.evidence.inspection import Inspection
from troth.evidence.said import Said, say
from troth.notice.brought import MEMBER
from troth.notice.consents import CLASS, SCHEMA, TABLE
from troth.policy.categories import CATEGORIES
from troth.policy.model import CompiledClause
from troth.store import tables
from troth.store.tables import (
    consent_records,
    ledger,
    messages,
    personal_records,
    policy_versions,
    subject_states,
    subjects,
    terms,
)

SHELL_FIELDS = frozenset({"policy_version", "notice", "consent"})
COLLECTED = (
    "intake.accepted",
    "intake.imported",
    "intake.confirmed",
    "subject.joined",
    "product.registered",
    "visits.viewed",
)
UNBOUND = (
    select(func.count())
    .select_from(personal_records.outerjoin(ledger, personal_records.c.eid == ledger.c.eid))
    .where(ledger.c.kind.is_(None) | ledger.c.kind.not_in(COLLECTED))
)
AGREED = ("consent.given", "consent.imported", "subject.joined")
RECORDS = select(func.count()).select_from(personal_records)
TOLD = ("troth:source", "troth:agreed", "troth:how")  # what a consent given elsewhere must say
TERMS = select(terms.c.surface, terms.c.point, terms.c.version)
VERSIONS = select(policy_versions.c.version)
GIVEN = (
    select(consent_records, ledger.c.kind)
    .select_from(consent_records.outerjoin(ledger, consent_records.c.eid == ledger.c.eid))
    .where(consent_records.c.state == "Given")
    .order_by(consent_records.c.given_ms.desc())
    .limit(50)
)
UNGIVEN = (
    select(func.count())
    .select_from(consent_records.outerjoin(ledger, consent_records.c.eid == ledger.c.eid))
    .where(
        consent_records.c.state == "Given",
        ledger.c.kind.is_(None) | ledger.c.kind.not_in(AGREED),
    )
)
CONFIRMING = select(messages.c.template, func.count()).select_from(
    messages.join(subjects, (messages.c.tenant == subjects.c.tenant) & (messages.c.sid == subjects.c.sid))
)
TO_PENDING = CONFIRMING.where(subjects.c.mode == "pending", messages.c.state == "sent").group_by(messages.c.template)
LIVE_OF = (
    select(personal_records.c.tenant, personal_records.c.sid)
    .join(terms, personal_records.c.terms_id == terms.c.id)
    .join(subjects, (personal_records.c.tenant == subjects.c.tenant) & (personal_records.c.sid == subjects.c.sid))
    .where(subjects.c.mode == "live")
    .distinct()
)
BEGUN = select(subject_states.c.tenant, subject_states.c.sid).distinct()


def surfaces(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Each host has one surface; a form answers on its own hosts, and no host that nobody named collects."""
    faults = []
    hosts = [host for named in inspection.policy.surfaces.values() for host in named]
    twice = sorted({host for host in hosts if hosts.count(host) > 1})
    faults += [say("scope.surface.twice", host=host) for host in twice]
    for point, host in inspection.forms():
        if inspection.get(f"/forms/{point.id}", host).status != 200:
            faults.append(say("scope.surface.shut", point=point.id, host=host))
        if inspection.get(f"/forms/{point.id}", "unnamed.invalid").status == 200:
            faults.append(say("scope.surface.unnamed", point=point.id))
    stray = {row.surface for row in inspection.rows(TERMS)} - known_surfaces(inspection)
    faults += [say("scope.surface.stray", surface=surface) for surface in sorted(stray)]
    return unless(faults, say("scope.surface.good", surfaces=len(inspection.policy.surfaces), hosts=len(hosts)))


def known_surfaces(inspection: Inspection) -> set[str]:
    """Every surface of every version."""
    return {surface for version in inspection.versions.history.versions for surface in version.surfaces}


def closed(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """The data map (what clauses declare) against forms, interface and tables: the difference is nothing."""
    faults = []
    for point, host in inspection.forms():
        shown = {c.name for c in inspection.get(f"/forms/{point.id}", host).page.controls if c.name} - SHELL_FIELDS
        declared = {f.name for f in point.fields}
        faults += [say("scope.closed.undeclared", point=point.id, name=name) for name in sorted(shown - declared)]
        faults += [say("scope.closed.lacks", point=point.id, name=name) for name in sorted(declared - shown)]
    faults += list(interface(inspection))
    faults += list(drift(inspection))
    declared_points = {(v.version, p) for v in inspection.versions.history.versions for p in v.points}
    for row in inspection.rows(TERMS):
        if (row.version, row.point) not in declared_points:
            faults.append(say("scope.closed.records", point=row.point, version=row.version))
    return unless(faults, say("scope.closed.good", points=len(inspection.policy.points)))


def interface(inspection: Inspection) -> list[Said]:
    """What the published interface takes and the policy does not declare, or the other way round."""
    document = msgspec.json.decode(inspection.get("/api/v1/openapi.json").body)
    operation = document.get("paths", {}).get("/api/v1/submissions", {}).get("post", {})
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    taken = {part["title"]: part["properties"]["values"] for part in schema.get("oneOf", []) if isinstance(part, dict)}
    if not taken:
        return [say("scope.closed.no-schema")]
    faults = []
    for name, values in taken.items():
        point = inspection.policy.points.get(name)
        declared = {f.name for f in point.fields} if point else set()
        if set(values.get("properties", {})) != declared or values.get("additionalProperties") is not False:
            faults.append(say("scope.closed.interface", point=name))
    return faults


def drift(inspection: Inspection) -> list[Said]:
    """Tables and columns of D that the schema does not know: a shadow table would be one."""

    def fn(connection: Connection) -> list[Said]:
        found = inspect(connection)
        known = {name: {c.name for c in table.columns} for name, table in tables.data.tables.items()}
        faults = []
        for table in found.get_table_names():
            if table.startswith("alembic"):
                continue
            if table not in known:
                faults.append(say("scope.closed.table", table=table))
                continue
            extra = {column["name"] for column in found.get_columns(table)} - known[table]
            faults += [say("scope.closed.column", table=table, column=column) for column in sorted(extra)]
        return faults

    return inspection.store.read(fn)


def bound(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Every record joins to the entry of its collection, and that names the notice and a published version."""
    count = inspection.rows(RECORDS)[0][0]
    entries = [*inspection.entries("intake.accepted"), *inspection.entries("intake.imported")]
    if not entries:
        return unseen(say("notice.bind.unseen"))
    unbound = inspection.rows(UNBOUND)[0][0]
    faults = [say("notice.bind.unbound", records=unbound)] if unbound else []
    versions = {row.version for row in inspection.rows(VERSIONS)}
    faults += [say("notice.bind.no-notice") for e in entries if len(str(e.facts.get("notice", ""))) != 64]
    faults += [say("notice.bind.no-version") for e in entries if e.body.get("policy") not in versions]
    for point, host in inspection.forms():
        ticked = [c for c in inspection.get(f"/forms/{point.id}", host).page.controls if "checked" in c.attributes]
        faults += [say("notice.bind.ticked", point=point.id)] if ticked else []
    return unless(faults, say("notice.bind.good", submissions=len(entries), records=count))


def consents(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Given consents have their entries, and their records say which words were shown, in the version they were."""
    rows = inspection.rows(GIVEN)
    if not rows and not any(inspection.entries(kind) for kind in AGREED[:2]):
        return unseen(say("consent.record.unseen"))
    ungiven = inspection.rows(UNGIVEN)[0][0]
    faults = [say("consent.record.no-entry", consents=ungiven)] if ungiven else []
    for row in rows:
        record: dict[str, Any] = inspection.vault.unseal(
            row.tenant, bytes(row.sid), CLASS, bytes(row.cid), TABLE, SCHEMA, bytes(row.ct)
        )
        version = inspection.versions.history.version(row.version)
        ask = version.consents.get(row.consent)
        if ask is not None and row.kind == "consent.imported":
            if record["dpv:hasNotice"]["troth:words"] or not all(record.get(MEMBER, {}).get(part) for part in TOLD):
                faults.append(say("consent.record.no-evidence"))
        elif ask is None or record["dpv:hasNotice"]["troth:words"] != ask.ask:
            faults.append(say("consent.record.words"))
        if record["troth:events"][-1]["@type"] != "dpv:ConsentGiven":
            faults.append(say("consent.record.ungiven"))
    return unless(faults, say("consent.record.good", consents=len(rows)))


def refusal(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """A form that is looked at and left stores nothing: no cookie, no script that could send what was typed."""
    faults = []
    count = 0
    for point, host in inspection.forms():
        count += 1
        form = inspection.get(f"/forms/{point.id}", host)
        if form.cookies:
            faults.append(say("refusal.nothing.cookie", point=point.id))
        allowed = form.header("content-security-policy")
        if "script-src 'none'" not in allowed and "default-src 'none'" not in allowed:
            faults.append(say("refusal.nothing.scripts", point=point.id))
        if "form-action 'self'" not in allowed:
            faults.append(say("refusal.nothing.elsewhere", point=point.id))
    return unless(faults, say("refusal.nothing.good", forms=count))


def declared(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """The door refuses a field that no clause declares: it is tried. What forms ask for is ``scope.closed``'s."""
    told = probe(inspection, "intake.declared")
    return unless([told] if told else [], say("intake.declared.good"))


def double_opt_in(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Who is live has confirmed; whoever has not was sent the question and nothing else."""
    point = next((p for p in inspection.policy.points.values() if p.clause == clause.id), None)
    came = any(inspection.entries(kind) for kind in ("intake.accepted", "intake.imported"))
    if point is None or not came:
        return unseen(say("intake.double-opt-in.unseen"))
    faults = stray_mail(inspection)
    live = inspection.rows(LIVE_OF.where(terms.c.point == point.id))
    given = inspection.rows(
        select(consent_records.c.tenant, consent_records.c.sid)
        .where(consent_records.c.given_ms.is_not(None))
        .distinct()
    )
    confirmed = {(row.tenant, bytes(row.sid)) for row in given}
    unproven = [row for row in live if (row.tenant, bytes(row.sid)) not in confirmed]
    if unproven and point.consent:
        faults.append(say("intake.double-opt-in.unproven", persons=len(unproven)))
    if not inspection.entries("intake.confirmed"):
        return failed(*faults) if faults else unseen(say("intake.double-opt-in.unconfirmed"))
    return unless(faults, say("intake.double-opt-in.good", persons=len(live)))


def stray_mail(inspection: Inspection) -> list[Said]:
    """Messages sent to people who have not confirmed, other than the question itself."""
    return [
        say("intake.double-opt-in.mailed", template=template, messages=count)
        for template, count in inspection.rows(TO_PENDING)
        if not template.endswith(".confirm")
    ]


def registered(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Every live registration has begun the state that its keeping refers to, and was confirmed."""
    point = next((p for p in inspection.policy.points.values() if p.clause == clause.id), None)
    entries = [e for e in inspection.entries("intake.confirmed") if point and e.facts.get("point") == point.id]
    if point is None or not entries:
        return unseen(say("intake.registration.unseen"))
    states = {phase.while_ for use in point.uses for phase in inspection.policy.keeps[use.keep].phases} - {None}
    faults = stray_mail(inspection)
    if states:
        live = {(row.tenant, bytes(row.sid)) for row in inspection.rows(LIVE_OF.where(terms.c.point == point.id))}
        begun = {
            (row.tenant, bytes(row.sid)) for row in inspection.rows(BEGUN.where(subject_states.c.state.in_(states)))
        }
        faults += [say("intake.registration.stateless", persons=len(live - begun))] if live - begun else []
    return unless(faults, say("intake.registration.good", registrations=len(entries)))


def categories(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Every field has a category, and what counts as personal is not less than the fields that are taken."""
    fields = [(p.id, f) for p in inspection.policy.points.values() for f in p.fields]
    faults = [
        say("category.personal.unknown", field=f"{p}.{f.name}") for p, f in fields if f.category not in CATEGORIES
    ]
    faults += drift(inspection)
    return unless(faults, say("category.personal.good", fields=len(fields)))


CHECKS: dict[str, Check] = {
    "scope.surface": surfaces,
    "scope.closed": closed,
    "notice.bind": bound,
    "consent.record": consents,
    "refusal.nothing": refusal,
    "intake.declared": declared,
    "intake.double-opt-in": double_opt_in,
    "intake.registration": registered,
    "category.personal": categories,
}
