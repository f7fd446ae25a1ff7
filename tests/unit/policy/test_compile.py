"""What a policy means: points, uses, ways out, rights, prohibitions, and what is closed because nobody keeps it."""

from __future__ import annotations

import time

import msgspec
import pytest

from tests.policies import CLOSED, FRONT, FULL, KEEP, MINIMAL, NEWSLETTER, REGISTRATION, STATES, clause, codes, compiled
from tests.policies import example as example_policy
from troth.policy import compile, compile_bytes
from troth.policy.compiler import source_hash
from troth.policy.diagnostics import render_all
from troth.policy.model import CompiledPolicy, Duration, Form, Keep, Phase, Right
from troth.policy.vocabulary import MECHANISMS

MS_2026_02_15 = 1_771_113_600_000


def test_the_front_matter_is_the_policys_identity() -> None:
    policy = compiled()
    assert (policy.policy, policy.version, policy.effective, policy.language) == (
        "example",
        "2026-01-15",
        "2026-02-15",
        "en",
    )
    assert policy.effective_ms == MS_2026_02_15
    assert policy.controller.name == "Example Backup Ltd"
    assert policy.notice_period == Duration("30 days", ms=30 * 86_400_000)
    assert policy.source == MINIMAL


def test_a_point_is_complete_so_that_form_api_and_data_map_follow_from_it() -> None:
    point = compiled(FULL).points["newsletter"]
    assert [(f.name, f.category, f.required, f.identifier) for f in point.fields] == [
        ("name", "user.name", False, False),
        ("email", "user.contact.email", True, True),
    ]
    assert point.surfaces == ("site:www",)
    assert point.confirm == "double"
    assert point.consent is not None
    assert point.consent.ask == "Yes, send me the newsletter."
    assert set(point.consent.categories) == {"user.name", "user.contact.email"}
    (use,) = point.uses
    assert use.categories == {"user.name", "user.contact.email"}
    assert (use.basis, use.channel, use.keep, use.direct) == ("consent", "email", "newsletter", True)
    assert use.meaning == point.consent.meaning == compiled(FULL).purposes["newsletter"].meaning


def test_a_field_added_to_the_policy_is_a_field_of_the_point_and_of_its_uses() -> None:
    more = MINIMAL.replace(
        "      phone: {category: user.contact.phone}\n",
        "      phone: {category: user.contact.phone}\n"
        "      size: {category: user.company.size, choices: [small, large], max_length: 10, stored: truncated}\n",
    ).replace("[name, email, phone]", "[name, email, phone, size]")
    point = compiled(more).points["registration"]
    field = point.field("size")
    assert field is not None
    assert (field.choices, field.max_length, field.stored, field.required) == (
        ("small", "large"),
        10,
        "truncated",
        False,
    )
    assert {"size"} <= point.classes()["account"]
    assert "user.company.size" in next(u for u in point.uses if u.purpose == "support").categories


def test_a_use_without_fields_is_a_use_of_all() -> None:
    policy = compiled(MINIMAL.replace("fields: [name, email, phone], ", ""))
    assert next(u for u in policy.uses if u.purpose == "support").fields == {"name", "email", "phone"}


def test_uses_of_what_is_collected_elsewhere_keep_what_they_find() -> None:
    policy = compiled(
        FULL,
        clause(
            "id: purpose.improve\npermits:\n  use: {purpose: improve, basis: legitimate_interest, as: pseudonymous, "
            "categories: [user.contact]}"
        ),
    )
    found = [u for u in policy.uses if u.clause == "purpose.improve"]
    assert {(u.point, u.keep, u.fields) for u in found} == {
        ("registration", "account", frozenset({"email", "phone"})),
        ("newsletter", "newsletter", frozenset({"email"})),
    }
    assert all(u.form == Form("pseudonymous") for u in found)
    assert policy.points["registration"].classes().keys() == {"account"}
    assert found[0] in policy.points[found[0].point].uses


