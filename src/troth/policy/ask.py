"""A decision in a sentence that a person can follow: the policy's own words, and the least that would change it.

Used where somebody asks (``troth ask``) and where a refusal is told (problem+json). It says nothing that is not in
the decision or in the policy: a caller that answers to outsiders takes names from outside out of the gaps first.
"""

from __future__ import annotations

from troth.policy.interpolation import interpolate
from troth.policy.model import CompiledPolicy, Decision
from troth.policy.sentences import sentences

QUOTED = 240  # characters of a clause that are quoted, cut at a sentence's end where there is one
UNDECLARED = "undeclared"  # stands in a gap for a name that somebody from outside used and no clause declares

_MODES = {
    "restricted": "the restriction being lifted",
    "child": "showing that the person is not a child",
    "erasing": "nothing: the person's data is being erased",
}


def explain(decision: Decision, policy: CompiledPolicy) -> str:
    """The answer, the words that carry it, and what is owed (yes) or the smallest change that would allow it (no).

    ``policy`` is the version in force; a clause that only an older version has is named without its words.
    """
    said = "; ".join(filter(None, (quote(policy, clause) for clause in decision.clauses[:2])))
    if decision.allowed:
        owed = [_owed(obligation) for obligation in decision.obligations]
        return _joined(f"Yes: {said}.", f"Then {_listed(owed)}." if owed else "")
    change = _listed([wanting(gap, policy, decision.clauses) for gap in decision.gaps])
    return _joined(
        f"No: {said}." if said else "No: no clause permits this.",
        f"The smallest change that would allow it: {change}." if change else "",
    )


def quote(policy: CompiledPolicy, clause: str) -> str:
    """The words of a clause in quotation marks, with its id; the id alone where this version has no such clause."""
    known = policy.clauses.get(clause)
    if known is None or not known.prose.strip():
        return clause
    prose = " ".join(interpolate(policy, known.prose, (clause,)).split())
    if len(prose) > QUOTED:
        ends = [end for _, end in sentences(prose) if end <= QUOTED]
        prose = prose[: ends[-1]] if ends else prose[:QUOTED].rsplit(" ", 1)[0] + " …"
    return f"“{prose.rstrip('.')}” ({clause})"


def wanting(gap: str, policy: CompiledPolicy, clauses: tuple[str, ...] = ()) -> str:
    """One gap in words, as what would have to be so. An unknown kind of gap stays as it is written."""
    kind, _, name = gap.partition(":")
    if name == UNDECLARED:
        return f"a clause that declares this {kind}"
    near = [use for use in policy.uses if use.clause in clauses]
    if kind == "grant":
        asked = next((f": “{ask.ask.rstrip('.')}”" for ask in policy.consents.values() if ask.purpose == name), "")
        return f"the person's consent to {name}{asked}"
    if kind == "guard":
        return _guard(name)
    if kind == "mode":
        return _MODES.get(name, f"the end of the mode {name}")
    if kind == "form":
        least = next((use.form for use in near if use.form.kind != "identified"), None)
        if least is not None and least.kind == "summary":
            return f"asking for figures over at least {least.at_least} persons"
        return f"asking for less than {name} data"
    if kind == "channel":
        right = any(use.channel == name for use in near)
        return f"naming {name} as the channel" if right else f"another channel than {name}"
    if kind == "recipient":
        right = any(use.recipient == name for use in near)
        return f"{name} as the recipient" if right else f"a clause that lets {name} receive it"
    return _PLAIN[kind].format(name=name) if kind in _PLAIN else gap


_PLAIN = {
    "basis": "the basis for {name} that the data was collected on",
    "field": "leaving out {name}, which no clause permits here",
    "fields": "naming at least one field",
    "keep": "data that is still kept as {name}",
    "meaning": "a consent to {name} as it is defined now, for it was redefined since the data was collected",
    "never": "a policy without the prohibition of {name}",
    "notice": "the clause of version {name} carrying over, and the person being told of that version",
    "phase": "an earlier phase of keeping, for what is left of it does not serve this purpose",
    "point": "a clause that collects at {name}",
    "purpose": "a clause that permits {name} for this data",
    "record": "data from {name}, of which there is none",
    "stop": "the person taking back their objection to {name}",
    "surface": "a clause that collects this on {name}",
    "version": "another version than {name}, which does not permit it",
}


def _guard(name: str) -> str:
    kind, _, number = name.partition(":")
    if kind == "operators":
        return f"the approval of {number} operators"
    if kind == "at_most":
        return "that it was not done before" if number == "1" else f"that it was done fewer than {number} times"
    return f"a recorded {name.replace('_', ' ')}" if ":" not in name and "." not in name else f"proof of {name}"


def _owed(obligation: str) -> str:
    kind, _, name = obligation.partition(":")
    if obligation == "log":
        return "it is recorded"
    if obligation.startswith("erase after "):
        return f"the data is erased after {obligation.removeprefix('erase after ')}"
    if obligation == "unsubscribe":
        return "each message carries a way to unsubscribe"
    if kind == "form":
        size = name.partition(":")[2]
        return f"only figures over at least {size} persons leave" if size else f"only {name} data leaves"
    if kind == "template":
        return f"only {name.replace('_', ' ')} messages are sent"
    return obligation


def _listed(parts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)
