"""A website that is only watched: nothing about it is kept, and so nothing about it passes on the board.

A website beside it that is enforced is judged all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.clauses.vendor import vendor_at
from troth.evidence.checks.website import CHECKS
from troth.evidence.inspection import Fetched


@pytest.mark.parametrize("modes", [{"/": "observe"}, {"/": "enforce", "/shop": "observe"}], ids=["all", "a path"])
def test_no_clause_about_a_website_passes_while_pages_of_it_are_only_watched(
    tmp_path: Path, modes: dict[str, str]
) -> None:
    with vendor_at(tmp_path / "vendor") as vendor:
        inspection = vendor.system.inspector.inspection()
        inspection.policy = replace(inspection.policy, modes={"site:www": modes})
        for mechanism in ("embed.registered", "cookie.consent", "consent.choice", "consent.signal", "link.registered"):
            clause = next(c for c in inspection.policy.clauses.values() if mechanism in c.mechanisms)
            verdict = CHECKS[mechanism](inspection, clause)
            assert verdict.status == "NOT EXERCISED", mechanism
            assert verdict.said[0].key == "website.watched"


@pytest.mark.parametrize(
    ("mechanism", "said"),
    [
        ("embed.registered", "embed.registered.lets"),
        ("cookie.consent", "cookie.consent.header"),
        ("consent.choice", "consent.choice.unasked"),
        ("consent.signal", "consent.signal.lets"),
        ("link.registered", "link.registered.referrer"),
    ],
)
def test_a_watched_website_hides_nothing_of_an_enforced_one(tmp_path: Path, mechanism: str, said: str) -> None:
    with vendor_at(tmp_path / "vendor") as vendor:
        inspection = vendor.system.inspector.inspection()
        inspection.policy = replace(inspection.policy, modes={"site:www": {"/": "observe"}})
        honest = inspection.fetch

        def bare(path: str, headers: Mapping[str, str]) -> Fetched:
            """The pages of both sites as they are without the front."""
            got = honest(path, headers)
            if not headers.get("host", "").endswith(".localhost") or path != "/":
                return got
            kept = tuple(each for each in got.headers if each[0] not in ("content-security-policy", "referrer-policy"))
            return Fetched(got.status, kept, got.body.replace(b"troth-banner", b""))

        inspection.fetch = bare
        clause = next(c for c in inspection.policy.clauses.values() if mechanism in c.mechanisms)
        verdict = CHECKS[mechanism](inspection, clause)
        assert verdict.status == "FAIL"
        faults = [fault for fault in verdict.said if fault.key != "more"]
        assert {fault.key for fault in faults} == {said}
        assert {fault.values["host"] for fault in faults} == {"central.localhost"}
