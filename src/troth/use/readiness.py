"""What must be there before the first marketing letter leaves: a sender who is who they say, and a way to stop it.

The DNS is read the way a receiver reads it: that the relay may send for the envelope's domain (SPF, RFC 7208), that
the key we sign with is the one published for the visible sender's domain (DKIM, RFC 6376), and what is to be done with
mail that is neither (DMARC, RFC 7489). The From domain and ``d=`` are one by construction, so DKIM aligns where it
verifies. A demonstration sends to its own machine only: there the DNS is not asked, and that is said.
Clause: ``rights.unsubscribe``. Sources: 15 USC 7704(a)(5), RFC 8058.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from troth.config import Config
from troth.errors import Unavailable
from troth.policy.model import Controller
from troth.use.dkim import DkimKey

Texts = Callable[[str], Sequence[str]]
"""``name -> its TXT records``, each as one string; none where there is no such name. ``Unavailable``: no answer."""
Lack = Literal["sender", "address", "unsubscribe", "spf", "dkim", "dmarc", "dns"]
SECONDS = 5.0
TAG = re.compile(r"\s*([a-z]+)\s*=\s*([^;]*?)\s*(?:;|$)")


def read_dns(name: str) -> list[str]:
    """The TXT records of a name, by the machine's name servers."""
    import dns.exception  # 40 ms, and only where marketing is sent off
    import dns.resolver

    try:
        answer = dns.resolver.resolve(name, "TXT", lifetime=SECONDS)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as fault:
        raise Unavailable(f"the name servers did not answer ({type(fault).__name__})") from None
    return [b"".join(record.strings).decode("ascii", "replace") for record in answer]


@dataclass(frozen=True)
class Readiness:
    """What marketing needs, looked up anew at each call. ``asked``: whether the DNS is."""

    sender: str  # the address letters come from
    returns: str  # the address in the envelope: where they come back to
    keys: Sequence[DkimKey]
    texts: Texts = read_dns
    asked: bool = True

    def missing(self, controller: Controller, url: str) -> tuple[Lack, ...]:
        """What keeps this controller, whose links begin with ``url``, from sending marketing; empty: nothing does."""
        found: list[Lack] = []
        if not controller.address.strip():
            found.append("address")
        if self.asked and not url.startswith("https://"):
            found.append("unsubscribe")  # RFC 8058 3.1
        if self.asked:
            found += self.unpublished()
        return tuple(found)

    def unpublished(self) -> tuple[Lack, ...]:
        """What the DNS lacks, or does not say as it must."""
        domain = self.sender.rpartition("@")[2]
        if not domain:
            return ("sender",)
        looks: Mapping[Lack, Callable[[str], bool]] = {"spf": self._spf, "dkim": self._dkim, "dmarc": self._dmarc}
        try:
            return tuple(lack for lack, look in looks.items() if not look(domain))
        except Unavailable:
            return ("dns",)

    def _spf(self, domain: str) -> bool:
        """One record that names some who may send, and does not let everybody (RFC 7208 3.2, 4.5, 5.1)."""
        envelope = self.returns.rpartition("@")[2] or domain
        records = [text for text in self.texts(envelope) if text.lower() == "v=spf1" or text.lower()[:7] == "v=spf1 "]
        terms = records[0].lower().split()[1:] if len(records) == 1 else []
        everybody = {"all", "+all"} & set(terms)
        return bool(terms) and not everybody and any(term not in ("-all", "~all", "?all") for term in terms)

    def _dkim(self, domain: str) -> bool:
        """Each key that signs is the one in the DNS (RFC 6376 3.6.1); one is RSA, which every receiver knows."""
        if not any(key.algorithm == "rsa-sha256" for key in self.keys):
            return False
        return all(self._published(key, domain) for key in self.keys)

    def _published(self, key: DkimKey, domain: str) -> bool:
        records = [dict(TAG.findall(text)) for text in self.texts(f"{key.selector}._domainkey.{domain}")]
        ours = base64.b64encode(key.public).decode()
        return len(records) == 1 and re.sub(r"\s", "", records[0].get("p", "")) == ours

    def _dmarc(self, domain: str) -> bool:
        """A record for the domain, or one above it (RFC 7489 6.6.3)."""
        labels = domain.split(".")
        for start in range(max(1, len(labels) - 1)):
            records = [text for text in self.texts("_dmarc." + ".".join(labels[start:])) if text.startswith("v=DMARC1")]
            if records:
                policy = dict(TAG.findall(records[0])).get("p", "")
                return len(records) == 1 and policy in ("none", "quarantine", "reject")
        return False


def readiness(config: Config, keys: Sequence[DkimKey], texts: Texts = read_dns) -> Readiness:
    """What this configuration's marketing needs."""
    mail = config.mail
    return Readiness(mail.sender, mail.bounces or mail.sender, keys, texts, asked=not config.demonstration)
