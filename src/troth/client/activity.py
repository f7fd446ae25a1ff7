"""Telling Troth that accounts are used, so that nobody is taken to have left who has not.

What is told is signed with the product's own key, as a hand-over is. The form of the token stands in
``troth.use.activity``, which reads it. Needs the package ``cryptography``.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass

from troth.client.signing import sign

SIGNED = b"troth-activity-1."
SECONDS = 240  # of the three hundred that are taken: the clocks may differ
MOST = 500  # uses in one report


@dataclass(frozen=True)
class Use:
    """One use of an account: its reference, when (seconds since 1970, UTC; now, if left out), and of which kind.

    The kinds are those that the policy declares: ``product.used``; ``licence.runs``, which says ``until`` when.
    """

    reference: str
    event: str = "product.used"
    at: float | None = None
    until: float | None = None


def activity_token(
    url: str, key: str, product: str, uses: Iterable[Use], *, now: float | None = None, nonce: str | None = None
) -> str:
    """Sign a report of up to 500 uses, for ``POST /api/v1/activity`` (``Troth.report`` sends it).

    - ``url``: the address of Troth exactly as people reach it; the report is good nowhere else.
    - ``key``: the product's Ed25519 private key in PEM; ``product``: its id, as ``troth handover`` told it.
    - ``now`` and ``nonce`` (22 to 86 of A-Z a-z 0-9 - _, never the same twice) are made here unless given.

    ``ValueError`` where ``key`` is no such key, or there are more uses than a report takes.
    """
    at = time.time() if now is None else now
    events = [told(use, at) for use in uses]
    if not 0 < len(events) <= MOST:
        raise ValueError(f"a report tells of 1 to {MOST} uses")
    claim = {
        "audience": url.rstrip("/"),
        "events": events,
        "expires": int(at) + SECONDS,
        "nonce": secrets.token_urlsafe(24) if nonce is None else nonce,
        "product": product,
    }
    return sign(SIGNED, claim, key)


def told(use: Use, now: float) -> dict[str, str | int]:
    """A use as it stands in the report."""
    event: dict[str, str | int] = {
        "at": int(now if use.at is None else use.at),
        "event": use.event,
        "reference": use.reference,
    }
    return event if use.until is None else event | {"until": int(use.until)}
