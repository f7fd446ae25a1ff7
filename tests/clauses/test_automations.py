"""What runs by itself stands in a list that everybody can read, and each person sees what of it they were sent."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.clauses.vendor import TENANT, Person, Vendor, example
from troth.policy import compile
from troth.policy.model import CompiledPolicy
from troth.use.automations import DECIDING, automations, decisions, sent_to, stop_of
from troth.web.automated import filled


@pytest.fixture(scope="module")
def policy() -> CompiledPolicy:
    made = compile(example()).policy
    assert made is not None
    return made


def test_the_list_is_the_policys_own(policy: CompiledPolicy) -> None:
    assert [one.id for one in automations(policy)] == list(policy.templates)
    fewer = replace(policy, templates={k: v for k, v in policy.templates.items() if k != "rights.link"})
    assert "rights.link" not in {one.id for one in automations(fewer)}


def test_how_each_is_stopped_follows_from_its_basis(policy: CompiledPolicy) -> None:
    ways = {one.id: one.stop for one in automations(policy)}
    assert ways["newsletter.issue"] == "unsubscribe"
    assert ways["rights.link"] == ways["erase.certificate"] == "none"  # the law wants them
    assert ways["account.unused"] == "close"
    plain = replace(policy.templates["newsletter.issue"], kind="automation")
    assert stop_of(policy, plain) == "withdraw"


def test_no_machine_decides_and_one_that_did_would_be_told(policy: CompiledPolicy) -> None:
    assert decisions(policy) == ()
    use = replace(policy.uses[0], purpose=DECIDING, clause="credit.score")
    purpose = replace(next(iter(policy.purposes.values())), id=DECIDING, parent=None)
    deciding = replace(policy, uses=(*policy.uses, use), purposes={**policy.purposes, DECIDING: purpose})
    assert decisions(deciding) == ("credit.score",)


def test_everybody_reads_the_list_without_a_cookie(vendor: Vendor) -> None:
    page = vendor.browser().open("/policy/automated")
    assert page.status == 200
    assert not page.cookies
    text = page.body.decode()
    assert all(f'id="{name}"' in text for name in vendor.system.policy.templates)
    assert "No machine of ours decides anything about you." in text
    assert "{" not in text.partition("<main")[2].partition("</main")[0]


@pytest.mark.parametrize("language", ["en", "ar"])
def test_each_is_told_in_the_readers_words(vendor: Vendor, language: str) -> None:
    for name, template in vendor.system.policy.templates.items():
        assert vendor.system.catalogue.has(f"sets-off.{name}"), name
        assert vendor.system.catalogue.text(language, f"automated.kind-{template.kind}")


def test_a_person_sees_what_they_were_sent_and_nobody_elses(vendor: Vendor) -> None:
    ann, ben = Person(), Person()
    sid = vendor.join("newsletter", ann)
    assert vendor.issues(sid, ann.email) == 1
    vendor.join("newsletter", ben)
    assert vendor.issues(sid, ann.email) == 1
    told = vendor.system.store.read(lambda connection: sent_to(connection, TENANT, sid))
    assert {name: each.count for name, each in told.items()} == {"newsletter.confirm": 1, "newsletter.issue": 2}
    page = vendor.centre(ann).open("/privacy/automated").body.decode()
    assert "2 times" in page
    assert "2 times" not in vendor.centre(ben).open("/privacy/automated").body.decode()


@pytest.mark.parametrize("language", ["de", "x-made-up", "ar"])
def test_a_letter_says_the_language_that_it_is_written_in(vendor: Vendor, language: str) -> None:
    ann = Person()
    vendor.join("newsletter", ann)
    vendor.system.store.write(vendor.system.requests.ask_write(TENANT, ann.email, language))
    letter = vendor.letters(ann.email, "/privacy/open/")[-1]
    written = language if language == "ar" else "en"  # nobody has written the words in any other
    assert letter.message["Content-Language"] == written
    page = letter.message.get_body(("html",))
    assert page is not None
    assert f'<html lang="{written}"' in page.get_content()


@pytest.mark.parametrize(
    ("subject", "shown"),
    [("Hello", "Hello"), ("{controller}: {title}", "Us: …"), ("{a}{b} {", "…… {"), ("} {x}", "} …")],
)
def test_no_placeholder_is_shown(subject: str, shown: str) -> None:
    assert filled(subject, "Us") == shown
