"""What the versions of a policy permit together, for data collected under one of them (LANGUAGE 3).

A record starts with what the version of its collection permits. Each later version leaves the part that both permit,
at once and for old data too; what a version adds reaches old data only if it says so (``carries_over``) and the person
is bound by that version. Prohibitions, phases of keeping and declared recipients are applied version by version, each
judging its own uses, so that no version can undo what an earlier one promised.

A use that is lost on the way stays in the result with its ``faults``, so that a denial can say what was lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from troth.policy.model import Basis, CompiledPolicy, Form, History, Keep, Never, State, Terms, Use, Value

#: What a person may do about a use, by its basis (Art. 6, 7, 20, 21). More powers is the smaller burden.
POWERS: Mapping[Basis, frozenset[str]] = {
    "consent": frozenset({"prior", "stop", "port"}),
    "legitimate_interest": frozenset({"stop"}),
    "public_interest": frozenset({"stop"}),
    "contract": frozenset({"port"}),
    "legal_obligation": frozenset(),
    "vital_interest": frozenset(),
}

_REVEALS = {"summary": 0, "pseudonymous": 1, "identified": 2}


class Part(Value, frozen=True):
    """A use as far as a chain of versions permits it, and what is needed to judge and to explain it.

    ``clauses``: those that carry it, newest version first. ``asks``: the channels for which a consent must be there.
    ``struck``: fields that a prohibition took away, with its clause. ``faults``: why it permits nothing at all, in
    the words of ``Decision.gaps``; empty for a part that is permitted.
    """

    use: Use
    clauses: tuple[str, ...]
    asks: frozenset[str | None] = frozenset()
    struck: frozenset[tuple[str, str]] = frozenset()
    faults: frozenset[str] = frozenset()


def revelation(form: Form) -> tuple[int, int]:
    """How much a form of output reveals: summaries least, and the fewer the more persons they need."""
    return _REVEALS[form.kind], -form.at_least if form.kind == "summary" else 0


def chain(history: History, terms: Terms, version: str) -> tuple[CompiledPolicy, ...]:
    """The versions from the collection's to the one in force; empty if either is unknown or they are out of order."""
    names = [known.version for known in history.versions]
    if terms.version not in names or version not in names:
        return ()
    return history.versions[names.index(terms.version) : names.index(version) + 1]


def lineage(history: History, purpose: str, version: str) -> tuple[str, ...]:
    """The purpose and every node above it in any version up to ``version``, newest first.

    An objection to a node holds for what stood below it then and for what stands below it now.
    """
    nodes: list[str] = [purpose]
    names = [known.version for known in history.versions]
    last = names.index(version) + 1 if version in names else 0
    for known in reversed(history.versions[:last]):
        nodes += (node for node in known.ancestors(purpose) if node not in nodes)
    return tuple(nodes)


def parts(history: History, terms: Terms, state: State, version: str, purpose: str | None = None) -> tuple[Part, ...]:
    """Every use of the data collected under ``terms`` while ``version`` is in force, lost ones with their faults.

    Only those for exactly ``purpose``, if it is given. Of ``state`` only ``bound`` counts here. The order does not
    depend on the order of clauses.
    """
    names = [known.version for known in history.versions]
    bound = names.index(state.bound) if state.bound in names else -1
    found: list[Part] = []
    for later, policy in enumerate(chain(history, terms, version)):
        own = _declared(policy, terms, purpose)
        if later == 0:
            found = own
            continue
        found = [both for old in found for new in own if (both := _meet(old, new)) is not None]
        if bound >= names.index(policy.version):
            found += (part for part in own if part.use.carries_over)
        found = _widest(found)
    if terms.keep is not None:
        found = [_faulty(part, f"keep:{part.use.keep}") if part.use.keep != terms.keep else part for part in found]
    return tuple(_widest(found))


def _declared(policy: CompiledPolicy, terms: Terms, purpose: str | None) -> list[Part]:
    """What this version by itself permits with data from the terms' point and surface, in their phase of keeping."""
    point = policy.points.get(terms.point)
    if point is None or (point.surfaces and terms.surface not in point.surfaces):
        return []
    categories = {field.name: field.category for field in point.fields}
    found = []
    for use in policy.uses:
        if use.point == terms.point and purpose in (None, use.purpose):
            found += _lawful(policy, _received(policy, _begin(policy, use, terms.phase), categories), categories)
    return _widest(found)


def _begin(policy: CompiledPolicy, use: Use, phase: int) -> Part:
    direct = use.direct or any(
        policy.purposes[node].direct for node in policy.ancestors(use.purpose) if node in policy.purposes
    )
    asks: frozenset[str | None] = frozenset({use.channel} if use.basis == "consent" else ())
    part = Part(use=replace(use, direct=direct), clauses=(use.clause,), asks=asks)
    return part if _in_phase(policy.keeps.get(use.keep), phase, use.purpose) else _faulty(part, "phase")


def _in_phase(keep: Keep | None, phase: int, purpose: str) -> bool:
    phases = keep.phases if keep else ()
    if not phases:  # a text that names no period: one phase, which never ends
        return phase == 0
    if not 0 <= phase < len(phases):
        return False
    only = phases[phase].only
    return only is None or purpose in only


def _received(policy: CompiledPolicy, part: Part, categories: Mapping[str, str]) -> Part:
    """The part that the recipient's own declaration covers: its categories, purpose and guards."""
    use = part.use
    if use.recipient is None:
        return part
    recipient = policy.recipients.get(use.recipient)
    if recipient is None or recipient.purpose not in policy.ancestors(use.purpose):
        return _faulty(part, f"recipient:{use.recipient}")
    fields = use.fields
    if recipient.categories:
        fields = frozenset(
            field for field in fields if any(_under(categories.get(field, ""), root) for root in recipient.categories)
        )
    return replace(part, use=replace(use, fields=fields, guards=use.guards | recipient.guards))


