"""What the decision says, case by case, in the words of whoever has to answer for it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.policy.shop import (
    ABROAD,
    ACCOUNT,
    IMPROVE,
    KEEP,
    NEWS,
    NEWS_PLEASE,
    SUPPORT,
    ask,
    terms,
    use,
    version,
)
from troth.policy.decide import live, uses
from troth.policy.model import (
    UNKNOWN,
    Decision,
    Duration,
    Field,
    Form,
    Grant,
    History,
    Keep,
    Never,
    Phase,
    Point,
    Purpose,
    Recipient,
    State,
    Stop,
    Use,
)

SUBSCRIBED = State(grants=frozenset({NEWS_PLEASE}))
TICKET = frozenset({"ticket"})


def stopped(*nodes: str, channel: str | None = None, **more: object) -> State:
    return replace(State(stops=frozenset(Stop(node, channel) for node in nodes)), **more)


# --- default deny ---


def test_what_a_clause_permits_is_allowed_and_the_clause_is_named() -> None:
    decision = ask("account", "email", "phone")
    assert decision.allowed
    assert decision.clauses == ("purpose.account",)
    assert decision.gaps == ()


def test_a_purpose_that_no_clause_names_is_denied_by_the_closed_list() -> None:
    assert ask("profiling", "email") == Decision(False, ("scope.closed-list",), ("purpose:profiling",))


def test_a_purpose_that_is_forbidden_is_denied_by_the_clause_that_forbids_it() -> None:
    never = Never("never.profile", "use", purposes=frozenset({"profiling"}))
    assert ask("profiling", "email", of=version("v1", nevers=(never,))).clauses == ("never.profile",)


def test_a_purpose_that_is_permitted_for_other_data_names_the_clause_that_permits_it_there() -> None:
    elsewhere = use("chat", "email", clause="purpose.chat", point="chat")
    assert ask("chat", "email", of=version("v1", ACCOUNT, elsewhere)).clauses == ("purpose.chat",)


def test_one_field_too_many_denies_the_whole_and_is_named() -> None:
    assert ask("support", "email", "name", evidence=TICKET).gaps == ("field:name",)


def test_two_permits_do_not_add_up_to_one() -> None:
    halves = version("v1", use("account", "email", clause="one"), use("account", "phone", clause="two"))
    assert ask("account", "email", of=halves).allowed
    assert ask("account", "phone", of=halves).allowed
    assert not ask("account", "email", "phone", of=halves).allowed


def test_a_question_about_no_field_is_denied() -> None:
    assert ask("account").gaps == ("fields",)


def test_a_version_that_was_never_published_permits_nothing() -> None:
    assert ask("account", "email", now="v9").gaps == ("version:v9",)
    assert ask("account", "email", under=terms("v9")).gaps == ("version:v9",)
    assert not ask("account", "email", of=History(()), under=terms(), now="v1").allowed


def test_data_cannot_be_from_a_version_after_the_one_in_force() -> None:
    assert ask("account", "email", of=History((version("v1"), version("v2"))), under=terms("v2"), now="v1").gaps == (
        "version:v2",
    )


def test_a_point_or_a_surface_that_the_policy_does_not_have_permits_nothing() -> None:
    nowhere = replace(terms(), point="raffle")
    assert ask("account", "email", under=nowhere).gaps == ("point:raffle",)
    assert ask("account", "email", under=nowhere).clauses == ("scope.closed-list",)
    other = ask("account", "email", under=replace(terms(), surface="product:desktop"))
    assert other.gaps == ("surface:product:desktop",)
    assert other.clauses == ("collect.registration",)


def test_a_use_for_a_purpose_is_not_one_for_the_purposes_above_and_below_it() -> None:
    assert not ask("promotion", "email", state=SUBSCRIBED, channel="email").allowed  # above the newsletter
    only_above = version("v1", use("account", "email"))
    assert not ask("support", "email", of=only_above, evidence=TICKET).allowed  # below the account


# --- recipients, channels, forms, guards ---


def test_who_may_keep_it_may_not_pass_it_on() -> None:
    assert ask("account", "phone", recipient="partner").gaps == ("field:phone",)
    assert ask("account", "email", recipient="partner").allowed
    assert ask("account", "email", recipient="broker").gaps == ("recipient:broker",)
    assert ask("account", "email", of=version("v1", ABROAD)).gaps == ("recipient:partner",)


def test_a_recipient_gets_no_more_than_its_own_declaration_says() -> None:
    partner = Recipient(
        "partner", "share.partners", "third_party", (), ("user.contact",), "account", frozenset({"order"})
    )
    wide = version("v1", replace(ABROAD, fields=frozenset({"email", "name"})), recipients={"partner": partner})
    assert ask("account", "email", of=wide, recipient="partner").gaps == ("guard:order",)
    assert ask("account", "email", of=wide, recipient="partner", evidence=frozenset({"order"})).allowed
    assert ask("account", "name", of=wide, recipient="partner", evidence=frozenset({"order"})).gaps == ("field:name",)


def test_a_recipient_that_is_declared_nowhere_or_for_something_else_gets_nothing() -> None:
    assert not ask("account", "email", of=version("v1", ABROAD, recipients={}), recipient="partner").allowed
    other = Recipient("partner", "share.partners", "third_party", (), (), "improve")
    decision = ask("account", "email", of=version("v1", ABROAD, recipients={"partner": other}), recipient="partner")
    assert decision.gaps == ("recipient:partner",)


def test_a_use_over_one_channel_is_not_a_use_over_another() -> None:
    assert ask("newsletter", "email", state=SUBSCRIBED, channel="email").allowed
    assert ask("newsletter", "email", state=SUBSCRIBED, channel="sms").gaps == ("channel:sms",)
    assert ask("newsletter", "email", state=SUBSCRIBED).gaps == ("channel:email",)
    assert ask("account", "email", channel="sms").allowed  # names no channel: any


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        (Form("summary", 20), True),
        (Form("summary", 21), True),
        (Form("summary", 19), False),
        (Form("pseudonymous"), False),
        (Form("identified"), False),
    ],
)
def test_a_summary_over_twenty_permits_nothing_that_shows_more(asked: Form, allowed: bool) -> None:
    decision = ask("improve", "name", form=asked)
    assert decision.allowed == allowed
    assert decision.gaps == (() if allowed else (f"form:{asked.kind}",))


def test_who_may_see_the_data_may_see_a_figure_of_it() -> None:
    assert ask("account", "email", form=Form("summary", 1)).allowed
    assert ask("account", "email", form=Form("pseudonymous")).allowed


def test_every_guard_must_be_met_and_the_missing_ones_are_named() -> None:
    guarded = version("v1", replace(SUPPORT, guards=frozenset({"ticket", "operators:2"})))
    assert ask("support", "email", of=guarded, evidence=TICKET).gaps == ("guard:operators:2",)
    assert ask("support", "email", of=guarded).gaps == ("guard:operators:2", "guard:ticket")
    assert ask("support", "email", of=guarded, evidence=TICKET | {"operators:2"}).allowed


def test_the_nearest_of_several_uses_is_the_one_that_is_explained() -> None:
    two = version("v1", SUPPORT, replace(SUPPORT, clause="support.urgent", guards=frozenset({"call", "contract"})))
    decision = ask("support", "email", of=two, evidence=frozenset({"call"}))
    assert decision.gaps in (("guard:ticket",), ("guard:contract",))
    assert ask("support", "email", of=two) == Decision(False, ("purpose.support",), ("guard:ticket",))


# --- the person's choices ---


def test_a_consent_never_given_is_not_there() -> None:
    assert ask("newsletter", "email", channel="email").gaps == ("grant:newsletter",)
    assert ask("newsletter", "email", channel="email", state=UNKNOWN).gaps == ("grant:newsletter",)


@pytest.mark.parametrize(
    "grant",
    [
        Grant("promotion", "email", "newsletter"),
        Grant("newsletter", None, "newsletter"),
        Grant("newsletter", "sms", "newsletter"),
        Grant("newsletter", "email", "newsletter, and what our partners sell"),
    ],
)
def test_a_consent_to_something_else_is_none(grant: Grant) -> None:
    state = State(grants=frozenset({grant}))
    assert ask("newsletter", "email", channel="email", state=state).gaps == ("grant:newsletter",)


def test_an_objection_to_promotion_ends_the_newsletter_below_it() -> None:
    state = replace(SUBSCRIBED, stops=frozenset({Stop("promotion")}))
    assert ask("newsletter", "email", channel="email", state=state).gaps == ("stop:promotion",)


def test_an_objection_to_the_newsletter_leaves_the_rest_of_promotion() -> None:
    both = version("v1", NEWS, use("promotion", "email", basis="legitimate_interest"))
    assert ask("promotion", "email", of=both, state=stopped("newsletter")).allowed
    assert not ask("newsletter", "email", of=both, channel="email", state=stopped("newsletter")).allowed


def test_an_objection_over_one_channel_leaves_the_others() -> None:
    calls = version("v1", use("promotion", basis="legitimate_interest"))
    state = stopped("promotion", channel="phone")
    assert ask("promotion", "email", of=calls, state=state, channel="email").allowed
    assert ask("promotion", "phone", of=calls, state=state, channel="phone").gaps == ("stop:promotion",)


def test_an_objection_ends_an_interest_but_no_contract_and_no_duty() -> None:
    state = stopped("improve", "account", "rights")
    assert ask("improve", "name", form=Form("summary", 20), state=state).gaps == ("stop:improve",)
    assert ask("account", "email", state=state).allowed
    assert ask("rights", "email", state=state).allowed


def test_an_objection_ends_direct_marketing_whatever_it_is_based_on() -> None:
    direct = version("v1", replace(ACCOUNT, direct=True))
    assert not ask("account", "email", of=direct, state=stopped("account")).allowed
    tree = {"account": Purpose("account", "purpose.account", "account", None, direct=True)}
    assert not ask("account", "email", of=version("v1", purposes=tree), state=stopped("account")).allowed


def test_a_purpose_added_later_under_an_objected_one_is_covered() -> None:
    offers = use("offers", "email", basis="legitimate_interest", carries_over=True)
    tree = {"promotion": Purpose("promotion", "p", "p"), "offers": Purpose("offers", "o", "o", "promotion")}
    history = History((version("v1"), version("v2", offers, purposes=tree)))
    state = stopped("promotion", bound="v2")
    assert ask("offers", "email", of=history, state=replace(state, stops=frozenset())).allowed
    assert ask("offers", "email", of=history, state=state).gaps == ("stop:promotion",)


def test_moving_a_purpose_away_does_not_undo_an_objection() -> None:
    before = version("v1", use("newsletter", "email", basis="legitimate_interest"))
    moved = replace(before, version="v2", purposes={"newsletter": Purpose("newsletter", "n", "newsletter")})
    history = History((before, moved))
    assert ask("newsletter", "email", of=history).allowed
    assert ask("newsletter", "email", of=history, state=stopped("promotion")).gaps == ("stop:promotion",)


def test_a_restricted_person_is_open_to_their_rights_only() -> None:
    restricted = replace(SUBSCRIBED, mode="restricted")
    assert ask("rights", "email", state=restricted).allowed
    assert ask("account", "email", state=restricted).gaps == ("mode:restricted",)
    assert ask("newsletter", "email", state=restricted, channel="email").gaps == ("mode:restricted",)


@pytest.mark.parametrize("mode", ["child", "erasing"])
def test_what_survives_a_restriction_need_not_survive_more(mode: str) -> None:
    assert ask("rights", "email", state=replace(State(), mode=mode)).gaps == (f"mode:{mode}",)


# --- keeping ---


def test_in_its_last_phase_data_serves_only_what_that_phase_names() -> None:
    late = terms(phase=1)
    assert ask("account", "email", under=late).gaps == ("phase",)
    assert ask("rights", "email", under=late).allowed


@pytest.mark.parametrize("phase", [-1, 2, 100])
def test_past_its_keeping_data_serves_nothing(phase: int) -> None:
    assert ask("rights", "email", under=terms(phase=phase)).gaps == ("phase",)


def test_a_record_of_one_class_does_not_answer_for_a_use_of_another() -> None:
    assert ask("account", "email", under=terms(keep="account")).allowed
    assert ask("account", "email", under=terms(keep="tickets")).gaps == ("keep:account",)


def test_a_text_that_names_no_period_has_one_phase() -> None:
    endless = version("v1", keeps={})
    assert ask("account", "email", of=endless).allowed
    assert not ask("account", "email", of=endless, under=terms(phase=1)).allowed


# --- prohibitions ---


def test_a_prohibition_beats_every_permit_in_its_scope_and_no_other() -> None:
    never = Never("never.phone", "use", purposes=frozenset({"support"}), categories=frozenset({"user.contact.phone"}))
    strict = version("v1", nevers=(never,))
    assert ask("support", "phone", of=strict, evidence=TICKET) == Decision(
        False, ("never.phone", "purpose.support"), ("never:never.phone",)
    )
    assert ask("support", "email", of=strict, evidence=TICKET).allowed
    assert ask("account", "phone", of=strict).allowed


def test_a_prohibition_covers_the_purposes_below_it() -> None:
    never = Never("never.account", "use", purposes=frozenset({"account"}))
    assert not ask("support", "email", of=version("v1", nevers=(never,)), evidence=TICKET).allowed


@pytest.mark.parametrize("category", ["user", "user.contact", "user.contact.email"])
def test_a_prohibition_covers_the_categories_below_and_around_it(category: str) -> None:
    strict = version("v1", nevers=(Never("never.it", "use", categories=frozenset({category})),))
    assert ask("account", "email", of=strict).gaps == ("never:never.it",)
    coarse = Point("registration", "collect.registration", (Field("email", "user.contact"),), (), ())
    finer = Never("never.it", "use", categories=frozenset({"user.contact.email"}))
    assert not ask("account", "email", of=version("v1", nevers=(finer,), points={"registration": coarse})).allowed


def test_a_category_that_only_begins_alike_is_another() -> None:
    strict = version("v1", nevers=(Never("never.it", "use", categories=frozenset({"user.contact.em"})),))
    assert ask("account", "email", of=strict).allowed


def test_a_prohibition_to_share_leaves_use_and_its_exceptions() -> None:
    never = Never("share.nothing-else", "share")
    closed = version("v1", nevers=(never,))
    assert ask("account", "email", of=closed).allowed
    assert ask("account", "email", of=closed, recipient="partner").gaps == ("never:share.nothing-else",)
    excepted = version("v1", nevers=(replace(never, except_=frozenset({"share.partners"})),))
    assert ask("account", "email", of=excepted, recipient="partner").allowed


def test_a_prohibition_is_lifted_by_the_guard_it_names_and_both_clauses_carry_it() -> None:
    never = Never("share.prior-approval", "share", unless="approval")
    careful = version("v1", nevers=(never,))
    assert ask("account", "email", of=careful, recipient="partner").gaps == ("guard:approval",)
    lifted = ask("account", "email", of=careful, recipient="partner", evidence=frozenset({"approval"}))
    assert lifted.allowed
    assert lifted.clauses == ("share.partners", "share.prior-approval")


def test_prohibitions_of_collecting_joining_and_keeping_are_not_the_decisions_business() -> None:
    others = tuple(Never(f"never.{act}", act) for act in ("collect", "join", "keep"))
    assert ask("account", "email", of=version("v1", nevers=others)).allowed


def test_two_prohibitions_of_the_same_field_are_both_named() -> None:
    both = version("v1", nevers=(Never("never.a", "use"), Never("never.b", "use", unless="order")))
    assert ask("account", "email", of=both).gaps == ("never:never.a", "never:never.b")


# --- one version after another ---


def after(*uses: Use, **more: Any) -> History:
    """The shop's policy, then a second version with only these uses."""
    return History((version("v1"), version("v2", *uses, **more)))


