"""From where somebody signs in: browser, system and country, a word each; what was not seen before is told by mail.

The words lie sealed under the person's own key, the newest twenty of them; no address is kept. Clause
``protect.password``.
"""

from __future__ import annotations

import datetime as dt

from troth.use import credentials
from troth.use.credentials import Held
from troth.use.devices import Device
from troth.vault import Vault

KIND = "devices"
MOST = 20
UNKNOWN = "?"  # how a letter says that a word is not known, in any language


def seen(vault: Vault, tenant: str, sid: bytes, held: Held) -> dict[Device, int]:
    """Where this person signed in from, each with its newest time (UTC milliseconds)."""
    found = credentials.unseal(vault, tenant, sid, KIND, held.get(KIND)).get("seen", ())
    return {Device(*words): at_ms for *words, at_ms in found}


def seal_with(vault: Vault, tenant: str, sid: bytes, known: dict[Device, int], device: Device, now_ms: int) -> bytes:
    """Those, and this one now; the oldest is forgotten where there are too many."""
    newest = sorted({**known, device: now_ms}.items(), key=lambda pair: pair[1])[-MOST:]
    return credentials.seal(vault, tenant, sid, KIND, {"seen": [[*words, at_ms] for words, at_ms in newest]})


def told(device: Device, now_ms: int) -> dict[str, str]:
    """What a letter says of a sign-in."""
    words = {name: value or UNKNOWN for name, value in device._asdict().items()}
    moment = dt.datetime.fromtimestamp(now_ms / 1000, tz=dt.UTC)
    return {**words, "moment": f"{moment:%Y-%m-%d %H:%M} UTC"}