def _lawful(policy: CompiledPolicy, part: Part, categories: Mapping[str, str]) -> list[Part]:
    """The part without what this version prohibits; where a guard lifts a prohibition, also the whole with the guard.

    All clauses of one policy have the same scope, its surfaces, so a prohibition beats every permit here but those
    it excepts. It covers the purposes below those it names, and a category that contains or is contained in its own.
    """
    alternatives = [part]
    for never in sorted(policy.nevers, key=lambda never: (never.clause, never.unless or "")):
        if not _concerns(policy, never, part.use):
            continue
        hit = frozenset(field for field in part.use.fields if _prohibits(never, categories.get(field)))
        struck = {(field, never.clause) for field in hit}
        left = []
        for old in alternatives:
            rest = replace(old.use, fields=old.use.fields - hit)
            left.append(replace(old, use=rest, struck=old.struck | struck))
            if never.unless is not None and not hit.isdisjoint(old.use.fields):
                whole = replace(old.use, guards=old.use.guards | {never.unless})
                left.append(replace(old, use=whole, clauses=_merged(old.clauses, (never.clause,))))
        alternatives = _widest(left)
    return alternatives


def _concerns(policy: CompiledPolicy, never: Never, use: Use) -> bool:
    if never.act not in ("use", "share") or (never.act == "share" and use.recipient is None):
        return False
    if use.clause in never.except_:
        return False
    if never.purposes and never.purposes.isdisjoint(policy.ancestors(use.purpose)):
        return False
    return not never.recipients or use.recipient in never.recipients


def _prohibits(never: Never, category: str | None) -> bool:
    if not never.categories or category is None:  # a field that nobody declared may be anything
        return True
    return any(_under(category, root) or _under(root, category) for root in never.categories)


def _under(category: str, root: str) -> bool:
    """Whether a dotted category is ``root`` or lies below it."""
    return category == root or category.startswith(root + ".")


def _meet(old: Part, new: Part) -> Part | None:
    """The part that an earlier chain and a later version both permit; None if they speak of different things."""
    a, b = old.use, new.use
    if a.purpose != b.purpose or a.recipient != b.recipient:
        return None
    if a.channel is not None and b.channel is not None and a.channel != b.channel:
        return None
    faults = old.faults | new.faults
    basis = _stronger(a.basis, b.basis)
    if basis is None:  # each gives a power that the other takes away
        basis = b.basis
        faults |= {f"basis:{b.purpose}"}
    if a.meaning != b.meaning and basis != "consent":  # a purpose redefined; only a new consent could carry it
        faults |= {f"meaning:{b.purpose}"}
    use = Use(
        clause=b.clause,
        point=b.point,
        fields=a.fields & b.fields,
        categories=b.categories,
        purpose=b.purpose,
        meaning=b.meaning,
        basis=basis,
        keep=a.keep,  # the record lies under the class of its collection
        recipient=b.recipient,
        channel=a.channel if b.channel is None else b.channel,
        form=min(a.form, b.form, key=revelation),
        guards=a.guards | b.guards,
        survives=a.survives & b.survives,
        direct=a.direct or b.direct,
        carries_over=b.carries_over,
    )
    return Part(
        use=use,
        clauses=_merged(new.clauses, old.clauses),
        asks=old.asks | new.asks,
        struck=old.struck | new.struck,
        faults=faults,
    )


def _stronger(old: Basis, new: Basis) -> Basis | None:
    """The basis that leaves the person every power of both, the newer one if they are alike; None if neither does."""
    if POWERS[new] >= POWERS[old]:
        return new
    return old if POWERS[old] >= POWERS[new] else None


def _widest(found: Iterable[Part]) -> list[Part]:
    """Without those that another covers in every respect, so that long histories stay small; in a fixed order."""
    several = list(found)
    if len(several) < 2:
        return several
    kept: list[Part] = []
    for part in sorted(several, key=order):
        if not any(_below(part, other) for other in kept):
            kept = [other for other in kept if not _below(other, part)]
            kept.append(part)
    return kept


def _below(part: Part, other: Part) -> bool:
    a, b = part.use, other.use
    return (
        (a.purpose, a.recipient, a.meaning, a.keep) == (b.purpose, b.recipient, b.meaning, b.keep)
        and POWERS[a.basis] == POWERS[b.basis]
        and a.fields <= b.fields
        and b.guards <= a.guards
        and b.channel in (None, a.channel)
        and revelation(a.form) <= revelation(b.form)
        and a.survives <= b.survives
        and b.direct <= a.direct
        and a.carries_over <= b.carries_over
        and other.asks <= part.asks
        and other.faults <= part.faults
    )


def order(part: Part) -> tuple[Any, ...]:
    """A total order on parts that depends on nothing but their content."""
    use = part.use
    return (
        part.clauses,
        use.purpose,
        use.recipient or "",
        use.channel or "",
        use.keep,
        use.basis,
        use.meaning,
        sorted(use.fields),
        sorted(use.guards),
        sorted(use.survives),
        use.direct,
        revelation(use.form),
        sorted(channel or "" for channel in part.asks),
        sorted(part.faults),
        sorted(part.struck),
        sorted(use.categories),
    )


def _merged(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return first + tuple(clause for clause in second if clause not in first)


def _faulty(part: Part, fault: str) -> Part:
    return replace(part, faults=part.faults | {fault})