SHARE = clause(
    "id: share.support\nby: [share.deny]\npermits:\n  share: {to: helpers, role: processor, purpose: support, "
    "categories: [user.contact], countries: [EEA, CH], needs: [contract.live, {operators: 2}]}",
    "A company may help.",
)


def test_a_way_out_is_a_recipient_and_its_atoms() -> None:
    policy = compiled(FULL, SHARE)
    recipient = policy.recipients["helpers"]
    assert (recipient.role, recipient.countries, recipient.purpose) == ("processor", ("EEA", "CH"), "support")
    assert recipient.guards == {"contract.live", "operators:2"}
    (use,) = [u for u in policy.uses if u.recipient == "helpers"]
    assert use.fields == {"email", "phone"}
    assert (use.point, use.basis, use.keep) == ("registration", "contract", "account")
    assert use.guards == {"contract.live", "operators:2"}


def test_what_nobody_keeps_is_closed_but_stays_a_clause() -> None:
    off = (
        MINIMAL
        + NEWSLETTER.replace("permits:", "not_enforced: comes later\npermits:", 1)
        + SHARE.replace("permits:", "not_enforced: comes later\npermits:")
    )
    policy = compiled(off)
    assert set(policy.points) == {"registration"}
    assert not policy.consents
    assert not policy.recipients
    assert {u.point for u in policy.uses} == {"registration"}
    assert all(u.recipient is None for u in policy.points["registration"].uses)
    assert policy.clauses["collect.newsletter"].not_enforced == "comes later"
    assert policy.clauses["collect.newsletter"].figures


def test_keeping_is_phases_of_states_and_periods() -> None:
    policy = compiled(FULL)
    days = Duration("30 days", ms=30 * 86_400_000)
    assert policy.keeps["account"] == Keep(
        "account",
        "retain.while-used",
        (Phase(while_="account.active"), Phase(for_=days, only=frozenset({"restore", "rights"}))),
    )
    assert policy.states["newsletter.active"].begins == ("newsletter.confirmed",)
    assert policy.states["newsletter.active"].ends == ("newsletter.withdrawn",)
    short = compiled(FULL, clause("id: retain.short\nrequires: {keep: {short: 14 days}}", "14 days."))
    assert short.keeps["short"].phases == (Phase(for_=Duration("14 days", ms=14 * 86_400_000)),)


def test_rights_take_what_holds_for_all_of_them() -> None:
    policy = compiled(
        MINIMAL,
        clause("id: rights.proof\nrequires:\n  right: {proof: sign_in, within: 2 weeks, undo: 3 days}", "Sign in."),
        clause("id: rights.access\nrequires:\n  right: {kind: access, formats: [html, json]}"),
        clause(
            "id: rights.object\nrequires:\n  right: {kind: objection, proof: none, within: 1 second, to: marketing}"
        ),
    )
    week2, days3 = Duration("2 weeks", ms=14 * 86_400_000), Duration("3 days", ms=3 * 86_400_000)
    assert policy.rights == {
        "access": Right("access", "rights.access", proof="sign_in", within=week2, undo=days3, formats=("html", "json")),
        "objection": Right(
            "objection", "rights.object", proof="none", within=Duration("1 second", ms=1000), undo=days3, to="marketing"
        ),
    }


def test_a_right_without_words_about_it_is_a_link_and_a_month() -> None:
    policy = compiled(MINIMAL, clause("id: rights.erase\nrequires:\n  right: {kind: erasure}"))
    assert policy.rights["erasure"] == Right("erasure", "rights.erase")
    assert policy.rights["erasure"].within == Duration("1 month", months=1)


