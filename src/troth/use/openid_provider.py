"""The vendor's own OpenID provider: its addresses, its keys, a code exchanged, and an identity token that is checked.

OpenID Connect Core 1.0 3.1, Discovery 1.0, RFC 7636 (PKCE), RFC 9207 (who answered). Signatures are checked by joserfc
(the extra ``[oidc]``), loaded when the first token is. Whatever does not fit is refused in the same words. Clause:
``rights.proof``. Mechanism: ``right.proof``.
"""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from http.client import HTTPException
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from troth.config import OpenId
from troth.errors import StartRefused, Unavailable, Unproven
from troth.world import Clock

SIGNATURES = ["RS256", "PS256", "ES256", "Ed25519"]  # never "none", never one whose key is the client's secret
SECONDS = 10.0
MOST = 256 * 1024  # bytes of an answer
SKEW_S = 60
KEYS_MS = 60 * 60_000  # how long a provider's keys are remembered


class Metadata(msgspec.Struct, frozen=True):
    """What a provider says of itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    authorization_response_iss_parameter_supported: bool = False


class Tokens(msgspec.Struct, frozen=True):
    """What a code is exchanged for, as far as it is looked at."""

    id_token: str


class Untouched(urllib.request.HTTPRedirectHandler):
    """Follows nowhere: a provider answers where it said that it does."""

    def redirect_request(self, *about: Any, **named: Any) -> None:
        """No second request."""
        return


class Provider:
    """One provider, as this system's client. Methods block: call them from a thread."""

    def __init__(self, settings: OpenId, secret: str, redirect: str, clock: Clock) -> None:
        if not trusted(settings.issuer):
            raise StartRefused("openid.issuer must begin with https:// (http:// on this machine alone)")
        if find_spec("joserfc") is None:
            raise StartRefused("an openid provider is configured: install troth[oidc], which checks its signatures")
        self.settings = settings
        self.redirect = redirect
        self.clock = clock
        self._secret = secret
        self._opener = urllib.request.build_opener(Untouched)
        self._metadata: Metadata | None = None
        self._keys: tuple[int, dict[str, Any]] | None = None

    def address(self, *, state: str, nonce: str, challenge: str) -> str:
        """Where a browser is sent to sign in."""
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self.redirect,
            "scope": "openid email",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        place = self.metadata().authorization_endpoint
        return f"{place}{'&' if urlsplit(place).query else '?'}{urlencode(asked)}"

    def metadata(self) -> Metadata:
        """The provider's addresses; ``Unavailable`` where it does not answer, or answers for somebody else."""
        if self._metadata is None:
            place = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
            found = self._read(urllib.request.Request(place), Metadata)  # noqa: S310  # as ``trusted`` found it
            places = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri)
            if found.issuer != self.settings.issuer or not all(map(trusted, places)):
                raise Unavailable("the sign-in provider does not describe itself as it is configured here")
            self._metadata = found
        return self._metadata

    def claims(self, code: str, verifier: str, nonce: str) -> dict[str, Any]:
        """Who signed in there: the claims of the identity token behind a code. ``Unproven`` where anything is off."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect,
            "code_verifier": verifier,
        }
        who = f"{quote(self.settings.client_id, safe='')}:{quote(self._secret, safe='')}"  # RFC 6749 2.3.1
        headers = {"authorization": f"Basic {base64.b64encode(who.encode()).decode()}", "accept": "application/json"}
        place = self.metadata().token_endpoint
        asked = urllib.request.Request(place, urlencode(form).encode(), headers, method="POST")  # noqa: S310
        found = self._checked(self._read(asked, Tokens).id_token)
        self._require(found, nonce)
        return found

    def _checked(self, token: str) -> dict[str, Any]:
        """The claims of a token that the provider signed; keys are fetched anew once where none fits."""
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        for fresh in (False, True):
            try:
                keys = KeySet.import_key_set(self._jwks(fresh=fresh))  # type: ignore[arg-type]  # as it came
                return dict(jwt.decode(token, keys, algorithms=SIGNATURES).claims)
            except (JoseError, ValueError, TypeError, KeyError) as fault:
                if fresh:
                    raise refused() from fault
        raise refused()

    def _require(self, claims: dict[str, Any], nonce: str) -> None:
        """OpenID Connect Core 3.1.3.7: from this issuer, for this client, now, and in answer to this very question."""
        now, mine = self.clock.now() // 1000, self.settings.client_id
        for_whom = claims.get("aud")
        audience = for_whom if isinstance(for_whom, list) else [for_whom]
        expires, begun = claims.get("exp"), claims.get("iat")
        fits = (
            claims.get("iss") == self.settings.issuer
            and mine in audience
            and (claims.get("azp", mine) == mine if len(audience) == 1 else claims.get("azp") == mine)
            and isinstance(expires, int | float)
            and expires > now - SKEW_S
            and isinstance(begun, int | float)
            and begun < now + SKEW_S
            and claims.get("nonce") == nonce
        )
        if not fits:
            raise refused()

    def _jwks(self, *, fresh: bool) -> dict[str, Any]:
        now = self.clock.now()
        if fresh or self._keys is None or now - self._keys[0] > KEYS_MS:
            self._keys = (now, self._read(urllib.request.Request(self.metadata().jwks_uri), dict[str, Any]))  # noqa: S310
        return self._keys[1]

    def _read(self, request: urllib.request.Request, type_: Any) -> Any:
        """An answer of the provider's; nothing of it is repeated in an error."""
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                content = answer.read(MOST + 1)
        except urllib.error.HTTPError as fault:
            fault.close()
            if fault.code < 500:
                raise refused() from None  # a code that was used, or is another's
            raise Unavailable("the sign-in provider does not answer just now") from None
        except (OSError, HTTPException):  # the latter: what came back is no HTTP
            raise Unavailable("the sign-in provider does not answer just now") from None
        try:
            return msgspec.json.decode(content, type=type_)
        except msgspec.DecodeError:
            raise Unavailable("the sign-in provider's answer is not one") from None


def trusted(place: str) -> bool:
    """Whether an address may be asked: over TLS, or on this machine."""
    try:
        parts = urlsplit(place)
    except ValueError:  # no address at all
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1"))


def refused() -> Unproven:
    """The one answer to whatever does not fit."""
    return Unproven("this sign-in was not accepted: please begin again", clause="rights.proof")
