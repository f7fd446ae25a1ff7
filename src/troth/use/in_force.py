"""What the gate remembers while one version of the policy is in force: decisions and phases of keeping.

One object holds both, and the version they were computed for: when another version comes into force, whoever still
holds the old object goes on with what belongs together, and everybody else gets a new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from troth.policy.ask import UNDECLARED
from troth.policy.model import CompiledPolicy, History, State, Terms
from troth.use.rows import spans_of
from troth.use.verdicts import Ask, Refused, Verdict, declared_only, judge, restricted
from troth.vault.retention import phase_until

DUE = -1  # the phase of a record that is past its keeping
FOR_GOOD = 1 << 62  # a time that never comes
PHASES = 50_000  # remembered; forgotten all at once when full
QUESTIONS = 10_000  # questions come from outside: they must not fill the memory

Case = tuple[int, str, int, int, str]  # terms, class, phase, state, mode
Keeping = tuple[int, str, int, int, str | None]  # terms, class, anchor, last use, spans
Plan = dict[Case, Verdict]


class InForce:
    """The version in force from some time until ``until`` (milliseconds UTC), and what was computed under it.

    ``terms`` and ``states`` resolve interned numbers. Threads may share it: at worst two compute the same.
    """

    __slots__ = ("_phases", "_plans", "history", "policy", "states", "terms", "until")

    def __init__(
        self,
        policy: CompiledPolicy,
        history: History,
        now: int,
        terms: Mapping[int, Terms],
        states: Mapping[int, State],
    ) -> None:
        self.policy = policy
        self.history = history
        self.terms = terms
        self.states = states
        coming = [version.effective_ms for version in history.versions if version.effective_ms > now]
        self.until = min(coming, default=FOR_GOOD)
        self._plans: dict[Ask, Plan] = {}
        self._phases: dict[Keeping, tuple[int, int, int]] = {}

    def plan(self, ask: Ask) -> Plan:
        """What was decided about this question so far."""
        plan = self._plans.get(ask)
        if plan is None:
            if len(self._plans) >= QUESTIONS:
                self._plans = {}
            plan = self._plans[ask] = {}
        return plan

    def phase(self, row: Sequence[Any], now: int) -> int:
        """The phase of keeping that a row's record is in, ``DUE`` when it is past the last one."""
        key = (row[7], row[8], row[10], row[4], row[5])
        known = self._phases.get(key)
        if known is not None and known[1] <= now < known[2]:
            return known[0]
        return self._compute_phase(key, now)

    def _compute_phase(self, key: Keeping, now: int) -> int:
        terms_id, class_, anchor, last_use, spans = key
        version = self.history.version(self.terms[terms_id].version)
        keep = version.keeps.get(class_)
        phase: int | str = 0
        until: int | None = None
        if keep is not None and keep.phases:
            phase, until = phase_until(keep, version.states, anchor, spans_of(spans), last_use, now)
        number = phase if isinstance(phase, int) else DUE
        if len(self._phases) >= PHASES:
            self._phases = {}
        self._phases[key] = (number, now, FOR_GOOD if until is None else until)
        return number

    def verdict(self, ask: Ask, plan: Plan, case: Case) -> Verdict:
        """The decision on one case, asked of the policy and remembered in ``plan``."""
        terms_id, class_, phase, state_id, mode = case
        if phase == DUE:
            verdict: Verdict = Refused((), (f"keep:{class_}",))
        else:
            terms = replace(self.terms[terms_id], phase=phase, keep=class_)
            state = restricted(self.states[state_id], mode)
            verdict = judge(self.history, self.policy.version, terms, state, ask)
        plan[case] = verdict
        return verdict

    def told(self, refused: Refused) -> Refused:
        """A refusal as it may be told and recorded: with a clause, and without any name from outside."""
        return declared_only(self.policy, refused)

    def purpose_told(self, purpose: str) -> str:
        """The purpose's name if the policy declares it; what else came from outside is not repeated."""
        return purpose if purpose in self.policy.purposes else UNDECLARED
