"""Requests that a product files for its user: into the same register as a letter, and followed from there.

The product names its user by the reference it has told us of, and its key says which product it is, not that its user
asked: so a request waits to be proven like any other. A reference that is nobody's here is taken down like one that is
somebody's, and answered alike: the register's people find out whose it is. Clause: ``rights.proof``.
Mechanism: ``right.deadline``.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from troth.errors import NotFound
from troth.policy.model import RightKind
from troth.rights import register
from troth.rights.calendar import day
from troth.rights.procedures import Procedures
from troth.rights.register import Behalf, Case
from troth.store import DataTx, Idempotency, Lane, Write
from troth.use.products import MOST_REFERENCE, Product, Products
from troth.world import DAY_MS, Clock


class Filing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a product asks for its user: which right, and who speaks for the user where they do not themselves."""

    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_REFERENCE)]
    kind: RightKind
    on_behalf: Behalf | None = None
    language: Annotated[str, msgspec.Meta(min_length=2, max_length=12, pattern="^[A-Za-z-]+$")] = "en"


class Filed(msgspec.Struct, frozen=True):
    """How a request stands. Times are UTC milliseconds; ``by`` is the day of ``due`` where the controller is.

    ``state`` is ``requested``, ``proven``, ``fulfilled`` or ``refused``; ``reason`` says why it was put off or refused.
    """

    request: str
    kind: str
    state: str
    received: int
    due: int
    by: str
    extended: bool
    reason: str | None
    ended: int | None


class Filings:
    """Takes requests down for products, and says how they stand. Methods block: call them from a thread."""

    def __init__(self, procedures: Procedures, products: Products, clock: Clock) -> None:
        self.procedures = procedures
        self.products = products
        self.clock = clock

    def file(self, product: Product, asked: Filing, key: Idempotency | None = None) -> Filed:
        """Take it down; the same right of the same person, while it waits, is the same request.

        With a ``key`` a repetition gives the first answer again; ``Conflict`` if it came with something else.
        ``Invalid``: a right that the policy does not grant.
        """
        recording = self.procedures.recording(
            product.tenant,
            asked.kind,
            self._received(),
            road="product",
            actor=product.actor,
            sid=self.products.find(product.tenant, asked.reference),
            on_behalf=asked.on_behalf,
            language=asked.language,
            product=product.id,
        )

        def body(tx: DataTx) -> bytes:
            return msgspec.json.encode(self._filed(recording(tx).case))

        return msgspec.json.decode(self.procedures.store.write(Write(body, lane=Lane.RIGHTS, key=key)), type=Filed)

    def follow(self, product: Product, number: str) -> Filed:
        """How a request stands that this product filed; ``NotFound`` for any other, and once its person is erased."""
        try:
            case = self.procedures.get(product.tenant, bytes.fromhex(number))
        except ValueError:
            case = None
        if case is None or product.id.hex() not in case.products:
            raise NotFound(register.NO_REQUEST, clause="rights.proof")
        return self._filed(case)

    def _received(self) -> int:
        """Now; by the earlier clock where two disagree by up to a day, since the month begins there."""
        ledger = self.procedures.store.now()
        return min(ledger, max(self.clock.now(), ledger - DAY_MS))

    def _filed(self, case: Case) -> Filed:
        return Filed(
            case.id.hex(),
            case.kind,
            case.state,
            case.received_ms,
            case.due_ms,
            day(case.due_ms, self.procedures.zones(case.tenant)),
            case.extended_ms is not None,
            case.reason,
            case.ended_ms,
        )
