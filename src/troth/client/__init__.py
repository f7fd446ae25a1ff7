"""What a vendor's product embeds: ask before using an entry of its own table of accounts. A no, or no answer, is no.

    from troth.client import Troth

    troth = Troth("https://privacy.example.org", key=KEY)
    if troth.allowed(account.id, "newsletter", ["email"], channel="email"):
        ...

Only the standard library is needed (and ``cryptography`` for what a product signs). Certificates are verified, and
there is no switch to turn that off; plain HTTP goes to loopback only.
"""

from __future__ import annotations

from troth.client.activity import Use, activity_token
from troth.client.asking import Answer, Troth, Unreachable, Waiting, allowed
from troth.client.handover import handover_token

__all__ = ["Answer", "Troth", "Unreachable", "Use", "Waiting", "activity_token", "allowed", "handover_token"]
