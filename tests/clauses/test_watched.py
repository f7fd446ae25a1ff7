"""A website that is only watched: nothing about it is kept, and so nothing about it passes on the board."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.clauses.vendor import vendor_at
from troth.evidence.checks.website import CHECKS


@pytest.mark.parametrize("modes", [{"/": "observe"}, {"/": "enforce", "/shop": "observe"}], ids=["all", "a path"])
def test_no_clause_about_a_website_passes_while_pages_of_it_are_only_watched(
    tmp_path: Path, modes: dict[str, str]
) -> None:
    with vendor_at(tmp_path / "vendor") as vendor:
        inspection = vendor.system.inspector.inspection()
        inspection.policy = replace(inspection.policy, modes={"site:www": modes})
        for mechanism in ("embed.registered", "cookie.consent", "consent.choice", "consent.signal"):
            clause = next(c for c in inspection.policy.clauses.values() if mechanism in c.mechanisms)
            verdict = CHECKS[mechanism](inspection, clause)
            assert verdict.status == "NOT EXERCISED", mechanism
            assert verdict.said[0].key == "website.watched"
