"""What comes back: which message it was, by an opaque token in the envelope's sender, and what the report says.

The token (VERP) is the message's random id and a keyed check, so that nobody can make one up; once the person is
erased the row is gone and the token means nothing. A report is foreign text: only its size, its status lines and
nothing else of it are looked at, and nothing of it is stored but a status code. A message that failed for good is
``bounced``; a delay is counted. Sources: RFC 3464, RFC 3463, RFC 5233. Mechanism: ``message.declared``.
"""

from __future__ import annotations

import base64
import email
import email.policy
import hmac
import re
from collections.abc import Iterator
from email.message import Message
from typing import Any, Literal, NamedTuple

from sqlalchemy import bindparam, select, update

from troth.errors import Busy, NotFound
from troth.notice.versions import Versions
from troth.store import DataTx, Lane, Store, Write
from troth.store.ledger import EntryDraft
from troth.store.tables import messages
from troth.use.letters import UNDECLARED
from troth.use.mailroom import LONGEST, MOST_PARTS
from troth.vault import Vault

CHECK = 6  # bytes of the keyed check: a guess in 2^48
STATUS = re.compile(r"([245])\.\d{1,3}\.\d{1,3}")
ROW = select(messages).where(messages.c.id == bindparam("of_id"))
BOUNCED = (
    update(messages)
    .where(messages.c.id == bindparam("of_id"), messages.c.state.in_(("sent", "unknown")))
    .values(state="bounced", reason=bindparam("why"), eid=bindparam("by_eid"), ended_ms=bindparam("at"))
)
DELAYED = update(messages).where(messages.c.id == bindparam("of_id")).values(soft=messages.c.soft + 1)

Taken = Literal["bounced", "delayed", "nothing"]


class Report(NamedTuple):
    """What a delivery report says: ``failed`` for good or only ``delayed``, and its status code ("" where none)."""

    action: Literal["failed", "delayed"]
    status: str


class ReturnPath:
    """Addresses that a message comes back to: ``bounce+<token>@domain``."""

    def __init__(self, address: str, secret: bytes) -> None:
        self.local, _, self.domain = address.rpartition("@")
        self._secret = secret

    def address(self, mid: bytes) -> str:
        """The envelope's sender for this message: nothing in it says whom it was written to."""
        token = base64.b32encode(mid + self._check(mid)).rstrip(b"=").decode().lower()
        return f"{self.local}+{token}@{self.domain}"

    def message(self, extension: str) -> bytes | None:
        """The id of the message that an address's part after ``+`` was made for; None for anything else."""
        try:
            raw = base64.b32decode(extension.upper() + "=" * (-len(extension) % 8))
        except ValueError:
            return None
        mid, check = raw[:16], raw[16:]
        return mid if len(raw) == 16 + CHECK and hmac.compare_digest(check, self._check(mid)) else None

    def _check(self, mid: bytes) -> bytes:
        return hmac.digest(self._secret, b"return" + mid, "sha256")[:CHECK]


class Bounces:
    """Takes reports. ``take`` is what the mail room calls."""

    def __init__(self, store: Store, vault: Vault, versions: Versions, path: ReturnPath) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.path = path

    def take(self, extension: str, data: bytes) -> Taken:
        """Record what a report says of the message that the address was made for. Repeating it changes nothing.

        ``Busy`` while the message is on the wire: some relays report before they have answered.
        """
        mid, report = self.path.message(extension), read_report(data)
        if mid is None or report is None:
            return "nothing"
        found = self.store.read(lambda connection: connection.execute(ROW, {"of_id": mid}).mappings().first())
        if found is not None and found["state"] == "sending":
            raise Busy("the message is still being handed over: report it again")
        if found is None or found["state"] not in ("sent", "unknown"):
            return "nothing"
        return self._record(dict(found), report)

    def _record(self, row: dict[str, Any], report: Report) -> Taken:
        template = self.versions.current().templates.get(row["template"])
        secret = self._secret(row)

        def body(tx: DataTx) -> Taken:
            now = tx.execute(ROW, {"of_id": row["id"]}).mappings().first()
            if now is None or now["state"] not in ("sent", "unknown"):
                return "nothing"
            facts: dict[str, Any] = {"message": row["id"].hex(), "reason": report.status}
            if template is not None:
                facts |= {"template": template.id, "class": template.kind}
            entry = tx.append(
                EntryDraft(
                    kind="message.bounced" if report.action == "failed" else "message.delayed",
                    clause=template.clause if template else UNDECLARED,
                    mechanism="message.declared",
                    purpose=row["purpose"] if template else None,
                    refers=now["eid"],
                    facts=facts,
                ),
                secret,
            )
            if report.action == "delayed":
                tx.execute(DELAYED, {"of_id": row["id"]})
                return "delayed"
            why = f"reported {report.status}".strip()
            tx.execute(BOUNCED, {"of_id": row["id"], "why": why, "by_eid": entry.eid, "at": tx.now})
            return "bounced"

        return self.store.write(Write(body=body, lane=Lane.JOB))

    def _secret(self, row: dict[str, Any]) -> bytes | None:
        if row["sid"] is None:
            return None
        try:
            return self.vault.opening(row["tenant"], row["sid"])
        except NotFound:
            return None


def read_report(data: bytes) -> Report | None:
    """What a delivery report says; None where it is none. Never raises, whatever it is given."""
    try:
        parsed = email.message_from_bytes(data[:LONGEST], policy=email.policy.compat32)
        found = list(_recipients(parsed))
    except Exception:  # foreign bytes: the parser of the standard library raises what it likes
        return None
    actions = {action for action, _ in found}
    for wanted in ("failed", "delayed"):
        if wanted in actions:
            status = next(status for action, status in found if action == wanted)
            return Report("failed" if wanted == "failed" else "delayed", status)
    return None


def _recipients(parsed: Message) -> Iterator[tuple[str, str]]:
    """(action, status) of each recipient that the report tells of (RFC 3464 2.3)."""
    if parsed.get_content_type() != "multipart/report":
        return
    for number, part in enumerate(parsed.walk()):
        if number > MOST_PARTS:
            return
        if part.get_content_type() != "message/delivery-status" or not part.is_multipart():
            continue
        blocks: Any = part.get_payload()
        for block in blocks[:MOST_PARTS]:
            if isinstance(block, Message) and block.get("Action"):
                status = STATUS.search(str(block.get("Status", "")))
                yield str(block["Action"]).split("(")[0].strip().lower(), status[0] if status else ""
