"""Staff for tests: a store, operators who join and sign in, and an authenticator app in the hand of each."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from tests.store.shop import Shop
from troth.store.open import Store
from troth.store.tables import ledger
from troth.use import totp
from troth.use.approvals import Act, Approvals
from troth.use.operators import Operator, Operators
from troth.use.passkeys import Passkeys
from troth.use.sign_in import SignIn
from troth.vault.box import Box
from troth.world import SetClock

PHRASE = "seven grey herons on the weir"
OTHER_PHRASE = "a kettle sings before the dawn"
ACTS = {"legal.disclose": Act("legal.disclose", "share.legal"), "keys.destroy": Act("keys.destroy", "rights.erase", 2)}


@dataclass
class Member:
    """Somebody who has joined: their secret, and the cookie they hold."""

    operator: Operator
    secret: bytes
    cookie: str


class Staff:
    """A company's staff over a store of its own."""

    def __init__(self, folder: Path, *, data_url: str = "", keys_url: str = "") -> None:
        self.shop = Shop(folder)
        self.shop.data_url, self.shop.keys_url = data_url, keys_url
        self.clock = SetClock(self.shop.clock.now())
        self.shop.clock = self.clock
        self.store: Store = self.shop.open()
        chance = self.store.randomness
        box = Box(bytes(32), chance)
        self.operators = Operators(self.store)
        self.passkeys = Passkeys("https://console.example.org", "Example Backup Ltd", box, self.clock, chance)
        self.sign_in = SignIn(self.operators, box, self.passkeys)
        self.approvals = Approvals(self.store, ACTS)
        self.cookies = 0

    def close(self) -> None:
        """Close the store."""
        self.shop.close()

    def cookie(self) -> str:
        """A fresh cookie."""
        self.cookies += 1
        return f"cookie-{self.cookies}-of-this-test"

    def join(self, name: str, role: str = "officer", by: Operator | None = None, password: str = PHRASE) -> Member:
        """Invite somebody and accept with a password and an app."""
        token = self.operators.first(name) if by is None else self.operators.invite(name, role, by)
        operator = self.operators.invited(token)
        secret, sealed = self.sign_in.new_secret(operator)
        cookie = self.cookie()
        joined = self.sign_in.join_by_password(token, password, sealed, self.code(secret), cookie)
        return Member(self.operators.get(joined.id), secret, cookie)

    def code(self, secret: bytes) -> str:
        """What the app shows now."""
        return totp.code(secret, totp.step_at(self.clock.now()))

    def next_code(self, secret: bytes) -> str:
        """What the app shows half a minute later, when it is that time."""
        self.clock.advance(totp.STEP_MS)
        return self.code(secret)

    def entries(self, kind: str = "") -> list[dict[str, Any]]:
        """The ledger's entries whose kind begins so."""
        rows = self.store.read(lambda c: c.execute(select(ledger.c.body).order_by(ledger.c.seq)).scalars().all())
        bodies: list[dict[str, Any]] = [msgspec.json.decode(body) for body in rows]
        return [body for body in bodies if body["kind"].startswith(kind)]


def as_typed(spoken: str) -> bytes:
    """The secret that an app understands from what a person types."""
    text = spoken.replace(" ", "")
    return base64.b32decode(text + "=" * (-len(text) % 8))
