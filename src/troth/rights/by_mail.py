"""Unsubscribing by mail (RFC 2369): the token stands in the subject; who writes does not matter, nor what.

Some readers' programs write such a letter by themselves where they cannot follow a link. Of the letter only the
subject is looked at, nothing of it is stored, and nothing answers it: a letter from nobody we know would be answered
to somebody it was forged for. A token authorises this one thing, outlives the person, and does the same twice.
A provider's report that somebody called a letter spam (RFC 5965) may come here too: it ends such letters like a click,
and is counted. Clause: ``rights.unsubscribe``. Mechanism: ``message.unsubscribe``.
"""

from __future__ import annotations

import email.header
import email.parser
import email.policy
import re

from troth.errors import Unproven
from troth.rights.objection import Objections
from troth.store import links
from troth.use.complaints import Complaints, read_complaint
from troth.use.mailroom import LONGEST

TOKEN = re.compile(r"(?<![\w-])[A-Za-z0-9_-]{43}(?![\w-])")


class ByMail:
    """Takes letters to ``unsubscribe@``. ``take`` is what the mail room calls."""

    def __init__(self, objections: Objections, complaints: Complaints) -> None:
        self.objections = objections
        self.complaints = complaints

    def take(self, extension: str, data: bytes) -> bool:
        """Stop what the token stands for; False where there is none that stands for anything.

        The stop is in force when this returns. ``Unknown`` where a letter to this person is on the wire and does not
        end: the sender of this letter then tries again.
        """
        complaint = read_complaint(data)
        token = complaint.token if complaint is not None else token_in(data)
        if token is None:
            return False
        store, now = self.objections.store, self.objections.clock.now()
        try:  # whose link it is, the token says: the address is one for all tenants
            if complaint is not None:
                link = store.read(lambda connection: links.find(connection, token, "unsubscribe", now))
                self.complaints.record(link, complaint)
            self.objections.unsubscribe(token, "mail")
        except Unproven:
            return False
        return True


def token_in(data: bytes) -> str | None:
    """The token in a letter's subject; None where there is none. Never raises, whatever it is given."""
    try:
        head = email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(data[:LONGEST])
        subject = str(email.header.make_header(email.header.decode_header(str(head.get("Subject", "")))))
    except Exception:  # foreign bytes: the parser of the standard library raises what it likes
        return None
    found = TOKEN.search(subject)
    return found[0] if found else None
