"""Fixtures for the evidence: each test that asks for ``check`` runs with both verifiers."""

from __future__ import annotations

import pytest

from tests.evidence.checkers import CHECKERS, Checker
from tests.evidence.log import Log, story


@pytest.fixture(params=sorted(CHECKERS))
def check(request: pytest.FixtureRequest) -> Checker:
    return CHECKERS[request.param]


@pytest.fixture(scope="session")
def log() -> Log:
    """Some 300 entries: a full bundle, a partial one, and a second level. Read only."""
    return story(300)