def test_prohibitions_say_what_they_are_about() -> None:
    policy = compiled(
        FULL,
        SHARE,
        clause("id: never.share\nnever:\n  share: {except: [share.support], unless: {approval: written}}"),
        clause("id: never.use\nnever:\n  use: {for: [analytics], categories: [user.contact]}"),
        clause("id: never.join\nnever: {join: [registration, newsletter]}\nnot_enforced: comes later"),
        clause("id: never.health\nnever:\n  collect: {categories: [user.health_and_medical]}"),
        clause("id: never.refused\nnever:\n  collect: {after: refusal}"),
    )
    by_clause = {never.clause: never for never in policy.nevers}
    assert by_clause["never.share"].except_ == {"share.support"}
    assert by_clause["never.share"].unless == "approval"
    assert by_clause["never.use"].purposes == {"analytics"}
    assert by_clause["never.use"].categories == {"user.contact"}
    assert by_clause["never.join"].joined == {"registration", "newsletter"}
    assert by_clause["never.health"].act == "collect"
    assert "never.refused" not in by_clause, "an empty set would forbid everything"
    assert policy.clauses["never.refused"].mechanisms == ("refusal.nothing",)


def test_a_prohibition_covers_the_purposes_and_categories_below_it() -> None:
    never = clause("id: never.service\nnever:\n  use: {for: service, categories: [user.contact]}")
    (fault,) = compile(MINIMAL + never).diagnostics
    assert fault.code == "CONTRADICTION"
    assert "never.service forbids" in fault.message
    assert "except: [collect.registration]" in fault.paste
    below = MINIMAL.replace("[name, email], keep", "[name], keep").replace(
        "[name, email, phone]", "[name, email, phone]"
    )
    assert "CONTRADICTION" in codes(below, never)
    assert codes(MINIMAL, never.replace("for: service", "for: marketing")) == []


def test_a_purpose_redefined_under_its_name_means_something_else() -> None:
    def meaning(definition: str) -> str:
        made = compiled(FULL, clause(f"id: purposes\ndefine:\n  purposes:\n    newsletter: {definition}"))
        return made.purposes["newsletter"].meaning

    first = meaning("{is: dpv:DirectMarketing, direct: true, means: a monthly letter}")
    assert meaning("{is: dpv:DirectMarketing, direct: true, means: a monthly letter, title: News}") == first
    assert meaning("{is: dpv:DirectMarketing, direct: true, means: a daily letter}") != first
    assert meaning("{is: dpv:Marketing, direct: true, means: a monthly letter}") != first
    consent = compiled(FULL).consents["newsletter.email"]
    assert consent.meaning == compiled(FULL).purposes["newsletter"].meaning


def test_purposes_bring_their_ancestors() -> None:
    policy = compiled(FULL)
    assert policy.ancestors("newsletter") == ("newsletter", "marketing")
    assert set(policy.purposes) == {
        *("account", "support", "rights", "restore", "service", "newsletter", "marketing"),
    }


def test_personal_is_what_lies_below_the_named_categories() -> None:
    assert "user.contact.email" in compiled().personal
    assert "system.operations" not in compiled().personal
    narrow = clause("id: personal\ndefine:\n  terms:\n    personal_data: {categories: [user.contact]}")
    assert compiled(MINIMAL, narrow).personal >= {"user.contact", "user.contact.email"}
    assert "user.name" not in compiled(MINIMAL, narrow).personal


def test_surfaces_have_the_hosts_that_a_clause_gives_them() -> None:
    services = clause("id: scope.services\ndefine:\n  surfaces:\n    site:www: {hosts: [WWW.example.com]}")
    assert compiled().surfaces == {"site:www": ()}
    assert compiled(MINIMAL, services).surfaces == {"site:www": ("www.example.com",)}


def test_every_clause_has_a_mechanism_that_exists_or_only_informs() -> None:
    for policy in (compiled(FULL, SHARE), example_policy()):
        for found in policy.clauses.values():
            assert found.mechanisms or found.text_only, found.id
            assert set(found.mechanisms) <= set(MECHANISMS), found.id