def test_a_use_that_is_dropped_ends_at_once_and_the_version_that_ended_it_is_named() -> None:
    assert ask("support", "email", of=after(ACCOUNT), evidence=TICKET) == Decision(
        False, ("purpose.support",), ("version:v2",)
    )


def test_before_it_is_in_force_a_version_changes_nothing() -> None:
    assert ask("support", "email", of=after(ACCOUNT), evidence=TICKET, now="v1").allowed


def test_what_is_narrowed_is_narrowed_for_old_data_too() -> None:
    history = after(replace(ACCOUNT, fields=frozenset({"email"}), guards=frozenset({"order"})))
    assert ask("account", "email", of=history).gaps == ("guard:order",)
    assert ask("account", "email", of=history, evidence=frozenset({"order"})).allowed
    assert ask("account", "phone", of=history, evidence=frozenset({"order"})).gaps == ("field:phone",)


def test_what_is_widened_is_not_widened_for_old_data() -> None:
    history = after(replace(SUPPORT, fields=frozenset({"email", "name"}), guards=frozenset()))
    assert ask("support", "email", of=history).gaps == ("guard:ticket",)
    assert ask("support", "name", of=history, evidence=TICKET).gaps == ("field:name",)
    assert ask("support", "name", of=history, under=terms("v2")).allowed


