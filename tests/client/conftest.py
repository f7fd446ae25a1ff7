"""What the tests of a website's front need of this machine."""

from __future__ import annotations

import os

import pytest

from bench.nginx import program


@pytest.fixture(scope="session")
def there() -> None:
    """A real nginx. Its absence is a visible skip, and in CI a failure."""
    try:
        program()
    except SystemExit as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
