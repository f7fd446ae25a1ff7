"""The example policy: compiles without a word, binds every word, and means what its prose says."""

from __future__ import annotations

import pytest

from tests.clauses.ids import ENFORCED
from tests.seed import BINDINGS, ROOT, seed_text
from troth.policy import compile
from troth.policy.coverage import coverage
from troth.policy.model import CompiledPolicy

SOURCE = (ROOT / "policies" / "example" / "policy.md").read_text(encoding="utf-8")


def codes(source: str) -> list[str]:
    return [d.code for d in compile(source).diagnostics]


def changed(old: str, new: str) -> str:
    assert SOURCE.count(old) == 1, old
    return SOURCE.replace(old, new)


@pytest.fixture(scope="module")
def policy() -> CompiledPolicy:
    made = compile(SOURCE)
    assert made.diagnostics == ()
    assert made.policy is not None
    return made.policy


def test_every_word_of_every_sentence_is_bound() -> None:
    document = compile(SOURCE).document
    assert document is not None
    counted = coverage(document)
    assert counted.words == counted.bound > 1500
    assert [s for s in counted.sentences if s.unbound] == []


def test_what_can_be_collected_is_what_the_prose_lists(policy: CompiledPolicy) -> None:
    fields = {name: [(f.name, f.required) for f in point.fields] for name, point in policy.points.items()}
    assert fields == {
        "site.view": [("page", True), ("event", False), ("visitor", False)],
        "site.count": [
            ("page", True),
            ("referrer", False),
            ("campaign", False),
            ("event", False),
            ("country", False),
            ("device", False),
            ("visitor", False),
        ],
        "newsletter": [("name", True), ("email", True)],
        "registration": [
            ("first_name", True),
            ("last_name", True),
            ("email", True),
            ("phone", False),
            ("company", False),
            ("company_size", False),
            ("usage_purpose", False),
        ],
        "account.reference": [
            ("reference", True),
            ("email", False),
            ("name", False),
            ("phone", False),
            ("company", False),
        ],
    }


def test_the_newsletter_is_asked_in_exact_words_and_confirmed_twice(policy: CompiledPolicy) -> None:
    ask = policy.consents["newsletter"]
    assert (ask.purpose, ask.channel, ask.confirm) == ("newsletter", "email", "double")
    assert policy.purposes["newsletter"].direct
    assert "marketing" in policy.ancestors("newsletter")


def test_periods_are_those_of_the_prose(policy: CompiledPolicy) -> None:
    last = {name: keep.phases[-1].for_ for name, keep in policy.keeps.items()}
    assert {name: period and period.text for name, period in last.items()} == {
        "account": "30 days",
        "newsletter": "7 days",
        "consent": "7 days",
        "visits": "90 days",
        "ticket": "30 days",
    }
    idle = policy.states["account.active"].idle
    assert idle is not None
    assert idle.months == 24
    warn = policy.states["account.active"].warn
    assert warn is not None
    assert warn.text == "28 days"


def test_the_messages_that_exist_now_are_declared_with_their_class(policy: CompiledPolicy) -> None:
    assert {name: template.kind for name, template in policy.templates.items()} == {
        "newsletter.confirm": "service",
        "newsletter.issue": "marketing",
        "registration.confirm": "service",
        "rights.link": "service",
        "rights.received": "service",
        "rights.extended": "service",
        "rights.refused": "service",
        "rights.done": "service",
        "rights.due-soon": "notice",
        "rights.access-ready": "service",
        "rights.objection-done": "service",
        "erase.certificate": "notice",
        "rights.restricted": "service",
        "rights.restriction-ends": "notice",
        "account.password-changed": "service",
        "account.closed": "service",
        "account.unused": "notice",
        "rights.address-new": "service",
        "rights.address-old": "service",
        "account.access-changed": "service",
        "account.password-known": "service",
        "account.password-reminder": "service",
        "account.signed-in": "service",
        "account.recovery-asked": "service",
        "account.recovery-done": "service",
        "account.delegated": "service",
    }


def test_only_the_cookies_of_the_table_may_be_set(policy: CompiledPolicy) -> None:
    assert set(policy.cookies) == {
        "troth_choice",
        "troth_language",
        "troth_visitor",
        "troth_session",
        "troth_account",
        "troth_console",
    }
    assert {name for name, c in policy.cookies.items() if not c.essential} == {"troth_language", "troth_visitor"}
    assert all(c.choices or c.flag if c.value == "choice" or c.flag else c.bits >= 128 for c in policy.cookies.values())


