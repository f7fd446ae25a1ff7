"""Everything that letters need, made once: words, signatures, the relay, and who takes what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from troth.config import Config
from troth.errors import StartRefused
from troth.notice.versions import Versions
from troth.store import Store
from troth.use.bounces import Bounces, ReturnPath
from troth.use.campaigns import Campaigns
from troth.use.compose import Composer
from troth.use.dkim import Dkim, read_keys
from troth.use.domains import Domains
from troth.use.flight import Flight
from troth.use.gate import Gate
from troth.use.letters import Letters
from troth.use.mailroom import MailRoom
from troth.use.messages import Messages
from troth.use.readiness import Readiness, readiness
from troth.use.transport import SmtpTransport
from troth.vault import Vault
from troth.web.catalogue import Catalogue
from troth.world import Randomness

if TYPE_CHECKING:
    from troth.web.inbound import Inbound

NOBODY = "no-reply@localhost.localdomain"  # from whom letters are where no sender is configured


@dataclass(frozen=True)
class Mailing:
    """The parts of it by name."""

    config: Config
    versions: Versions
    readiness: Readiness
    composer: Composer
    room: MailRoom
    campaigns: Campaigns
    letters: Letters
    transport: SmtpTransport
    messages: Messages
    reports: ReturnPath | None
    """Where newsletter tools that are kept report unsubscribes to, if they may."""

    def listen(self) -> Inbound | None:
        """Take the mail that comes in, where the configuration says at which port."""
        mail = self.config.mail
        if not mail.inbound:
            return None
        host, _, port = mail.inbound.rpartition(":")
        if not host or not port.isdecimal():
            raise StartRefused("mail.inbound does not fit: host:port, such as 127.0.0.1:2525")
        from troth.web.inbound import Inbound  # its library is read only where mail is listened for

        contact = self.versions.current().controller.contact
        lmtp = mail.inbound_protocol == "lmtp"
        return Inbound(self.room, host=host.strip("[]"), port=int(port), contact=contact, lmtp=lmtp)


def mailing(
    config: Config,
    store: Store,
    vault: Vault,
    versions: Versions,
    gate: Gate,
    catalogue: Catalogue,
    flight: Flight,
    randomness: Randomness,
    *,
    urls: Mapping[str, str],
    lacks: Callable[[str], tuple[str, ...]],
) -> Mailing:
    """Make it; ``StartRefused`` for what does not fit together.

    ``urls`` are where each tenant's links begin; ``lacks`` says what keeps marketing from going out in a tenant's name.
    """
    mail = config.mail
    names = [address.partition("@")[0] for address in (mail.bounces, mail.unsubscribe, mail.unsubscribed) if address]
    if (mail.unsubscribe or mail.unsubscribed) and (not mail.inbound or len(set(names)) < len(names)):
        raise StartRefused(
            "mail.unsubscribe and mail.unsubscribed need mail.inbound, and names of their own beside mail.bounces:"
            " somebody must take them",
            clause="rights.unsubscribe",
        )
    sender = mail.sender or NOBODY
    signer = Dkim(sender.rpartition("@")[2], read_keys(config.path(mail.dkim)))
    path = ReturnPath(mail.bounces, vault.secret("bounces")) if mail.bounces else None
    composer = Composer(
        catalogue.words,
        base_url=config.url,
        sender=sender,
        languages=frozenset(catalogue.languages),
        sign=signer.sign,
        bounces=path.address if path else None,
        unsubscribe_address=mail.unsubscribe,
    )
    room = MailRoom()
    if path is not None:
        room.on(path.local, Bounces(store, vault, versions, path).take)

    campaigns = Campaigns(store, vault, versions, gate, composer, randomness, lacks)
    letters = Letters(
        store,
        vault,
        gate,
        versions,
        composer,
        domains=Domains(mail.per_minute),
        urls=urls,
        words=campaigns.words,
    )
    transport = SmtpTransport(mail, folder=config.folder, demonstration=config.demonstration)
    messages = Messages(store, vault, versions, letters, flight)
    reports = ReturnPath(mail.unsubscribed, vault.secret("reported")) if mail.unsubscribed else None
    return Mailing(
        config,
        versions,
        readiness(config, signer.keys),
        composer,
        room,
        campaigns,
        letters,
        transport,
        messages,
        reports,
    )
