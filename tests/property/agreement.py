"""The one property: the engine says what ``tests/reference.py`` says. Used on the engine, and on it with a fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, settings

from tests import reference
from tests.property.policies import World, cases, worlds
from troth.policy.model import Decision

Decide = Callable[..., Decision]

#: A run. The rarest planted fault shows in one history of 130, so a run misses it once in 100,000.
HISTORIES, QUESTIONS = 1_500, 40


def assert_agreement(decide: Decide, *, histories: int = HISTORIES, questions: int = QUESTIONS) -> Counter[bool]:
    """Ask the engine and the reference ``questions`` on each of ``histories``; how often the answer was yes and no.

    Raises AssertionError with the case at the first disagreement (or whatever the engine raised).
    """
    answers: Counter[bool] = Counter()

    @settings(
        max_examples=histories,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    @given(worlds())
    def agree(world: World) -> None:
        for case in cases(world, questions):
            decision = decide(world.history, case.terms, case.state, case.question, case.evidence, case.version)
            meant = reference.allowed(world.history, *case)
            assert decision.allowed == meant, (world.history, case, decision)
            assert decision.allowed == (not decision.gaps), (world.history, case, decision)
            answers[meant] += 1

    agree()
    return answers
