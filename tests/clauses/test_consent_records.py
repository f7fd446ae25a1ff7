"""Consent records: the fields of ISO/IEC TS 27560, as JSON-LD that parses by itself, in terms that DPV knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import rdflib
from rdflib import RDF, Graph, Literal, URIRef

from tests.clauses.vendor import TENANT, Person, Vendor
from troth.notice.consents import text_hash
from troth.notice.shown import notice_for

# the library's own reader of JSON-LD still uses a class of its own that it has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")

TERMS = Path(__file__).parent / "dpv-terms.txt"
NAMES = {
    "dpv": "https://w3id.org/dpv#",
    "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "dct": "http://purl.org/dc/terms/",
}
DPV = rdflib.Namespace(NAMES["dpv"])
DCT = rdflib.Namespace(NAMES["dct"])

# what 27560 (clause 6.3 and 6.4) asks a record to say, and where ours says it
FIELDS: dict[str, tuple[str, ...]] = {
    "schema version": ("dct:conformsTo",),
    "record identifier": ("dct:identifier",),
    "principal": ("dpv:hasDataSubject", "@id"),
    "privacy notice": ("dpv:hasNotice", "troth:notice-sha256"),
    "notice version": ("dpv:hasNotice", "dct:hasVersion"),
    "notice language": ("dpv:hasNotice", "dct:language"),
    "words of the request": ("dpv:hasNotice", "troth:words"),
    "purpose": ("dpv:hasProcess", "dpv:hasPurpose"),
    "lawful basis": ("dpv:hasProcess", "dpv:hasLegalBasis"),
    "data categories": ("dpv:hasProcess", "dpv:hasPersonalData"),
    "retention": ("dpv:hasProcess", "dpv:hasStorageCondition", "dct:description"),
    "recipients": ("dpv:hasProcess", "dpv:hasRecipient"),
    "withdrawal method": ("dpv:hasConsentControl", "dct:description"),
    "controller": ("dpv:hasDataController", "dct:title"),
    "controller's contact": ("dpv:hasDataController", "dpv:hasContact"),
    "jurisdiction": ("dpv:hasJurisdiction",),
    "rights": ("dpv:hasRight",),
    "duration": ("dpv:hasDuration",),
    "state": ("dpv:hasConsentStatus",),
    "events": ("troth:events",),
}


def known() -> set[str]:
    """The terms of the list, in full."""
    lines = [line for line in TERMS.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return {NAMES[line.partition(":")[0]] + line.partition(":")[2] for line in lines}


@pytest.fixture
def record(vendor: Vendor) -> dict[str, Any]:
    """The record of a consent that was asked for and given."""
    sid = vendor.join("newsletter", Person())
    (found,) = vendor.system.access.copy(TENANT, sid).consents
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]  # plain JSON


def graph_of(document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Graph:
    """Parsed without the network: a remote context would be an error."""

    def refuse(*about: object, **more: object) -> object:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    return Graph().parse(data=json.dumps(document), format="json-ld")


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_of_the_standard_is_there(record: dict[str, Any], field: str) -> None:
    found: Any = record
    for step in FIELDS[field]:
        found = found[step]
    assert found not in (None, "") or field == "recipients"


def test_a_record_binds_the_words_the_version_and_the_notice_that_were_shown(vendor: Vendor) -> None:
    policy = vendor.system.policy
    point, ask = policy.points["newsletter"], policy.consents["newsletter"]
    sid = vendor.join("newsletter", Person())
    (found,) = vendor.system.access.copy(TENANT, sid).consents
    notice = found["dpv:hasNotice"]
    assert notice["troth:words"] == ask.ask
    assert notice["troth:words-sha256"] == text_hash(ask.ask)
    assert notice["troth:notice-sha256"] == notice_for(policy, point).sha256
    assert (notice["dct:hasVersion"], notice["troth:policy-sha256"]) == (policy.version, policy.sha256)
    accepted = json.loads(vendor.entries("intake.accepted")[-1])
    assert accepted["facts"]["notice"] == notice["troth:notice-sha256"]
    assert accepted["facts"]["consents"] == ["newsletter"]
    given = json.loads(vendor.entries("consent.given")[-1])
    assert given["facts"]["record"] == found["dct:identifier"]


def test_a_consent_given_by_somebody_who_was_here_already_is_a_record_of_theirs(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)
    vendor.submit("newsletter", ann)
    asked = json.loads(vendor.entries("intake.accepted")[-1])["facts"]["notice"]
    vendor.confirm(ann.email)
    copy = vendor.system.access.copy(TENANT, sid)
    (found,) = copy.consents
    assert found["dpv:hasDataSubject"]["@id"] == f"urn:troth:subject:{sid.hex()}"
    assert found["dpv:hasConsentStatus"] == ["dpv:ConsentGiven"]
    # the entry that the record now joins to binds it to the notice that was shown, as the first one did
    held = next(record for record in copy.records if record.point == "newsletter")
    joined = json.loads(vendor.entries("subject.joined")[-1])
    assert held.entry == joined["eid"]
    assert (joined["facts"]["notice"], joined["facts"]["version"]) == (asked, held.version)


def test_a_record_holds_no_value_of_the_person(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    (found,) = vendor.system.access.copy(TENANT, sid).consents
    assert [marker for marker in ann.markers if marker in json.dumps(found)] == []


def test_it_parses_as_linked_data_without_asking_anybody(
    record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(record, monkeypatch)
    subject = URIRef(f"urn:troth:consent:{record['dct:identifier']}")
    assert (subject, RDF.type, DPV.ConsentRecord) in graph
    assert graph.value(subject, DPV.hasConsentStatus) == DPV.ConsentGiven
    assert URIRef(f"{NAMES['eu-gdpr']}A7-3") in set(graph.objects(subject, DPV.hasRight))
    dates = [value for value in graph.objects(None, DCT.date) if isinstance(value, Literal)]
    assert len(dates) == 2
    assert all(date.toPython().year == 2026 for date in dates)


def test_its_terms_are_terms_that_the_vocabulary_knows(record: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(record, monkeypatch)
    used = {str(node) for triple in graph for node in triple if isinstance(node, URIRef)}
    ours = {node for node in used if node.startswith(tuple(NAMES.values()))}
    assert len(ours) > 30
    assert sorted(ours - known()) == []


def test_a_term_that_the_vocabulary_does_not_know_is_noticed(
    record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(record | {"dpv:hasConsentColour": {"@id": "dpv:Blue"}}, monkeypatch)
    used = {str(node) for triple in graph for node in triple if isinstance(node, URIRef)}
    unknown = {node for node in used if node.startswith(tuple(NAMES.values()))} - known()
    assert unknown == {f"{NAMES['dpv']}hasConsentColour", f"{NAMES['dpv']}Blue"}


def test_the_receipt_is_the_record_with_an_id_and_a_time_of_its_own(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    (found,) = vendor.system.access.copy(TENANT, sid).consents
    browser = vendor.centre(ann)
    answer = browser.open(f"/consent/receipts/{found['dct:identifier']}")
    assert answer.header("content-type").startswith("application/ld+json")
    receipt = json.loads(answer.body)
    assert receipt["@type"] == "dpv:ConsentReceipt"
    assert receipt["dct:references"] == found["@id"]
    assert receipt["troth:record"] == {k: v for k, v in found.items() if k != "@context"}
    vendor.close()
    graph = graph_of(receipt, monkeypatch)
    assert (None, RDF.type, DPV.ConsentReceipt) in graph
    vendor.again()


def test_asked_but_not_yet_given_is_not_given(vendor: Vendor) -> None:
    vendor.submit("newsletter", Person())
    assert vendor.rows("SELECT state, given_ms FROM consent_records") == [("Requested", None)]
    assert vendor.entries("consent.given") == []
