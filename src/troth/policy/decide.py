"""The decision: may these data be used for this purpose? Plain functions of values; nothing is possible by silence.

``uses`` lists what a person's choices leave of what the policy permits, ``decide`` answers one question. The memo
over them is ``troth.policy.memo``; a second writing of the same meaning is ``tests/reference.py``.

What LANGUAGE 3 leaves open is settled so:

- A use declared for a purpose covers exactly that purpose, never those above or below it. Objections and
  prohibitions cover everything below the node they name: they must not be escaped by a finer name.
- A use with no channel may use any; one with a channel answers only questions that name it. A use for a recipient
  never covers use by the controller itself, nor the other way round. A form covers every form that reveals less.
- A question without fields is about nothing, and denied.
- A consent counts only for the same purpose, channel and meaning, and only while no objection stands against it.
- Guards are compared as they are written: who has three operators' approvals gives ``operators:2`` as evidence too.

Gaps, as in ``Decision.gaps``. To be closed by somebody: ``grant:<purpose>``, ``guard:<name>``. In the question:
``field:<name>``, ``fields`` (none was named), ``form:<kind>``, ``channel:<name>``, ``recipient:<id>``. The person's
choice: ``stop:<node>``, ``mode:<mode>``. The policy's: ``never:<clause>``, ``phase``, ``keep:<class>``,
``purpose:<id>``, ``point:<id>``, ``surface:<id>``, ``version:<id>`` (unknown, later, or the one that ended the use),
``notice:<version>`` (it adds the use, but does not reach data from before it), ``basis:<purpose>`` and
``meaning:<purpose>`` (changed since the collection).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec.structs import replace

from troth.policy.model import CompiledPolicy, Decision, History, Keep, Question, State, Terms, Use
from troth.policy.narrow import POWERS, Part, chain, lineage, order, parts, revelation


def uses(history: History, terms: Terms, state: State, version: str) -> tuple[Use, ...]:
    """The uses that are live for a person in ``state`` with data collected under ``terms``, ``version`` in force.

    Guards are not asked for, they stand in each use. ``clause`` is the newest that carries it, ``categories`` are
    those of its fields today. Empty where nothing is permitted, or where a version is unknown.
    """
    found = []
    for part in parts(history, terms, state, version):
        if part.use.fields and not part.faults and not _choices(part, state, history, version, part.use.channel):
            point = history.version(version).points[terms.point]
            names = {field.name: field.category for field in point.fields}
            categories = frozenset(names[field] for field in part.use.fields if field in names)
            use = replace(part.use, categories=categories)
            if use not in found:
                found.append(use)
    return tuple(found)


def live(use: Use, state: State, nodes: Iterable[str] = ()) -> bool:
    """Whether the person's choices leave this use open. ``nodes``: its purpose's ancestors (``narrow.lineage``)."""
    asks: frozenset[str | None] = frozenset({use.channel} if use.basis == "consent" else ())
    return not _hindrances(use, asks, state, (use.purpose, *nodes), use.channel)


def decide(
    history: History, terms: Terms, state: State, question: Question, evidence: Collection[str], version: str
) -> Decision:
    """Answer ``question`` about data collected under ``terms``, for a person in ``state``, ``version`` in force.

    ``evidence`` names the guards that are met, by rows read in the same transaction. Denied unless one use permits
    every field; then ``clauses`` came closest and ``gaps`` is the least that would have to change. Allowed, the
    ``obligations`` say what is still owed: ``log``, ``form:…`` the answer must have, when it is erased, the classes
    of messages. Never raises: what is unknown is denied.
    """
    nearest: tuple[int, tuple[str, ...], Part] | None = None
    for part in parts(history, terms, state, version, question.purpose):
        gaps = (
            *_misfits(part, question),
            *_choices(part, state, history, version, question.channel),
            *(f"guard:{guard}" for guard in sorted(part.use.guards.difference(evidence))),
        )
        if nearest is None or (len(gaps), gaps, order(part)) < (nearest[0], nearest[1], order(nearest[2])):
            nearest = (len(gaps), gaps, part)
    if nearest is None:
        return _silence(history, terms, question, version)
    _, gaps, part = nearest
    if not gaps:
        return Decision(True, part.clauses, (), _obligations(history.version(version), part.use, question))
    nevers = tuple(gap.partition(":")[2] for gap in gaps if gap.startswith("never:"))
    return Decision(False, tuple(dict.fromkeys((*nevers, *part.clauses))), gaps)


def _misfits(part: Part, question: Question) -> list[str]:
    """What of the question the part does not cover, and what the part lost on its way through the versions."""
    use = part.use
    gaps = sorted(part.faults)
    if use.recipient != question.recipient and f"recipient:{question.recipient or use.recipient}" not in gaps:
        gaps.append(f"recipient:{question.recipient or use.recipient}")
    if use.channel is not None and use.channel != question.channel:
        gaps.append(f"channel:{question.channel or use.channel}")
    if not question.fields:
        gaps.append("fields")
    for field in sorted(question.fields - use.fields):
        nevers = sorted(clause for taken, clause in part.struck if taken == field)
        gaps += (f"never:{clause}" for clause in nevers if f"never:{clause}" not in gaps)
        if not nevers:
            gaps.append(f"field:{field}")
    if revelation(question.form) > revelation(use.form):
        gaps.append(f"form:{question.form.kind}")
    return gaps


def _choices(part: Part, state: State, history: History, version: str, channel: str | None) -> list[str]:
    return _hindrances(part.use, part.asks, state, lineage(history, part.use.purpose, version), channel)


def _hindrances(
    use: Use, asks: frozenset[str | None], state: State, nodes: Collection[str], channel: str | None
) -> list[str]:
    """What of the person's choices stands against the use over this channel; empty if it is live."""
    gaps = []
    if state.mode != "normal" and state.mode not in use.survives:
        gaps.append(f"mode:{state.mode}")
    if use.direct or "stop" in POWERS[use.basis]:
        stopped = {stop.purpose for stop in state.stops if stop.purpose in nodes and stop.channel in (None, channel)}
        gaps += (f"stop:{node}" for node in sorted(stopped))
    given = {grant.channel for grant in state.grants if (grant.purpose, grant.meaning) == (use.purpose, use.meaning)}
    if not asks <= given:
        gaps.append(f"grant:{use.purpose}")
    return gaps


