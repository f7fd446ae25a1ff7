"""The decision holds to its meaning over generated policies, and to the laws that anybody would expect of it."""

from __future__ import annotations

import time
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.property.agreement import assert_agreement
from tests.property.policies import (
    BASES,
    CHANNELS,
    EVIDENCE,
    FIELDS,
    MODES,
    PURPOSES,
    Case,
    World,
    cases,
    draw_history,
    draw_next,
    policy,
    worlds,
)
from troth.policy.decide import decide, live, uses
from troth.policy.model import (
    CompiledPolicy,
    Decision,
    Form,
    Grant,
    History,
    Never,
    Point,
    Question,
    State,
    Stop,
    Terms,
    Use,
)
from troth.policy.narrow import lineage

# no shrinking: a history is seen whole, and making it smaller takes minutes
law = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,))
EACH = 40


def ask(history: History, case: Case) -> Decision:
    return decide(history, case.terms, case.state, case.question, case.evidence, case.version)


def everywhere(history: History, **changes: object) -> History:
    """The history with every use of every version changed."""
    return History(tuple(replace(v, uses=tuple(replace(use, **changes) for use in v.uses)) for v in history.versions))


def test_the_engine_says_what_the_reference_says_over_ten_thousand_questions() -> None:
    answers = assert_agreement(decide)
    asked = answers.total()
    print(f"\n{asked} questions, {answers[True] / asked:.0%} allowed")
    assert asked >= 10_000
    assert answers[True] > asked / 10
    assert answers[False] > asked / 10


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_the_engine_says_what_the_reference_says_over_a_million_questions() -> None:
    assert assert_agreement(decide, histories=10_000, questions=100).total() >= 1_000_000


@law
@given(worlds())
def test_one_more_objection_opens_nothing(world: World) -> None:
    for case in cases(world, EACH):
        for purpose in PURPOSES:
            more = case._replace(state=replace(case.state, stops=case.state.stops | {Stop(purpose)}))
            assert ask(world.history, more).allowed <= ask(world.history, case).allowed


@law
@given(worlds())
def test_one_consent_less_opens_nothing(world: World) -> None:
    for case in cases(world, EACH):
        for grant in case.state.grants:
            less = case._replace(state=replace(case.state, grants=case.state.grants - {grant}))
            assert ask(world.history, less).allowed <= ask(world.history, case).allowed


@law
@given(worlds())
def test_more_evidence_and_a_smaller_question_close_nothing(world: World) -> None:
    for case in cases(world, EACH):
        if ask(world.history, case).allowed:
            assert ask(world.history, case._replace(evidence=EVIDENCE[-1])).allowed
            for field in case.question.fields:
                fewer = replace(case.question, fields=frozenset({field}), form=Form("summary", 1000))
                assert ask(world.history, case._replace(question=fewer)).allowed


@law
@given(worlds(), st.integers(0, 2**32))
def test_a_later_version_that_carries_nothing_over_opens_nothing(world: World, seed: int) -> None:
    # a purpose redefined is asked for anew, and that yes is the person's: so here nothing is redefined
    for purpose in PURPOSES:
        world = world._replace(history=_with_one_meaning(world.history, purpose))
    later = draw_next(Random(seed), world.history.versions[-1], "later")
    later = replace(
        later, uses=tuple(replace(use, carries_over=False, meaning=f"{use.purpose}/1") for use in later.uses)
    )
    longer = History((*world.history.versions, later))
    for case in cases(world, EACH):
        now = case._replace(version=world.history.versions[-1].version)
        assert ask(longer, now._replace(version="later")).allowed <= ask(longer, now).allowed


def _with_one_meaning(history: History, purpose: str) -> History:
    return History(
        tuple(
            replace(
                v,
                uses=tuple(replace(use, meaning=f"{purpose}/1") if use.purpose == purpose else use for use in v.uses),
            )
            for v in history.versions
        )
    )


@law
@given(worlds())
def test_what_is_published_but_not_in_force_changes_nothing(world: World) -> None:
    for case in cases(world, EACH):
        last = [v.version for v in world.history.versions].index(case.version)
        past = History(world.history.versions[: last + 1])
        if case.state.bound in ("", *(v.version for v in past.versions)):
            assert ask(past, case) == ask(world.history, case)


@law
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_clauses_means_nothing(world: World, random: Random) -> None:
    def shuffled(version: CompiledPolicy) -> CompiledPolicy:
        return replace(
            version,
            uses=tuple(random.sample(version.uses, len(version.uses))),
            nevers=tuple(random.sample(version.nevers, len(version.nevers))),
            purposes=dict(random.sample(sorted(version.purposes.items()), len(version.purposes))),
        )

    other = History(tuple(shuffled(version) for version in world.history.versions))
    for case in cases(world, EACH):
        assert ask(other, case) == ask(world.history, case)
        assert uses(other, case.terms, case.state, case.version) == uses(
            world.history, case.terms, case.state, case.version
        )


@law
@given(worlds())
def test_a_prohibition_without_exception_always_denies_what_it_names(world: World) -> None:
    for case in cases(world, EACH):
        for node in case.question.purpose, *lineage(world.history, case.question.purpose, case.version)[1:]:
            for number, version in enumerate(world.history.versions):
                if version.version != case.version or node not in version.ancestors(case.question.purpose):
                    continue
                never = Never("never.at-all", "use", purposes=frozenset({node}))
                stricter = list(world.history.versions)
                stricter[number] = replace(version, nevers=(*version.nevers, never))
                assert not ask(History(tuple(stricter)), case).allowed


