"""What the words of one policy mean: its purposes, categories, events, states, surfaces and retention classes.

Everything that other clauses refer to by name is gathered here first, so that each reference can be checked, with
the nearest known name beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from troth.policy.bodies import FrontMatter, KeepBody, Name, PurposeBody, StateBody
from troth.policy.categories import CATEGORIES, parent, under
from troth.policy.clauses import ReadClause
from troth.policy.diagnostics import did_you_mean
from troth.policy.model import Duration, Keep, Phase, Purpose, StateRule
from troth.policy.vocabulary import EVENTS, GUARDS, PURPOSES

#: The retention class of a use whose text names no period (``historical``): kept until somebody has it erased.
UNSTATED = "unstated"
AS_GOOD_AS_EVER = Duration("no period stated", months=1200)

SHORTEST_MONTH_MS = 28 * 86_400_000


class Definitions:
    """The names of one policy. ``purposes`` grows with the vocabulary's purposes as clauses name them."""

    def __init__(self, front: FrontMatter, clauses: Sequence[ReadClause]) -> None:
        self.front = front
        self.clauses = {clause.id: clause for clause in clauses}
        self.surfaces: dict[str, tuple[str, ...]] = {str(s): () for s in front.surfaces}
        self.modes: dict[str, dict[str, str]] = {}
        self.roles: dict[str, str] = {}
        self.events: dict[str, str] = dict(EVENTS)
        self.categories: dict[str, str] = dict(CATEGORIES)
        self.terms: dict[str, str] = {}
        self.personal: frozenset[str] = frozenset()
        self.purposes: dict[str, Purpose] = {}
        self.states: dict[str, StateRule] = {}
        self.keeps: dict[str, Keep] = {}
        self._bodies: dict[str, tuple[ReadClause, PurposeBody]] = {}
        self._points = self._point_names(clauses)
        for point in self._points:
            for happening in ("accepted", "confirmed", "withdrawn"):
                self.events.setdefault(f"{point}.{happening}", f"{happening}: {point}")
        for clause in clauses:
            self._define(clause)
        self._parents()
        for clause in clauses:
            self._states(clause)
        for clause in clauses:
            self._keeps(clause)
        roots = self._personal_roots(clauses) or {"user"}
        self.personal = frozenset(c for c in self.categories if any(under(c, root) for root in roots))

    # --- references ---

    def purpose(self, clause: ReadClause, name: Name) -> Purpose | None:
        """The purpose of this name, with its ancestors, or None (told as UNKNOWN_PURPOSE)."""
        found = self.purposes.get(name) or self._made(clause, str(name))
        if found is None:
            message = f'no clause defines the purpose "{name}"'
            paste = f"define:\n  purposes:\n    {name}: {{is: dpv:Purpose, means: }}"
            hint = did_you_mean(name, [*self._bodies, *PURPOSES])
            clause.error("UNKNOWN_PURPOSE", name.at, message, hint=hint, paste="" if hint else paste)
            return None
        node: Purpose | None = found
        while node is not None and node.id not in self.purposes:
            self.purposes[node.id] = node
            node = self._made(clause, node.parent) if node.parent is not None else None
        return found

    def _made(self, clause: ReadClause, name: str) -> Purpose | None:
        if name in self._bodies:
            owner, body = self._bodies[name]
            return Purpose(
                id=name,
                clause=owner.id,
                meaning=meaning(name, body.is_, body.means, body.direct),
                parent=str(body.parent) if body.parent else None,
                dpv=str(body.is_) if body.is_ else None,
                direct=body.direct,
                title=str(body.title or body.means or ""),
            )
        if name in PURPOSES:
            above, dpv, direct, _ = PURPOSES[name]
            return Purpose(name, clause.id, meaning(name, dpv, None, direct), above, dpv, direct)
        return None

    def category(self, clause: ReadClause, name: Name) -> bool:
        """Whether the category is known; told as UNKNOWN_CATEGORY if not."""
        if name in self.categories:
            return True
        above = parent(name)
        paste = f"define:\n  categories:\n    {name}: what it is" if above in self.categories else ""
        hint = did_you_mean(name, self.categories)
        message = f'the category "{name}" is not known'
        clause.error("UNKNOWN_CATEGORY", name.at, message, hint=hint, paste="" if hint else paste)
        return False

    def event(self, clause: ReadClause, name: Name) -> None:
        """Tell UNKNOWN_EVENT where nothing makes this event happen."""
        if name not in self.events:
            hint = did_you_mean(name, self.events)
            paste = "" if hint else f"define:\n  events:\n    {name}: what happens"
            clause.error("UNKNOWN_EVENT", name.at, f'the event "{name}" is not known', hint=hint, paste=paste)

    def keep(self, clause: ReadClause, name: Name) -> bool:
        """Whether the retention class is declared; told as UNKNOWN_KEEP if not."""
        if name in self.keeps:
            return True
        message = f'no clause says how long "{name}" is kept'
        paste = f"requires:\n  keep:\n    {name}: {{phases: [{{for: 30 days}}]}}"
        hint = did_you_mean(name, self.keeps)
        clause.error("UNKNOWN_KEEP", name.at, message, hint=hint, paste="" if hint else paste)
        return False

    def point(self, clause: ReadClause, name: Name) -> bool:
        """Whether some clause collects at this point; told as UNKNOWN_POINT if not."""
        if name in self._points:
            return True
        message = f'no clause collects at a point "{name}"'
        clause.error("UNKNOWN_POINT", name.at, message, hint=did_you_mean(name, self._points))
        return False

    def refer(self, clause: ReadClause, names: Iterable[Name]) -> frozenset[str]:
        """These clause ids; those that do not exist are told as UNKNOWN_CLAUSE."""
        found = set()
        for name in names:
            if name in self.clauses:
                found.add(str(name))
            else:
                message = f'there is no clause "{name}"'
                clause.error("UNKNOWN_CLAUSE", name.at, message, hint=did_you_mean(name, self.clauses))
        return frozenset(found)

    def guard(self, clause: ReadClause, name: Name) -> None:
        """Tell UNKNOWN_GUARD where no row could ever meet it."""
        if name not in GUARDS:
            hint = did_you_mean(name, GUARDS)
            clause.error("UNKNOWN_GUARD", name.at, f'the guard "{name}" is not known', hint=hint)

    # --- gathering ---

    @staticmethod
    def _point_names(clauses: Sequence[ReadClause]) -> dict[str, ReadClause]:
        found: dict[str, ReadClause] = {}
        for clause in clauses:
            if clause.permits and clause.permits.collect:
                found.setdefault(str(clause.permits.collect.point), clause)
        return found

    def _define(self, clause: ReadClause) -> None:
        body = clause.defines
        if body is None:
            return
        for name, surface in body.surfaces.items():
            if name in self.surfaces:
                self.surfaces[str(name)] = tuple(str(h).lower() for h in surface.hosts)
                self.modes[str(name)] = {"/": str(surface.mode)} | {str(p): str(m) for p, m in surface.paths.items()}
            else:
                self._unknown_surface(clause, name)
        for name, role in body.roles.items():
            if name in self.surfaces:
                self.roles[str(name)] = str(role)
            else:
                self._unknown_surface(clause, name)
        for name, purpose in body.purposes.items():
            if name in self._bodies:
                first = self._bodies[name][0].id
                clause.error("DUPLICATE_NAME", name.at, f'the purpose "{name}" is defined by {first} already')
            else:
                self._bodies[str(name)] = (clause, purpose)
        self.events |= {str(name): str(says) for name, says in body.events.items()}
        self.terms |= {str(name): clause.id for name in body.terms}
        for name, says in body.categories.items():
            if parent(name) in self.categories:
                self.categories[str(name)] = str(says)
            else:
                message = f'a category stands below a known one; "{parent(name) or name}" is not known'
                clause.error("UNKNOWN_CATEGORY", name.at, message, hint=did_you_mean(name, self.categories))

    def surface(self, clause: ReadClause, name: Name) -> bool:
        """Whether the front matter names this surface; told as UNKNOWN_SURFACE if not."""
        if name not in self.surfaces:
            self._unknown_surface(clause, name)
        return name in self.surfaces

    def _unknown_surface(self, clause: ReadClause, name: Name) -> None:
        message = f'the front matter does not name the surface "{name}"'
        clause.error("UNKNOWN_SURFACE", name.at, message, hint=did_you_mean(name, self.surfaces))

    def _parents(self) -> None:
        """Follow each purpose upwards, each once: a parent that is not known and a circle are told."""
        ended: set[str] = set()
        for name, (clause, body) in list(self._bodies.items()):
            way = [name]
            node = body.parent
            while node is not None and node not in ended and node not in way[-1:] and len(way) <= len(self._bodies):
                if node not in self._bodies:
                    if node not in PURPOSES:
                        self.purpose(self._bodies[way[-1]][0], node)
                    node = None
                    break
                way.append(str(node))
                clause, body = self._bodies[node]
                node = body.parent
            if node is not None and node not in ended:
                self._circle(clause, node)
            ended.update(way)

    def _circle(self, clause: ReadClause, node: Name) -> None:
        if node in self._bodies:
            clause.error("CIRCLE", node.at, f'the purpose "{node}" is its own ancestor')
            owner, circular = self._bodies[str(node)]
            self._bodies[str(node)] = (owner, replace(circular, parent=None))

    def _states(self, clause: ReadClause) -> None:
        bodies = clause.defines.states if clause.defines else clause.requires.states if clause.requires else {}
        for name, body in bodies.items():
            if name in self.states:
                first = self.states[name].clause
                clause.error("DUPLICATE_NAME", name.at, f'the state "{name}" is defined by {first} already')
            else:
                self.states[str(name)] = self._state(clause, name, body)

    def _state(self, clause: ReadClause, name: Name, body: StateBody) -> StateRule:
        for event in (*body.from_, *body.to):
            self.event(clause, event)
        begins, ends = tuple(map(str, body.from_)), tuple(map(str, body.to))
        if not begins:
            clause.error("EMPTY", body.at, f'no event begins the state "{name}"')
        if not ends and body.idle is None:
            message = f'nothing ends the state "{name}": data kept by it would be kept for ever'
            clause.error("ENDLESS_STATE", body.at, message, paste="to: [account.closed]")
        if body.warn is not None and not warnable(body.idle, body.warn):
            message = f'the warning about "{name}" comes a number of days before an idleness that is longer'
            clause.error("BAD_WARNING", body.at, message, paste="idle: 24 months, warn: 30 days")
        elif body.warn is not None and not any(self._sends(each, "account.idle") for each in self.clauses.values()):
            message = f'no message says that "{name}" will end for want of use'
            letter = "{class: notice, purpose: account, fields: [email], when: account.idle}"
            clause.error("BAD_WARNING", body.at, message, paste=f"message:\n  account.unused: {letter}")
        return StateRule(str(name), clause.id, begins, ends, body.idle, body.warn)

    @staticmethod
    def _sends(clause: ReadClause, event: str) -> bool:
        return clause.requires is not None and any(m.when == event for m in clause.requires.message.values())

    def _keeps(self, clause: ReadClause) -> None:
        for name, body in clause.requires.keep.items() if clause.requires else ():
            if name in self.keeps:
                first = self.keeps[name].clause
                clause.error("DUPLICATE_NAME", name.at, f'"{name}" has its periods in {first} already')
            else:
                self.keeps[str(name)] = Keep(str(name), clause.id, self._phases(clause, name, body))

    def _phases(self, clause: ReadClause, name: Name, body: KeepBody | Duration) -> tuple[Phase, ...]:
        if isinstance(body, Duration):
            return (Phase(for_=body),)
        phases = []
        for phase in body.phases:
            if (phase.while_ is None) == (phase.for_ is None):
                message = "a phase lasts while a state holds, or for a period: one of the two stands here"
                clause.error("BAD_PHASE", phase.at, message, paste="{for: 30 days}")
            if phase.while_ is not None and phase.while_ not in self.states:
                hint = did_you_mean(phase.while_, self.states)
                paste = f"define:\n  states:\n    {phase.while_}: {{from: [account.created], to: [account.closed]}}"
                message = f'no clause defines the state "{phase.while_}"'
                clause.error("UNKNOWN_STATE", phase.while_.at, message, hint=hint, paste="" if hint else paste)
            for purpose in phase.only or ():
                self.purpose(clause, purpose)
            only = None if phase.only is None else frozenset(map(str, phase.only))
            phases.append(Phase(str(phase.while_) if phase.while_ else None, phase.for_, only))
        if not phases:
            clause.error("NO_RETENTION", body.at, f'"{name}" has no phase: how long is it kept?')
        return tuple(phases)

    def _personal_roots(self, clauses: Sequence[ReadClause]) -> set[str]:
        roots: set[str] = set()
        for clause in clauses:
            for term, body in clause.defines.terms.items() if clause.defines else ():
                if term == "personal_data" and not isinstance(body, str):
                    roots |= {str(c) for c in body.categories if self.category(clause, c)}
        return roots


def warnable(idle: Duration | None, warn: Duration) -> bool:
    """Whether a warning can come so long before this idleness ends, whatever the months' lengths."""
    return idle is not None and not warn.months and warn.ms < idle.months * SHORTEST_MONTH_MS + idle.ms


def meaning(name: str, dpv: str | None, means: str | None, direct: bool) -> str:
    """A short hash of what a purpose means; a consent counts only for the meaning it was given for."""
    said = msgspec.json.encode([name, str(dpv or ""), str(means or ""), direct])
    return hashlib.sha256(said).hexdigest()[:16]
