"""Passkeys, of staff and of people (WebAuthn level 3): one gesture, two factors, nothing to guess or be asked out of.

Nothing is stored when a ceremony begins: its challenge travels sealed, in the form, and is marked used in the same
transaction that lets somebody in, so that an answer works once. A sign-in names no credentials, whoever asks: a list
would tell who is here. So each passkey is one that its device finds by itself. The webauthn package is loaded when
the first answer is checked (15 MiB).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import msgspec

from troth.errors import Unproven
from troth.store import links
from troth.store.transaction import DataTx
from troth.world import Clock, Randomness

CEREMONY_MS = 5 * 60_000
CHALLENGE_BYTES = 32
USED = "challenge"  # the kind of link that remembers a used challenge until it would have expired anyway


class SecretBox(Protocol):
    """Seals small secrets of the system's own under a key that the vault holds."""

    def seal(self, content: bytes, about: bytes) -> bytes:
        """``content`` sealed; it opens only with the same ``about``."""
        ...

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """What was sealed; ``Damaged`` where it or ``about`` is not what it was."""
        ...


class Ceremony(msgspec.Struct, frozen=True):
    """What a ceremony remembers between its question and its answer."""

    kind: Literal["register", "sign-in"]
    challenge: bytes
    expires_ms: int
    owner: bytes = b""


@dataclass(frozen=True)
class Question:
    """What the browser is asked (JSON for ``navigator.credentials``), and the sealed ceremony that goes with it."""

    options: str
    sealed: str


@dataclass(frozen=True)
class NewPasskey:
    """A registered credential."""

    credential: bytes
    public_key: bytes
    sign_count: int


class Checkable(Protocol):
    """What an answer is checked against: a row, or a passkey that was opened."""

    @property
    def public_key(self) -> bytes:
        """COSE key."""
        ...

    @property
    def sign_count(self) -> int:
        """How often it had signed when it was seen last; 0 where the device does not count."""
        ...


class Passkeys:
    """Ceremonies for one origin, which is where people reach this system.

    ``box`` belongs to one kind of owner: a ceremony that was begun by staff is none for people.
    """

    def __init__(self, url: str, issuer: str, box: SecretBox, clock: Clock, randomness: Randomness) -> None:
        parts = urlsplit(url)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.rp_id = parts.hostname or ""
        self.issuer = issuer
        self.box = box
        self.clock = clock
        self.randomness = randomness

    def ask_to_register(
        self, owner: bytes, name: str, *, handle: bytes | None = None, known: Sequence[bytes] = ()
    ) -> Question:
        """Begin adding a passkey for an owner, to whom the device will show it as ``name``'s.

        ``handle`` is what the device keeps of them (the owner's id where it is not given); a device that holds one of
        the ``known`` credentials makes no second one.
        """
        import webauthn
        from webauthn.helpers import structs

        ceremony = self._begin("register", owner)
        options = webauthn.generate_registration_options(
            rp_id=self.rp_id,
            rp_name=self.issuer,
            user_id=handle or owner,
            user_name=name,
            challenge=ceremony.challenge,
            authenticator_selection=structs.AuthenticatorSelectionCriteria(
                resident_key=structs.ResidentKeyRequirement.REQUIRED,
                user_verification=structs.UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[structs.PublicKeyCredentialDescriptor(id=credential) for credential in known],
        )
        return Question(webauthn.options_to_json(options), self._seal(ceremony))

    def ask_to_sign_in(self) -> Question:
        """Begin a sign-in: the browser offers its passkeys for us, no name is asked and none is told."""
        ceremony = self._begin("sign-in", b"")
        challenge = base64.urlsafe_b64encode(ceremony.challenge).rstrip(b"=").decode()
        options = {"challenge": challenge, "rpId": self.rp_id, "timeout": CEREMONY_MS, "allowCredentials": []}
        return Question(msgspec.json.encode({**options, "userVerification": "required"}).decode(), self._seal(ceremony))

    def registered(self, sealed: str, answer: str, owner: bytes) -> tuple[Ceremony, NewPasskey]:
        """Check the browser's answer to ``ask_to_register``; ``Unproven`` where anything does not fit."""
        import webauthn
        from webauthn.helpers.exceptions import WebAuthnException

        ceremony = self._open(sealed, "register")
        if ceremony.owner != owner:
            raise refused()
        try:
            found = webauthn.verify_registration_response(
                credential=answer,
                expected_challenge=ceremony.challenge,
                expected_rp_id=self.rp_id,
                expected_origin=self.origin,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, TypeError, KeyError) as fault:
            raise refused() from fault
        return ceremony, NewPasskey(found.credential_id, found.credential_public_key, found.sign_count)

    def credential_of(self, answer: str) -> bytes:
        """The id of the credential that answers, to look it up by; ``Unproven`` where there is none."""
        return part_of(answer, "rawId")

    def handle_of(self, answer: str) -> bytes:
        """Whose passkey says it is answering: the handle that its device kept; ``Unproven`` where it says nothing."""
        return part_of(answer, "response", "userHandle")

    def signed_in(self, sealed: str, answer: str, stored: Checkable) -> tuple[Ceremony, int]:
        """Check the answer to ``ask_to_sign_in`` against the stored credential; the ceremony and the new count."""
        import webauthn
        from webauthn.helpers.exceptions import WebAuthnException

        ceremony = self._open(sealed, "sign-in")
        try:
            found = webauthn.verify_authentication_response(
                credential=answer,
                expected_challenge=ceremony.challenge,
                expected_rp_id=self.rp_id,
                expected_origin=self.origin,
                credential_public_key=stored.public_key,
                credential_current_sign_count=stored.sign_count,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, TypeError, KeyError) as fault:
            raise refused() from fault
        return ceremony, found.new_sign_count

    def use_up(self, tx: DataTx, ceremony: Ceremony, tenant: str) -> None:
        """Mark the challenge used in the transaction of its effect; ``Unproven`` where it was used before."""
        if not links.use_up(tx, ceremony.challenge.hex(), USED, tenant=tenant, expires_ms=ceremony.expires_ms):
            raise refused()

    def _begin(self, kind: Literal["register", "sign-in"], owner: bytes) -> Ceremony:
        challenge = self.randomness.bytes(CHALLENGE_BYTES)
        return Ceremony(kind, challenge, self.clock.now() + CEREMONY_MS, owner)

    def _seal(self, ceremony: Ceremony) -> str:
        return self.box.seal(msgspec.msgpack.encode(ceremony), USED.encode()).hex()

    def _open(self, sealed: str, kind: str) -> Ceremony:
        from troth.errors import Damaged

        try:
            ceremony = msgspec.msgpack.decode(self.box.open(bytes.fromhex(sealed), USED.encode()), type=Ceremony)
        except (Damaged, ValueError, msgspec.DecodeError) as fault:
            raise refused() from fault
        if ceremony.kind != kind or ceremony.expires_ms <= self.clock.now():
            raise refused()
        return ceremony


def part_of(answer: str, *names: str) -> bytes:
    """The bytes of one member of a browser's answer; ``Unproven`` where it has no such member."""
    try:
        found: Any = msgspec.json.decode(answer)
        for name in names:
            found = found[name]
        return base64.urlsafe_b64decode(found + "=" * (-len(found) % 4))
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, IndexError) as fault:
        raise refused() from fault


def refused() -> Unproven:
    """The one answer to whatever does not fit."""
    return Unproven("the passkey was not accepted: please try again", clause="protect.password")