def test_nothing_leaves_yet(policy: CompiledPolicy) -> None:
    assert policy.recipients == {}
    assert all(use.recipient is None for use in policy.uses)


def test_every_host_belongs_to_one_surface(policy: CompiledPolicy) -> None:
    hosts = [host for hosts in policy.surfaces.values() for host in hosts]
    assert len(hosts) == len(set(hosts))
    assert {"www.example.com", "central.example.com", "localhost"} <= set(hosts)


def test_what_is_kept_now_has_its_mechanisms_and_what_is_not_says_why(policy: CompiledPolicy) -> None:
    for name, clause in policy.clauses.items():
        if name in ENFORCED:
            assert clause.mechanisms, name
            assert clause.not_enforced is None, name
        else:
            assert clause.not_enforced or clause.text_only, name


def test_several_clauses_are_shown_by_example(policy: CompiledPolicy) -> None:
    assert len(policy.examples) >= 8
    assert {e.expect.split()[0] for e in policy.examples} == {"allowed", "denied"}


# --- what an operator might do to it ---


def test_a_promise_added_to_the_prose_without_a_declaration_is_told() -> None:
    assert codes(SOURCE + "\nWe never look at your files.\n") == ["UNBOUND_WORDS"]


def test_a_declaration_taken_away_leaves_its_words_unbound() -> None:
    start = SOURCE.index("```yaml clause\nid: protect.transit\n")
    end = SOURCE.index("\n```\n", start) + 5
    assert codes(SOURCE[:start] + SOURCE[end:]) == ["UNBOUND_WORDS", "UNBOUND_WORDS"]


def test_a_period_changed_behind_the_prose_is_told() -> None:
    assert "PROSE_MISMATCH" in codes(changed("{for: 30 days, only: [restore,", "{for: 90 days, only: [restore,"))


def test_a_field_added_behind_the_prose_is_told() -> None:
    field = "      name: {category: user.name, required: true}\n      email: {category: user.contact.email, required:"
    first = SOURCE.index(field)
    added = SOURCE[:first] + "      phone: {category: user.contact.phone}\n" + SOURCE[first:]
    added = added.replace("fields: [name, email], channel: email, keep: newsletter}", "keep: newsletter}")
    assert "PROSE_MISMATCH" in codes(added)


def test_a_use_without_a_basis_does_not_compile() -> None:
    made = compile(changed("{purpose: restore, basis: contract,", "{purpose: restore,"))
    assert made.policy is None
    assert "NO_BASIS" in [d.code for d in made.diagnostics]


def test_a_wrong_example_does_not_compile() -> None:
    made = compile(
        changed(
            "ask: use phone of registration for newsletter\n  expect: denied",
            "ask: use phone of registration for newsletter\n  expect: allowed",
        )
    )
    assert made.policy is None
    assert [d.code for d in made.diagnostics] == ["EXAMPLE_FAILED"]


# --- the real one ---


@pytest.mark.seed
def test_the_real_policy_compiles_and_describes_the_same_system(policy: CompiledPolicy) -> None:
    made = compile(seed_text(), bindings=BINDINGS.read_text(encoding="utf-8"))
    assert [d for d in made.diagnostics if d.severity == "error"] == []
    real = made.policy
    assert real is not None
    assert set(real.points) == set(policy.points)
    assert [f.name for f in real.points["registration"].fields] == [
        f.name for f in policy.points["registration"].fields
    ]
    assert set(real.templates) == set(policy.templates)
    assert set(real.rights) == set(policy.rights)
    assert set(real.keeps) == set(policy.keeps)
    assert set(real.cookies) == set(policy.cookies)
    assert real.effective == "2018-05-25"


@pytest.mark.seed
def test_the_linter_names_what_the_real_policy_leaves_open() -> None:
    made = compile(seed_text(), bindings=BINDINGS.read_text(encoding="utf-8"))
    told = {d.code for d in made.diagnostics}
    assert told >= {"CONSENT_BY_SUBMISSION", "VAGUE_TERM", "ROTATION_AGAINST_NIST"}
    assert told.isdisjoint({"UNBOUND", "UNBOUND_WORDS", "TEXT_CHANGED", "TEXT_MOVED"})


@pytest.mark.seed
def test_a_changed_real_text_does_not_compile() -> None:
    text = seed_text()
    at = text.index("prior written approval")
    made = compile(text[:at] + text[at + 6 :], bindings=BINDINGS.read_text(encoding="utf-8"))
    assert made.policy is None
    assert [d.code for d in made.diagnostics if d.severity == "error"] == ["TEXT_CHANGED"]
