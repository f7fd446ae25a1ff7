"""The configuration: where data lives, which policy runs, and how Troth reaches the world.

One TOML file, ``troth.toml`` in the data folder, read once by the composition root; environment variables
``TROTH_*`` override it. Everything below receives a ``Config``: nothing reads the environment deep inside.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from troth.errors import StartRefused

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class Mail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The relay that outgoing mail goes through. STARTTLS with a verified certificate, except on loopback."""

    host: str = "127.0.0.1"
    port: Port = 25
    sender: str = ""
    username: str = ""
    password_file: str = ""
    ca_file: str = ""


class OpenId(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The vendor's own OpenID provider, at which people are signed in already; none where ``issuer`` is empty.

    ``reference`` is the claim that holds an account's reference; without it the verified address is taken.
    """

    issuer: str = ""
    client_id: str = ""
    secret_file: str = ""
    reference: str = ""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings. Paths that are not absolute are taken from the data folder."""

    data_folder: str = ""
    policy: str = "policy.md"
    bindings: str = ""
    data_url: str = ""  # empty: sqlite in the data folder
    keys_url: str = ""
    root_key: str = "keys/root.key"
    host: str = "127.0.0.1"
    port: Port = 8420
    base_url: str = ""  # what links in mails and receipts begin with
    tls_certificate: str = ""
    tls_key: str = ""
    tenant: str = "main"
    demonstration: bool = False  # says so on every page; mail goes to loopback only
    trusted_proxies: tuple[str, ...] = ()
    locations: str = ""  # a MaxMind database of countries; without one every country is unknown
    mail: Mail = Mail()
    openid: OpenId = OpenId()

    @property
    def folder(self) -> Path:
        """The data folder."""
        return Path(self.data_folder)

    def path(self, name: str) -> Path:
        """A configured path, resolved against the data folder."""
        return self.folder / name

    @property
    def url(self) -> str:
        """Where people reach this system, without a trailing slash."""
        if self.base_url:
            return self.base_url.rstrip("/")
        scheme = "https" if self.tls_certificate else "http"
        return f"{scheme}://{self.host}:{self.port}"

    @property
    def data_database(self) -> str:
        """The URL of D; a SQLite file in the data folder unless configured."""
        return self.data_url or f"sqlite:///{self.folder / 'data' / 'data.db'}"

    @property
    def keys_database(self) -> str:
        """The URL of K: another file in another folder, never in the data's backups."""
        return self.keys_url or f"sqlite:///{self.folder / 'keys' / 'keys.db'}"


def read_config(folder: Path, environment: Mapping[str, str] | None = None) -> Config:
    """Read ``troth.toml`` in ``folder`` and apply ``TROTH_<SETTING>`` from the environment.

    Raises ``StartRefused`` naming the setting that does not fit; a missing file means all defaults.
    """
    environment = os.environ if environment is None else environment
    file = folder / "troth.toml"
    try:
        settings = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
    except OSError as fault:
        raise StartRefused(f"{file.name} in the data folder cannot be read: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        raise StartRefused(f"{file.name} in the data folder is not UTF-8 text") from fault
    except tomllib.TOMLDecodeError as fault:
        raise StartRefused(f"{file.name} in the data folder is not TOML: {fault}") from fault
    for name in ("policy", "bindings", "data_url", "keys_url", "root_key", "host", "port", "base_url"):
        value = environment.get(f"TROTH_{name.upper()}")
        if value:
            settings[name] = int(value) if name == "port" and value.isdecimal() else value
    settings["data_folder"] = str(folder)
    try:
        config = msgspec.convert(settings, Config)
    except msgspec.ValidationError as fault:
        message, _, place = str(fault).partition(" - at `$.")
        where = f" for {place.rstrip('`')}" if place else ""
        raise StartRefused(f"a setting of {file.name} or TROTH_* does not fit{where}: {message}") from fault
    check_url(config.base_url)
    return config


def check_url(url: str) -> None:
    """``StartRefused`` where links in mails could not begin with ``url`` ("": the address that is listened on)."""
    if not url:
        return
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fits = False
    if not fits or parts.query or parts.fragment or parts.username or any(c.isspace() for c in url):
        raise StartRefused("base_url does not fit: https://host, perhaps with a port, as people reach this system")