def test_the_mechanisms_of_a_clause_can_be_named() -> None:
    named = clause("id: scope.closed-list\nby: [scope.closed, evidence.board]\nasserts: {closed: share}")
    assert compiled(MINIMAL, named).clauses["scope.closed-list"].mechanisms == ("scope.closed", "evidence.board")


def test_the_words_of_a_clause_are_filled_in() -> None:
    policy = compiled(
        FRONT + STATES + KEEP.replace("30 days more", "{keep.for} more, from {effective} on") + REGISTRATION
    )
    prose = policy.clauses["retain.while-used"].prose
    assert prose == "We keep your data as long as you have an account, and 30 days more, from 15 February 2026 on."


def test_an_old_text_may_lack_bases_and_periods_and_then_gives_the_person_most() -> None:
    old = FULL.replace("notice_period", "historical: true\nnotice_period")
    old = old.replace("{purpose: account, basis: contract, fields: [name, email], keep: account}", "{purpose: account}")
    compilation = compile(old)
    assert [(d.severity, d.code) for d in compilation.diagnostics] == [
        ("warning", "NO_BASIS"),
        ("warning", "NO_RETENTION"),
    ]
    assert compilation.policy is not None
    (use,) = [u for u in compilation.policy.uses if u.purpose == "account"]
    assert (use.basis, use.keep) == ("consent", "unstated")
    (phase,) = compilation.policy.keeps["unstated"].phases
    assert phase.for_ is not None
    assert phase.for_.months == 1200


def test_the_same_sources_give_the_same_policy_and_the_same_hash() -> None:
    first, second = compile(FULL), compile(FULL)
    assert first == second
    assert first.policy is not None
    assert first.sha256 == first.policy.sha256 == source_hash(FULL)
    assert len({source_hash("ab"), source_hash("a", "b"), source_hash("", "ab"), source_hash("ab", "")}) == 4
    assert compile(FULL + "\n").sha256 != first.sha256


def test_a_compiled_policy_can_be_kept_as_json() -> None:
    for policy in (compiled(FULL, SHARE), example_policy()):
        kept = msgspec.json.encode(policy, order="deterministic")
        assert msgspec.json.decode(kept, type=CompiledPolicy) == policy


def test_bytes_that_are_not_utf_8_are_told_at_their_place() -> None:
    (fault,) = compile_bytes("äöü\nab".encode() + b"\xff").diagnostics
    assert (fault.code, fault.line, fault.column) == ("ENCODING", 2, 3)
    assert compile_bytes(b"\xef\xbb\xbf" + FULL.encode()).policy is not None
    faults = compile_bytes(b"\xff", bindings=b"\xfe").diagnostics
    assert [(d.file, d.code) for d in faults] == [("policy.md", "ENCODING"), ("bindings.yaml", "ENCODING")]


def test_all_is_told_at_once() -> None:
    wrong = (
        FULL.replace("user.name", "user.nmae")
        .replace("basis: contract", "basis: contrakt")
        .replace("closed: [collect", "closed: [colect")
    )
    assert len([d for d in compile(wrong).diagnostics if d.severity == "error"]) == 5, render_all(
        compile(wrong).diagnostics
    )


def test_two_thousand_clauses_compile_in_about_a_second() -> None:
    point = REGISTRATION.replace("collect.registration", "collect.p{i}").replace("point: registration", "point: p{i}")
    source = FRONT + STATES + KEEP + CLOSED + "".join(point.replace("{i}", str(i)) for i in range(2_000))
    began = time.process_time()
    assert compile(source).policy is not None
    assert time.process_time() - began < 4, "about one second of processor time on an idle machine"


@pytest.mark.parametrize("piece", [STATES, KEEP, REGISTRATION])
def test_every_piece_of_the_smallest_policy_is_needed(piece: str) -> None:
    policy = compile(MINIMAL.replace(piece, "")).policy
    assert policy is None or not policy.points