@law
@given(worlds())
def test_where_nothing_is_declared_nothing_is_allowed(world: World) -> None:
    silent = History(tuple(replace(version, uses=()) for version in world.history.versions))
    for case in cases(world, EACH):
        assert not ask(silent, case).allowed
        assert not ask(History(()), case).allowed
        assert not ask(world.history, case._replace(version="never published")).allowed
        assert not ask(world.history, case._replace(question=replace(case.question, fields=frozenset()))).allowed


@law
@given(worlds())
def test_a_restricted_person_is_open_only_to_what_survives_it(world: World) -> None:
    for mode in MODES:
        mortal = everywhere(world.history, survives=frozenset(set(MODES) - {mode}))
        immortal = everywhere(world.history, survives=frozenset({mode}))
        for case in cases(world, EACH // 2):
            normal = case._replace(state=replace(case.state, mode="normal"))
            case = case._replace(state=replace(case.state, mode=mode))
            assert not ask(mortal, case).allowed
            assert ask(immortal, case).allowed == ask(immortal, normal).allowed


@law
@given(worlds(), st.sampled_from(("contract", "legal_obligation", "vital_interest")))
def test_an_objection_does_not_end_what_a_contract_or_the_law_requires(world: World, basis: str) -> None:
    plain = everywhere(world.history, basis=basis, direct=False)
    plain = History(
        tuple(
            replace(v, purposes={name: replace(p, direct=False) for name, p in v.purposes.items()})
            for v in plain.versions
        )
    )
    stops = frozenset(Stop(purpose) for purpose in PURPOSES)
    for case in cases(world, EACH):
        objecting = case._replace(state=replace(case.state, stops=stops))
        assert ask(plain, objecting) == ask(plain, case)
        direct = everywhere(plain, direct=True)
        assert not ask(direct, objecting).allowed


@law
@given(worlds())
def test_closing_the_gaps_that_are_named_opens(world: World) -> None:
    closable = {"grant", "stop", "guard", "mode"}
    for case in cases(world, EACH * 2):
        decision = ask(world.history, case)
        kinds = {gap.partition(":")[0] for gap in decision.gaps}
        if not decision.allowed and kinds <= closable:
            named = {gap.partition(":")[2] for gap in decision.gaps}
            asked = case.question.purpose
            given_ = {Grant(asked, c, f"{asked}/{m}") for c in (None, *CHANNELS) for m in (1, 2)}
            state = State(
                mode="normal" if "mode" in kinds else case.state.mode,
                bound=case.state.bound,
                grants=case.state.grants | (given_ if "grant" in kinds else set()),
                stops=frozenset(stop for stop in case.state.stops if stop.purpose not in named),
            )
            closed = case._replace(state=state, evidence=case.evidence | named)
            assert ask(world.history, closed).allowed, (case, decision)


@law
@given(worlds())
def test_every_denial_says_why_and_names_clauses(world: World) -> None:
    names = [version.version for version in world.history.versions]
    for case in cases(world, EACH):
        decision = ask(world.history, case)
        assert bool(decision.gaps) != decision.allowed
        assert len(set(decision.gaps)) == len(decision.gaps)
        known = case.terms.version in names[: names.index(case.version) + 1]
        assert decision.clauses or not known
        assert not (decision.obligations and not decision.allowed)


@law
@given(worlds())
def test_the_list_of_live_uses_and_the_answers_agree(world: World) -> None:
    for case in cases(world, EACH):
        listed = uses(world.history, case.terms, case.state, case.version)
        for use in listed:
            own = Question(use.purpose, use.fields, use.recipient, use.channel, use.form)
            assert ask(world.history, case._replace(question=own, evidence=use.guards)).allowed
        if ask(world.history, case).allowed:
            assert any(_answers(use, case) for use in listed)


def _answers(use: Use, case: Case) -> bool:
    asked = case.question
    return (
        use.purpose == asked.purpose
        and use.fields >= asked.fields
        and use.guards <= case.evidence
        and use.recipient == asked.recipient
        and use.channel in (None, asked.channel)
    )


@law
@given(worlds())
def test_live_is_what_the_choices_leave_of_a_single_use(world: World) -> None:
    """One version, one use: then the decision and ``live`` must say the same."""
    for case in cases(world, EACH):
        for use in world.history.versions[-1].uses:
            alone = History((policy("v1", uses=(use,), points={use.point: Point(use.point, "collect", (), (), ())}),))
            own = Question(use.purpose, use.fields, use.recipient, use.channel, use.form)
            if use.recipient is None:
                terms = Terms("", "site:www", use.point, "v1")
                assert live(use, case.state) == decide(alone, terms, case.state, own, use.guards, "v1").allowed


def test_a_history_of_sixty_versions_is_no_matter() -> None:
    random = Random(4)
    history = draw_history(random)
    while len(history.versions) < 60:
        history = History((*history.versions, draw_next(random, history.versions[-1], f"v{len(history.versions) + 1}")))
    # every use stays alive in many variants, which is the worst case for the number of lines through the versions
    rows = tuple(
        Use(
            f"use.{n}",
            "signup",
            frozenset(FIELDS),
            frozenset(),
            "support",
            "m",
            BASES[1],
            "",
            guards=frozenset({str(n)}),
        )
        for n in range(8)
    )
    wide = History(tuple(replace(version, uses=rows, nevers=()) for version in history.versions))
    for now in history, wide:
        began = time.perf_counter()
        decide(
            now, Terms("", "site:www", "signup", "v1"), State(), Question("support", frozenset({"email"})), (), "v60"
        )
        assert time.perf_counter() - began < 5
