"""Which products may hand over people who are signed in there, and the public key that each of them signs with.

We keep the public half only: whoever reads our database can check a hand-over and make none. Clause:
``rights.proof``. Mechanism: ``right.proof``.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, bindparam, select, update

from troth.errors import Invalid, NotFound
from troth.store import DataTx, Store, Write
from troth.store.ledger import EntryDraft
from troth.store.tables import products

SCOPE = "handover"
KEY_BYTES = 32

ACTIVE = select(products.c.tenant, products.c.scopes).where(
    products.c.id == bindparam("of_id"), products.c.ended_ms.is_(None)
)
SET_SCOPES = update(products).where(products.c.id == bindparam("of_id")).values(scopes=bindparam("new_scopes"))


@dataclass(frozen=True)
class HandoverKey:
    """A product that may hand people over, and its Ed25519 public key (32 bytes)."""

    product: bytes
    tenant: str
    public: bytes


def key_of(connection: Connection, product: bytes) -> HandoverKey | None:
    """The key of a product that is active and has the scope; None for any other id."""
    row = connection.execute(ACTIVE, {"of_id": product}).one_or_none()
    if row is None:
        return None
    kept = msgspec.json.decode(row.scopes)
    if SCOPE not in kept["scopes"] or SCOPE not in kept:
        return None
    return HandoverKey(product, row.tenant, base64.b64decode(kept[SCOPE]))


def public_bytes(pem: str) -> bytes:
    """The 32 bytes of an Ed25519 public key in PEM; ``Invalid`` for anything else, without repeating it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem.encode("utf-8", "replace"))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise Invalid("this is no Ed25519 public key in PEM; the private half stays with the product")
    return key.public_bytes_raw()


class HandoverKeys:
    """Letting products hand people over, and stopping it; each in force at once and with its entry."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def allow(self, product: bytes, public: bytes, *, actor: str = "system") -> None:
        """Take people from this product from now on, signed with this key; a former key counts no more."""
        if len(public) != KEY_BYTES:
            raise Invalid("an Ed25519 public key has 32 bytes")
        self._set(product, public, actor)

    def stop(self, product: bytes, *, actor: str = "system") -> bool:
        """Take nobody from this product any more; False if that was so before. ``NotFound`` where there is none."""
        return self._set(product, None, actor)

    def _set(self, product: bytes, public: bytes | None, actor: str) -> bool:
        def body(tx: DataTx) -> bool:
            row = tx.execute(ACTIVE, {"of_id": product}).one_or_none()
            if row is None:
                raise NotFound("there is no such product, or no longer")
            kept = msgspec.json.decode(row.scopes)
            if public is None and SCOPE not in kept["scopes"]:
                return False
            kept["scopes"] = [scope for scope in kept["scopes"] if scope != SCOPE]
            kept.pop(SCOPE, None)
            if public is not None:
                kept["scopes"].append(SCOPE)
                kept[SCOPE] = base64.b64encode(public).decode()
            facts = {"product": product.hex(), "key": hashlib.sha256(public).hexdigest() if public else ""}
            tx.append(EntryDraft("product.handover", "rights.proof", "right.proof", actor, facts=facts))
            tx.execute(SET_SCOPES, {"of_id": product, "new_scopes": msgspec.json.encode(kept).decode()})
            return True

        return self.store.write(Write(body=body))