def test_a_form_is_narrowed_and_never_widened() -> None:
    history = after(replace(ACCOUNT, form=Form("summary", 5)), replace(IMPROVE, form=Form()))
    assert ask("account", "email", of=history).gaps == ("form:identified",)
    assert ask("improve", "name", of=history).gaps == ("form:identified",)


def test_a_prohibition_of_the_time_of_collection_goes_on_when_a_later_version_drops_it() -> None:
    never = Never("never.phone", "use", categories=frozenset({"user.contact.phone"}))
    history = History((version("v1", nevers=(never,)), version("v2")))
    assert ask("account", "phone", of=history).gaps == ("never:never.phone",)
    assert ask("account", "phone", of=history, under=terms("v2")).allowed


NEW = use("improve", "email", basis="legitimate_interest", carries_over=True)


def test_what_a_version_adds_reaches_old_data_only_of_those_who_are_bound_by_it() -> None:
    history = History((version("v1", ACCOUNT), version("v2", ACCOUNT, NEW), version("v3", ACCOUNT, NEW)))
    assert ask("improve", "email", of=history, state=State(bound="v2")).allowed
    assert ask("improve", "email", of=history, state=State(bound="v3")).allowed
    assert ask("improve", "email", of=history, state=State(bound="v1")).gaps == ("notice:v3",)
    assert ask("improve", "email", of=history, state=UNKNOWN).gaps == ("notice:v3",)


