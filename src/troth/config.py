"""The configuration: where data lives, which policy runs, and how Troth reaches the world.

One TOML file, ``troth.toml`` in the data folder, read once by the composition root; environment variables
``TROTH_*`` override it. Everything below receives a ``Config``: nothing reads the environment deep inside.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from troth.errors import StartRefused

TENANT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")  # stands in jobs' references, in the ledger, on pages
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class Mail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The relay that outgoing mail goes through. STARTTLS with a verified certificate, except on loopback."""

    host: str = "127.0.0.1"
    port: Port = 25
    sender: str = ""
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    connections: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4  # to the relay, each on a thread of its own
    per_minute: dict[str, int] = {}  # at most so many messages a minute to a domain; "*": to any other
    dkim: str = "dkim"  # the folder of the keys that mail is signed with, one file a selector
    inbound: str = ""  # host:port to listen on for mail to this system; empty: none is taken
    inbound_protocol: Literal["smtp", "lmtp"] = "smtp"
    bounces: str = ""  # an address here; "+" and a token are put into it, and what cannot be delivered returns to it
    unsubscribed: str = ""  # an address here that newsletter tools which are kept report unsubscribes to
    unsubscribe: str = ""  # an address here that stops letters by mail (RFC 2369), besides the link; inbound takes it


