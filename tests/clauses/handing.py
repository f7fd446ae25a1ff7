"""A product that people are signed in to, and that hands them over to the example vendor's privacy centre."""

from __future__ import annotations

import itertools
import json
import threading
from dataclasses import dataclass
from urllib.parse import quote

from tests.clauses.vendor import TENANT, Browser, Person, Vendor
from troth.cli.handover import pair
from troth.client.handover import SIGNED, handover_token
from troth.client.signing import text as _text
from troth.errors import Unproven
from troth.policy.model import Terms
from troth.store import Write
from troth.store.ledger import EntryDraft
from troth.store.writer import DataTx
from troth.use.handover_keys import public_bytes
from troth.use.products import POINT, Product
from troth.vault import NewRecord
from troth.web.running import Running

LINK = "/privacy/handover/"


@dataclass
class Portal:
    """The product: its id, its private key, and what it signs with it."""

    vendor: Vendor
    product: Product
    key: str

    @property
    def url(self) -> str:
        """Where Troth is reached."""
        return self.vendor.system.config.url

    @property
    def now(self) -> float:
        """The product's clock, in seconds."""
        return self.vendor.clock.now() / 1000

    def token(self, reference: str, address: str | None = None, *, nonce: str | None = None) -> str:
        """As the product's backend makes it."""
        return handover_token(
            self.url, self.key, self.product.id.hex(), reference, address=address, now=self.now, nonce=nonce
        )

    def claim(self, reference: str, **changes: object) -> dict[str, object]:
        """What a good token would say, with changes (None leaves a member out)."""
        told: dict[str, object] = {
            "audience": self.url,
            "expires": int(self.now) + 50,
            "nonce": "n" * 32,
            "product": self.product.id.hex(),
            "reference": reference,
        }
        return {name: value for name, value in (told | changes).items() if value is not None}

    def signed(self, content: dict[str, object] | str | bytes, *, prefix: bytes = SIGNED, key: str = "") -> str:
        """Any content, signed with the product's key (or another)."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        if isinstance(content, dict):
            content = json.dumps(content)
        body = _text(content if isinstance(content, bytes) else content.encode())
        private = load_pem_private_key((key or self.key).encode(), None)
        assert isinstance(private, Ed25519PrivateKey)
        return f"{body}.{_text(private.sign(prefix + body.encode()))}"

    def account(self, reference: str) -> bytes:
        """An account that the product has told of: whose it is."""
        self.vendor.system.products.register(self.product, reference)
        sid = self.vendor.system.products.find(TENANT, reference)
        assert sid is not None
        return sid

    def account_with_address(self, reference: str, person: Person) -> bytes:
        """An account of which we have the address too, under the same point of collection."""
        vault = self.vendor.system.vault
        values = {"reference": reference, "email": person.email}
        policy = self.vendor.system.policy
        terms = Terms(policy.controller.name, self.product.surface or "", POINT, policy.version)
        record = NewRecord("account", terms, values)
        staged = vault.stage(TENANT, identifiers=values, records=[record], pending=False)

        def body(tx: DataTx) -> None:
            entry = tx.append(EntryDraft("intake.accepted", "purpose.provide", "intake.declared"), staged.opening)
            staged.insert(tx, entry.eid)

        self.vendor.system.store.write(Write(before=staged.before, body=body))
        return staged.sid


def portal_of(vendor: Vendor, name: str = "customer portal") -> Portal:
    """A product with a key of its own that may hand people over."""
    private, public = pair()
    product, _ = vendor.system.products.create(TENANT, name)
    vendor.system.handover_keys.allow(product.id, public_bytes(public))
    return Portal(vendor, product, private)


NUMBERS = itertools.count(1)


def somebody(vendor: Vendor) -> Browser:
    """A browser at an address of its own, so that the limits on one address hide nothing."""
    number = next(NUMBERS)
    return vendor.browser(f"198.18.{number // 256}.{number % 256}")


def arrive(vendor: Vendor, token: str) -> Browser:
    """Somebody opens the link and presses the button."""
    browser = somebody(vendor)
    if browser.open(LINK + token).status == 200:
        browser.send("/privacy/handover/open")
    return browser


def at_once(system: Running, token: str, times: int = 8) -> list[bool]:
    """The same token opened by several at once: who was let in."""
    start = threading.Barrier(times)
    let_in: list[bool] = []

    def come(number: int) -> None:
        start.wait(30)
        try:
            system.handovers.open(token, f"cookie {number}")
        except Unproven:
            let_in.append(False)
        else:
            let_in.append(True)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(let_in)


def refused(vendor: Vendor, token: str) -> bool:
    """Whether this token is refused by every way in, in the one way, and leaves nothing behind."""
    browser, before = somebody(vendor), vendor.everything()
    page = {"accept": "text/html", "accept-language": "en"}
    answers = [
        browser.http.get(LINK + quote(token), headers=page) if token.strip(".") else None,
        browser.http.post("/privacy/handover", {"token": token}, headers=page),
        browser.http.post("/privacy/handover/open", {"token": token}, headers=page),
        browser.http.post("/privacy/handover/open", {"token": token}),
    ]
    assert vendor.everything() == before
    found = [answer for answer in answers if answer is not None]
    assert [answer.status_code for answer in found] == [401] * len(found)
    assert all("set-cookie" not in answer.headers for answer in found)
    assert "rights.proof" in found[0].text
    assert found[-1].json() == REFUSAL
    return True


REFUSAL: dict[str, object] = {
    "type": "/problems/unproven",
    "title": "Please show who you are",
    "status": 401,
    "detail": "this hand-over is not valid, or no longer: go back to where you are signed in and try again",
    "clause": "rights.proof",
}