def test_what_a_version_adds_without_saying_so_reaches_nobodys_old_data() -> None:
    history = History((version("v1", ACCOUNT), version("v2", ACCOUNT, replace(NEW, carries_over=False))))
    assert ask("improve", "email", of=history, state=State(bound="v2")).gaps == ("notice:v2",)
    assert ask("improve", "email", of=history, under=terms("v2")).allowed


def test_what_carried_over_is_narrowed_by_what_comes_after() -> None:
    narrower = replace(NEW, guards=frozenset({"ticket"}), carries_over=False)
    history = History((version("v1", ACCOUNT), version("v2", NEW), version("v3", narrower)))
    assert ask("improve", "email", of=history, state=State(bound="v3")).gaps == ("guard:ticket",)


def test_a_consent_is_asked_for_anew_when_its_purpose_is_redefined() -> None:
    history = after(replace(NEWS, meaning="newsletter and offers"))
    assert ask("newsletter", "email", of=history, channel="email", state=SUBSCRIBED).gaps == ("grant:newsletter",)
    again = State(grants=frozenset({NEWS_PLEASE, Grant("newsletter", "email", "newsletter and offers")}))
    assert ask("newsletter", "email", of=history, channel="email", state=again).allowed


def test_any_other_use_ends_for_old_data_when_its_purpose_is_redefined() -> None:
    assert ask("account", "email", of=after(replace(ACCOUNT, meaning="account and credit rating"))).gaps == (
        "meaning:account",
    )