class Party(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who answers for data (Art. 4(7)), as pages, mails and copies name them."""

    name: str
    contact: str
    country: str
    address: str = ""


class Tenant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A controller for whom this system is run: ``[tenants.NAME]``. Its people come to its own hosts.

    ``surface`` is the policy's, one that it declares with ``tenants: true``; ``base_url`` is what links in mails begin
    with, if that is not the first host under the scheme and port of the system's own; ``zone`` is where its days are
    counted, if that is not the system's own.
    """

    hosts: tuple[str, ...]
    controller: Party
    surface: str = "service:managed"
    base_url: str = ""
    zone: str = ""


class Place(NamedTuple):
    """Where a request came to: in whose name it is answered, and under which address."""

    tenant: str
    url: str
    surface: str = ""  # a tenant's; "" where the policy's own hosts say it
    controller: Party | None = None  # None: the policy's own


class OpenId(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The vendor's own OpenID provider, at which people are signed in already; none where ``issuer`` is empty.

    ``reference`` is the claim that holds an account's reference; without it the verified address is taken.
    """

    issuer: str = ""
    client_id: str = ""
    secret_file: str = ""
    reference: str = ""


Event = Literal["consent.changed", "objection.made", "erasure.ordered", "restriction.changed"]


class Hook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool that is told what happened to people it has data of. ``product`` is one that has a key here."""

    url: str
    product: str
    tenant: str = ""  # empty: our own people
    events: tuple[Event, ...] = ("consent.changed", "objection.made", "erasure.ordered", "restriction.changed")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings. Paths that are not absolute are taken from the data folder."""

    data_folder: str = ""
    policy: str = "policy.md"
    bindings: str = ""
    data_url: str = ""  # empty: sqlite in the data folder
    keys_url: str = ""
    root_key: str = "keys/root.key"
    keys_copy: str = ""  # a folder on another disk for the key store's second, newest-only copy
    roll_after: Annotated[int, msgspec.Meta(ge=0, le=1440)] = 60  # minutes from an erasure to the epoch's roll
    host: str = "127.0.0.1"
    port: Port = 8420
    base_url: str = ""  # what links in mails and receipts begin with
    tls_certificate: str = ""
    tls_key: str = ""
    tenant: str = "main"
    zone: str = "UTC"  # where the controller is, such as Europe/Dublin: the days of deadlines are counted there
    words: str = "words"  # a folder of <language>.toml with texts that are said instead of ours
    demonstration: bool = False  # says so on every page; mail goes to loopback only
    trusted_proxies: tuple[str, ...] = ()
    locations: str = ""  # a MaxMind database of countries; without one every country is unknown
    sites: dict[str, str] = {}  # host -> the folder of a static website, served behind the front
    mail: Mail = Mail()
    tenants: dict[str, Tenant] = {}
    openid: OpenId = OpenId()
    hooks: dict[str, Hook] = {}

    @property
    def tools(self) -> dict[str, Hook]:
        """The hooks by their tools' names, each with the tenant whose people it is about."""
        return {n: msgspec.structs.replace(hook, tenant=hook.tenant or self.tenant) for n, hook in self.hooks.items()}

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

    def url_of(self, tenant: str) -> str:
        """Where this tenant's people reach the system, without a trailing slash."""
        of = self.tenants.get(tenant)
        if of is None:
            return self.url
        own = urlsplit(self.url)
        return of.base_url.rstrip("/") or f"{own.scheme}://{of.hosts[0]}" + (f":{own.port}" if own.port else "")

    def zone_of(self, tenant: str) -> dt.tzinfo:
        """Where this tenant's days are counted."""
        of = self.tenants.get(tenant)
        return zone(of.zone if of is not None and of.zone else self.zone)

    def place(self, host: str) -> Place:
        """Where a request to this host (with or without a port) belongs: to the tenant that has it, else to us."""
        name = host_name(host)
        for tenant, of in self.tenants.items():
            if name in of.hosts:
                return Place(tenant, self.url_of(tenant), of.surface, of.controller)
        return Place(self.tenant, self.url)

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
    for name in ("policy", "bindings", "data_url", "keys_url", "root_key", "keys_copy", "host", "port", "base_url"):
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
    check_tenants(config)
    for name, setting in [("zone", config.zone), *((f"tenants.{n}.zone", t.zone) for n, t in config.tenants.items())]:
        check_zone(setting, name)
    check_hooks(config)
    return config


def host_name(host: str) -> str:
    """The name in a Host header: lower-case, without a port and without the root's dot."""
    name = host.rsplit("]", 1)[0].lstrip("[") if host.startswith("[") else host.rsplit(":", 1)[0]
    return name.lower().rstrip(".")


def zone(name: str) -> dt.tzinfo:
    """A time zone by its name in the IANA database; ``ValueError`` or ``KeyError`` where there is none."""
    return dt.UTC if name in ("", "UTC") else ZoneInfo(name)


def check_zone(name: str, setting: str = "zone") -> None:
    """``StartRefused`` where no time zone is called ``name``: months would be counted nowhere."""
    try:
        zone(name)
    except (ValueError, KeyError, OSError):
        raise StartRefused(f"{setting} does not fit: a name of the time zone database, as Europe/Dublin") from None


def check_tenants(config: Config) -> None:
    """``StartRefused`` where a tenant has no name, no host, or one that is another's: nobody's data may be mistaken."""
    taken: dict[str, str] = {}
    for name, tenant in config.tenants.items():
        if not TENANT.fullmatch(name) or name == config.tenant:
            raise StartRefused(f"tenants: {name[:40]!r} is no name for a tenant: a-z, 0-9 and -, and not our own")
        if not tenant.hosts:
            raise StartRefused(f"tenants.{name}: it needs a host of its own, in hosts")
        check_url(tenant.base_url, f"tenants.{name}.base_url")
        for host in tenant.hosts:
            if host != host_name(host) or not host:
                raise StartRefused(f"tenants.{name}: a host is a name in lower case, without a port")
            if host in taken:
                raise StartRefused(f"tenants.{name} and tenants.{taken[host]} have one host: each needs its own")
            taken[host] = name


def check_hooks(config: Config) -> None:
    """``StartRefused`` where a hook has no name, or belongs to a tenant that is not here."""
    for name, hook in config.hooks.items():
        if not TENANT.fullmatch(name):
            raise StartRefused(f"hooks: {name[:40]!r} is no name for a tool: a-z, 0-9 and -")
        if hook.tenant not in ("", config.tenant, *config.tenants):
            raise StartRefused(f"hooks.{name}.tenant: no such tenant is configured")


def check_url(url: str, setting: str = "base_url") -> None:
    """``StartRefused`` where links in mails could not begin with ``url`` ("": the address that is listened on)."""
    if not url:
        return
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fits = False
    if not fits or parts.query or parts.fragment or parts.username or any(c.isspace() for c in url):
        raise StartRefused(f"{setting} does not fit: https://host, perhaps with a port, as people reach this system")