def _silence(history: History, terms: Terms, question: Question, version: str) -> Decision:
    """The denial where no chain of versions speaks of this purpose for these data: say where it ends."""
    versions = chain(history, terms, version)
    if not versions:
        known = any(policy.version == version for policy in history.versions)
        return Decision(False, (), (f"version:{terms.version if known else version}",))
    permitting = [_clauses_for(policy, terms, question.purpose) for policy in versions]
    now = versions[-1]
    if permitting[0]:
        ended = next((later for later, clauses in zip(versions, permitting, strict=True) if not clauses), now)
        return Decision(False, permitting[0], (f"version:{ended.version}",))
    if permitting[-1]:
        return Decision(False, permitting[-1], (f"notice:{now.version}",))
    point = now.points.get(terms.point)
    if point is None:
        return Decision(False, _closing(now), (f"point:{terms.point}",))
    if point.surfaces and terms.surface not in point.surfaces:
        return Decision(False, (point.clause,), (f"surface:{terms.surface}",))
    near = _nearest_words(now, question.purpose) or (point.clause,)
    return Decision(False, near, (f"purpose:{question.purpose}",))


def _nearest_words(policy: CompiledPolicy, purpose: str) -> tuple[str, ...]:
    """What the policy says of a purpose that it does not permit here: forbidden, permitted elsewhere, not mentioned."""
    above = policy.ancestors(purpose)
    forbidding = {
        never.clause for never in policy.nevers if never.act == "use" and not never.purposes.isdisjoint(above)
    }
    elsewhere = {use.clause for use in policy.uses if use.purpose == purpose}
    return tuple(sorted(forbidding)) or tuple(sorted(elsewhere)) or _closing(policy)


def _clauses_for(policy: CompiledPolicy, terms: Terms, purpose: str) -> tuple[str, ...]:
    point = policy.points.get(terms.point)
    if point is None or (point.surfaces and terms.surface not in point.surfaces):
        return ()
    return tuple(sorted({use.clause for use in policy.uses if use.point == point.id and use.purpose == purpose}))


def _closing(policy: CompiledPolicy) -> tuple[str, ...]:
    """The clauses that promise that nothing undeclared happens, for a denial that has no nearer one."""
    return tuple(clause.id for clause in policy.clauses.values() if "scope.closed" in clause.mechanisms)


def _obligations(policy: CompiledPolicy, use: Use, question: Question) -> tuple[str, ...]:
    owed = ["log"]
    if question.form.kind != "identified":
        size = f":{question.form.at_least}" if question.form.kind == "summary" else ""
        owed.append(f"form:{question.form.kind}{size}")
    keep = policy.keeps.get(use.keep)
    if keep is not None and keep.phases:
        owed.append(f"erase after {_end(keep)}")
    if question.channel is not None:
        kinds = {
            template.kind
            for template in policy.templates.values()
            if (template.purpose, template.channel) == (use.purpose, question.channel)
        }
        owed += (f"template:{kind}" for kind in sorted(kinds))
        if use.direct:
            owed.append("unsubscribe")
    return tuple(owed)


def _end(keep: Keep) -> str:
    """The phases as words: ``account.active, then 30 days``."""
    words = []
    for phase in keep.phases:
        state = phase.while_ or ""
        period = phase.for_.text if phase.for_ else ""
        words.append(f"{state} or {period}" if state and period else state or period or "no time")
    return ", then ".join(words)
