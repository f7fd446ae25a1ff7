"""Complaints that a mailbox provider reports (ARF, RFC 5965): somebody pressed "this is spam".

The report holds the letter's own headers. Its unsubscribe token shows that it is a letter of ours and whose it was;
a complaint counts once for a message, and only for one that went to that person. Nothing else of a report is looked
at, and nothing of it is stored. Clause: ``rights.unsubscribe``. Mechanism: ``message.declared``.
"""

from __future__ import annotations

import email
import email.policy
import re
from email.message import Message
from typing import NamedTuple

from sqlalchemy import bindparam, select, update

from troth.errors import NotFound
from troth.notice.versions import Versions
from troth.store import DataTx, Lane, Store, Write
from troth.store.ledger import EntryDraft
from troth.store.links import Link
from troth.store.tables import messages
from troth.use.letters import UNDECLARED
from troth.use.mailroom import LONGEST, MOST_PARTS
from troth.vault import Vault

COMPLAINED = "complained"
WAY_OUT = re.compile(r"/unsubscribe/([A-Za-z0-9_-]{43})>")
MESSAGE_ID = re.compile(r"<([0-9a-f]{32})@")
ROW = select(messages).where(
    messages.c.id == bindparam("of_id"),
    messages.c.tenant == bindparam("of_tenant"),
    messages.c.sid == bindparam("of_sid"),
    messages.c.state.in_(("sent", "unknown")),
)
MARK = update(messages).where(messages.c.id == bindparam("of_id")).values(reason=COMPLAINED)


class Complaint(NamedTuple):
    """What a report tells: the token of the letter complained about, and the message's id."""

    token: str
    message: bytes


class Complaints:
    """Counts complaints."""

    def __init__(self, store: Store, vault: Vault, versions: Versions) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions

    def record(self, link: Link, complaint: Complaint) -> bool:
        """Record it, once for a message; False where the message was not this person's, or is gone with them."""
        if link.sid is None:
            return False
        asked = {"of_id": complaint.message, "of_tenant": link.tenant, "of_sid": link.sid}
        try:
            secret = self.vault.opening(link.tenant, link.sid)
        except NotFound:
            return False

        def body(tx: DataTx) -> bool:
            row = tx.execute(ROW, asked).mappings().first()
            if row is None or row["reason"] == COMPLAINED:
                return False
            template = self.versions.current().templates.get(row["template"])
            tx.append(
                EntryDraft(
                    kind="message.complained",
                    clause=template.clause if template else UNDECLARED,
                    mechanism="message.declared",
                    purpose=template.purpose if template else None,
                    refers=row["eid"],
                    facts={"message": complaint.message.hex()} | ({"template": template.id} if template else {}),
                ),
                secret,
            )
            tx.execute(MARK, {"of_id": complaint.message})
            return True

        return self.store.write(Write(body, lane=Lane.JOB))


def read_complaint(data: bytes) -> Complaint | None:
    """What a report of abuse tells; None where it is none, or not about a letter of ours. Never raises."""
    try:
        parsed = email.message_from_bytes(data[:LONGEST], policy=email.policy.compat32)
        return _complaint(parsed)
    except Exception:  # foreign bytes: the parser of the standard library raises what it likes
        return None


def _complaint(parsed: Message) -> Complaint | None:
    if parsed.get_content_type() != "multipart/report":
        return None
    kind, token, message = "", None, None
    for number, part in enumerate(parsed.walk()):
        if number > MOST_PARTS:
            break
        if part.get_content_type() == "message/feedback-report":
            kind = kind or str(_fields(part).get("Feedback-Type", "")).strip().lower()
        letter = _fields(part) if part.get_content_type() == "text/rfc822-headers" else part
        if letter.get("List-Unsubscribe") and token is None:
            token = WAY_OUT.search(str(letter["List-Unsubscribe"]))
            message = MESSAGE_ID.search(str(letter.get("Message-ID", "")))
    if kind != "abuse" or token is None or message is None:
        return None
    return Complaint(token[1], bytes.fromhex(message[1]))


def _fields(part: Message) -> Message:
    """The fields of a feedback report, which the parser takes for a message inside, or leaves as text."""
    inner = part.get_payload()
    if isinstance(inner, list) and inner and isinstance(inner[0], Message):
        return inner[0]
    return email.message_from_string(str(inner), policy=email.policy.compat32)