def test_from_consent_to_interest_the_consent_is_still_needed() -> None:
    history = after(replace(NEWS, basis="legitimate_interest"))
    assert ask("newsletter", "email", of=history, channel="email").gaps == ("grant:newsletter",)
    assert ask("newsletter", "email", of=history, channel="email", state=SUBSCRIBED).allowed


def test_from_interest_to_consent_the_consent_is_needed_at_once() -> None:
    history = after(replace(IMPROVE, basis="consent"))
    assert ask("improve", "name", of=history, form=Form("summary", 20)).gaps == ("grant:improve",)


def test_from_interest_to_contract_a_power_would_be_lost() -> None:
    assert ask("improve", "name", of=after(replace(IMPROVE, basis="contract")), form=Form("summary", 20)).gaps == (
        "basis:improve",
    )


def test_shorter_phases_bind_old_data_at_once() -> None:
    short = Keep("account", "retain", (Phase(for_=Duration("7 days")),))
    history = History((version("v1"), version("v2", keeps={"account": short})))
    assert ask("rights", "email", of=history, under=terms(phase=1)).gaps == ("phase",)
    longer = History((version("v1", keeps={"account": short}), version("v2")))
    assert ask("rights", "email", of=longer, under=terms(phase=1)).gaps == ("phase",)


