"""Unsubscribes that a kept newsletter tool reports: by mail, to one address, with an extension of the tool's own.

The part after ``+`` holds the product's id and a keyed check, so that nobody can make one up; it is worth nothing once
the product's key has ended. In the letter stands one address a line. The subject may name the purpose; without one, all
direct marketing is stopped. Who is here objects as if they had done it here; of anybody else the keyed hash is kept
alone, so that no file brings them back. Nothing of the letter is stored, and a second one changes nothing.
Clause: ``rights.object-marketing``. Mechanism: ``suppress.keyed``.
"""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator, Sequence
from email.message import EmailMessage

from troth.collect.forms import is_email
from troth.rights.objection import Objections, stoppable
from troth.store import DataTx, Lane, Write
from troth.store.ledger import EntryDraft
from troth.store.writer import KeyTx
from troth.use.bounces import ReturnPath
from troth.use.mailroom import LONGEST, MOST_PARTS
from troth.use.products import Product, Products
from troth.use.suppressions import CLAUSE, MOST_ADDRESS

MOST_ADDRESSES = 1000  # in one letter


class Reported:
    """Takes letters of newsletter tools. ``take`` is what the mail room calls."""

    def __init__(self, objections: Objections, products: Products, path: ReturnPath) -> None:
        self.objections = objections
        self.products = products
        self.path = path

    def take(self, extension: str, data: bytes) -> int:
        """Stop what the letter reports; how many addresses it named. All of it is in force when this returns.

        0, and nothing happens, where no product that may ask for suppressions has this address. ``Unknown`` where a
        letter to somebody of them is on the wire and does not end: the tool's report is tried again.
        """
        id_ = self.path.message(extension)
        product = self.products.active(id_) if id_ is not None else None
        if product is None or "suppressions" not in product.scopes:
            return 0
        subject, addresses = read(data)
        purposes = self._purposes(subject)
        vault, unknown = self.objections.vault, []
        for address in addresses:
            sid = vault.find(product.tenant, "email", address)
            if sid is None:
                unknown.append(address)
                continue
            for purpose in purposes:
                self.objections.stop_once(product.tenant, sid, purpose, via="mail", actor=product.actor)
        self._spare(product, unknown, purposes)
        return len(addresses)

    def _purposes(self, subject: str) -> list[str]:
        policy = self.objections.versions.current()
        if subject in stoppable(policy):
            return [subject]
        direct = {purpose.id for purpose in policy.purposes.values() if purpose.direct}
        return sorted(each for each in direct if policy.purposes[each].parent not in direct)

    def _spare(self, product: Product, addresses: Sequence[str], purposes: Sequence[str]) -> None:
        vault, tenant = self.objections.vault, product.tenant
        new = [
            (address, purpose)
            for address in addresses
            for purpose in set(purposes) - vault.spared(tenant, "email", vault.hashed(tenant, "email", address)[1])
        ]
        if not new:
            return

        def before(ktx: KeyTx) -> None:
            for address, purpose in new:
                vault.suppress_value(ktx, tenant, "email", address, purpose)

        def body(tx: DataTx) -> None:
            for purpose in sorted({purpose for _, purpose in new}):
                count = len({address for address, of in new if of == purpose})
                facts = {"product": product.id.hex(), "addresses": count}
                told = EntryDraft("suppression.reported", CLAUSE, "suppress.keyed", product.actor, purpose, facts=facts)
                tx.append(told)

        self.objections.store.write(Write(before=before, body=body, lane=Lane.RIGHTS))


def read(data: bytes) -> tuple[str, list[str]]:
    """The subject of a report, and the addresses in it, each once. Never raises, whatever it is given."""
    try:
        parsed = email.message_from_bytes(data[:LONGEST], EmailMessage, policy=email.policy.default)
        found = dict.fromkeys(line for line in _lines(parsed) if len(line) <= MOST_ADDRESS and is_email(line))
        return str(parsed.get("Subject", "")).strip(), list(found)[:MOST_ADDRESSES]
    except Exception:  # foreign bytes: the parser of the standard library raises what it likes
        return "", []


def _lines(parsed: EmailMessage) -> Iterator[str]:
    for number, part in enumerate(parsed.walk()):
        if number > MOST_PARTS:
            return
        if part.get_content_type() == "text/plain":
            content = part.get_payload(decode=True)
            text = content.decode("utf-8", "replace") if isinstance(content, bytes) else ""
            yield from (line.strip() for line in text.splitlines())
