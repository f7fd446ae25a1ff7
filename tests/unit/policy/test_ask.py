"""A decision in a sentence: the policy's own words, and the least that would change it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.property.policies import cases, world
from tests.unit.policy.shop import NEWS_PLEASE, ask, clause, terms, version
from troth.policy.ask import QUOTED, explain, quote, wanting
from troth.policy.decide import decide
from troth.policy.model import Decision, Form, Never, State, Stop

SHOP = version("v1")


def test_a_yes_quotes_its_clause_and_says_what_is_owed() -> None:
    assert explain(ask("account", "email"), SHOP) == (
        "Yes: “We use your registration to keep your account” (purpose.account). "
        "Then it is recorded and the data is erased after account.active, then 30 days."
    )


def test_a_yes_to_a_letter_says_that_it_carries_the_way_out() -> None:
    decision = ask("newsletter", "email", channel="email", state=State(grants=frozenset({NEWS_PLEASE})))
    said = explain(decision, SHOP)
    assert "only marketing messages are sent" in said
    assert "each message carries a way to unsubscribe" in said


def test_a_no_quotes_the_nearest_clause_and_the_words_in_which_consent_is_asked() -> None:
    assert explain(ask("newsletter", "email", channel="email"), SHOP) == (
        "No: “We send the newsletter to whoever asks for it” (purpose.newsletter). "
        "The smallest change that would allow it: the person's consent to newsletter: “Yes, write to me”."
    )


def test_several_gaps_are_one_list() -> None:
    state = State(mode="restricted", stops=frozenset({Stop("promotion")}))
    said = explain(ask("newsletter", "email", "phone", channel="email", state=state), SHOP)
    assert said.endswith(
        "leaving out phone, which no clause permits here, the restriction being lifted, "
        "the person taking back their objection to promotion "
        "and the person's consent to newsletter: “Yes, write to me”."
    )


def test_a_prohibition_is_quoted_before_what_it_prohibits() -> None:
    strict = version("v1", nevers=(Never("never.phone", "use", categories=frozenset({"user.contact.phone"})),))
    strict = replace(strict, clauses={**strict.clauses, "never.phone": clause("never.phone", "We never call you.")})
    said = explain(ask("account", "phone", of=strict), strict)
    assert said.startswith("No: “We never call you” (never.phone); “We use your registration")


def test_where_nothing_is_declared_the_closed_list_speaks() -> None:
    assert explain(ask("profiling", "email"), SHOP) == (
        "No: “What is not here does not happen” (scope.closed-list). "
        "The smallest change that would allow it: a clause that permits profiling for this data."
    )
    assert explain(Decision(False, ()), SHOP) == "No: no clause permits this."


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        ("guard:ticket", "a recorded ticket"),
        ("guard:operators:2", "the approval of 2 operators"),
        ("guard:at_most:1", "that it was not done before"),
        ("guard:at_most:3", "that it was done fewer than 3 times"),
        ("guard:contract.live", "proof of contract.live"),
        ("mode:child", "showing that the person is not a child"),
        ("mode:strange", "the end of the mode strange"),
        ("grant:improve", "the person's consent to improve"),
        ("phase", "an earlier phase of keeping, for what is left of it does not serve this purpose"),
        ("fields", "naming at least one field"),
        ("record:registration", "data from registration, of which there is none"),
        ("field:undeclared", "a clause that declares this field"),
        ("something:new", "something:new"),
    ],
)
def test_each_gap_is_said_as_what_would_have_to_be_so(gap: str, words: str) -> None:
    assert wanting(gap, SHOP) == words


def test_a_channel_a_recipient_and_a_form_are_told_by_what_the_clause_would_take() -> None:
    assert wanting("channel:email", SHOP, ("purpose.newsletter",)) == "naming email as the channel"
    assert wanting("channel:sms", SHOP, ("purpose.newsletter",)) == "another channel than sms"
    assert wanting("recipient:partner", SHOP, ("share.partners",)) == "partner as the recipient"
    assert wanting("recipient:broker", SHOP) == "a clause that lets broker receive it"
    decision = ask("improve", "name", form=Form("pseudonymous"))
    assert "asking for figures over at least 20 persons" in explain(decision, SHOP)
    assert wanting("form:identified", SHOP) == "asking for less than identified data"


def test_a_long_clause_is_cut_at_the_end_of_a_sentence() -> None:
    long = replace(SHOP, clauses={"long": clause("long", "This comes first. " + "And so on and so forth. " * 30)})
    quoted = quote(long, "long")
    assert quoted.startswith("“This comes first. And so on")
    assert quoted.endswith("and so forth” (long)")
    assert len(quoted) <= QUOTED + len("“” (long)")
    endless = replace(SHOP, clauses={"long": clause("long", "and so on " * 60)})
    assert quote(endless, "long").endswith(" …” (long)")


def test_figures_in_the_prose_are_filled_in_and_a_clause_of_an_older_version_keeps_its_name() -> None:
    named = replace(SHOP, clauses={"who": clause("who", "Write to {controller.contact}.")})
    assert quote(named, "who") == "“Write to privacy@example.com” (who)"
    assert quote(SHOP, "retired.clause") == "retired.clause"
    assert quote(replace(SHOP, clauses={"bare": clause("bare", " ")}), "bare") == "bare"


def test_every_decision_can_be_explained_in_one_line() -> None:
    for seed in range(60):
        generated = world(seed)
        for case in cases(generated, 20):
            said = explain(decide(generated.history, *case), generated.history.versions[-1])
            assert said.startswith(("Yes: ", "No: "))
            assert said.endswith(".")
            assert "\n" not in said


def test_terms_of_an_old_version_are_explained_too() -> None:
    assert "another version than v9" in explain(ask("account", "email", under=terms("v9")), SHOP)