def test_every_version_that_carries_an_answer_is_cited_newest_first() -> None:
    renamed = replace(ACCOUNT, clause="purpose.your-account")
    assert ask("account", "email", of=after(renamed)).clauses == ("purpose.your-account", "purpose.account")


# --- obligations, and the list of live uses ---


def test_what_is_owed_after_a_yes() -> None:
    assert ask("account", "email").obligations == ("log", "erase after account.active, then 30 days")
    letter = ask("newsletter", "email", channel="email", state=SUBSCRIBED)
    assert letter.obligations == (
        "log",
        "erase after account.active, then 30 days",
        "template:marketing",
        "unsubscribe",
    )
    assert "form:summary:25" in ask("improve", "name", form=Form("summary", 25)).obligations
    assert ask("newsletter", "email").obligations == ()


def test_the_words_of_phases_that_end_either_way() -> None:
    either = Keep(
        "account", "retain", (Phase(while_="account.active", for_=Duration("1 year")), Phase(), *KEEP.phases[1:])
    )
    decision = ask("account", "email", of=version("v1", keeps={"account": either}))
    assert decision.obligations[1] == "erase after account.active or 1 year, then no time, then 30 days"


def test_the_list_of_live_uses_is_what_a_person_would_see() -> None:
    history = History((version("v1"),))
    now = uses(history, terms(), SUBSCRIBED, "v1")
    assert {found.purpose for found in now} == {"newsletter", "account", "support", "improve", "rights"}
    assert {found.purpose for found in uses(history, terms(), UNKNOWN, "v1")} == {
        "account",
        "support",
        "improve",
        "rights",
    }
    assert next(f for f in now if f.purpose == "newsletter").categories == {"user.contact.email"}
    assert uses(history, terms("v9"), SUBSCRIBED, "v1") == ()
    assert {f.purpose for f in uses(history, terms(), replace(UNKNOWN, mode="restricted"), "v1")} == {"rights"}


def test_live_knows_the_nodes_it_is_told() -> None:
    interest = replace(NEWS, basis="legitimate_interest")
    assert live(interest, UNKNOWN)
    assert not live(NEWS, UNKNOWN)
    assert live(NEWS, SUBSCRIBED)
    assert not live(interest, stopped("promotion"), ("newsletter", "promotion"))
    assert live(interest, stopped("promotion"))  # nobody said that promotion is above it
