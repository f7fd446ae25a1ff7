"""A vendor's own OpenID provider: a real server with real keys, which does what it should, or what a bad one would."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from troth.config import Config
from troth.web.serve import listen, server
from troth.world import Clock

CLIENT, SECRET = "troth", "a secret: of the client"


def by_hand(header: dict[str, str], claims: dict[str, Any], secret: bytes) -> str:
    """A token that no library would make."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    mac = hmac.digest(secret, b".".join(parts), "sha256") if secret else b""
    return b".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()


def key() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig", "alg": "RS256"})


@dataclass
class OpenIdProvider:
    """Who is signed in is told by ``claims``; what is done wrong, by the other members."""

    clock: Clock
    url: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    signing: RSAKey = field(default_factory=key)
    published: RSAKey | None = None  # where it is another than what it signs with
    unsigned: bool = False
    by_secret: bool = False
    issuer: str = ""
    keys_at: str = ""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def app(self) -> Starlette:
        """Its pages."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.about),
                Route("/keys", self.keys),
                Route("/token", self.token, methods=["POST"]),
            ]
        )

    async def about(self, request: Request) -> JSONResponse:
        places = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        found = {name: f"{self.url}/{path}" for name, path in places.items()}
        found["jwks_uri"] = self.keys_at or found["jwks_uri"]
        return JSONResponse({"issuer": self.issuer or self.url, **found})

    async def keys(self, request: Request) -> JSONResponse:
        return JSONResponse(KeySet([self.published or self.signing]).as_dict(private=False))

    def sign_in(self, address: str, **claims: Any) -> str:
        """The page of the provider, seen and answered by whoever is signed in there: the address it leads back to."""
        parts = urlsplit(address)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert address.startswith(f"{self.url}/authorize?")
        assert (asked["response_type"], asked["client_id"], asked["code_challenge_method"]) == ("code", CLIENT, "S256")
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        self.claims = claims
        back = urlsplit(asked["redirect_uri"])
        return f"{back.path}?{urlencode({'code': code, 'state': asked['state']})}"

    async def token(self, request: Request) -> JSONResponse:
        form = {name: str(value) for name, value in (await request.form()).items()}
        scheme, _, told = request.headers["authorization"].partition(" ")
        who = [unquote(part) for part in base64.b64decode(told).decode().split(":", 1)]
        asked = self.codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        if asked is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        good = asked["code_challenge"].encode() == challenge and scheme == "Basic"
        if not good or who != [CLIENT, SECRET] or asked["redirect_uri"] != form["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = self.clock.now() // 1000
        usual = {"iss": self.url, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        return JSONResponse({"id_token": self.made({**usual, **self.claims}), "token_type": "Bearer"})

    def made(self, claims: dict[str, Any]) -> str:
        if self.unsigned:
            return by_hand({"alg": "none"}, claims, b"")
        if self.by_secret:  # the classic: the public half taken for a shared secret
            return by_hand({"alg": "HS256"}, claims, self.signing.as_pem(private=False))
        return jwt.encode({"alg": "RS256", "kid": self.signing.kid}, claims, self.signing)


@contextlib.contextmanager
def provided(clock: Clock) -> Iterator[OpenIdProvider]:
    """A provider on a free port of loopback."""
    made = OpenIdProvider(clock)
    config = Config(host="127.0.0.1", port=0)
    bound = listen(config)
    made.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    served = server(made.app(), config)
    thread = threading.Thread(target=served.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not served.started:
        thread.join(0.01)
        assert thread.is_alive(), "the provider did not start"
    try:
        yield made
    finally:
        served.should_exit = True
        thread.join(20)
        bound.close()
