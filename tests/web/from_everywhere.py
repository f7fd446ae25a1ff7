"""For schemathesis: each request comes from another address, so that the limits on one address hide nothing.

Loaded by its command line as a module of hooks. A hook of its own would not do: a case that it changes is judged anew.
"""

from __future__ import annotations

import itertools
from typing import Any

import requests
from requests.adapters import HTTPAdapter

NUMBERS = itertools.count(1)


def add_headers(self: HTTPAdapter, request: requests.PreparedRequest, **about: Any) -> None:
    """Say, as the declared proxy in front would, where the request came from."""
    number = next(NUMBERS)
    request.headers["X-Forwarded-For"] = f"198.{18 + number // 65536}.{number // 256 % 256}.{number % 256}"


HTTPAdapter.add_headers = add_headers  # type: ignore[method-assign]  # requests leaves it empty to be filled in
