"""All that the front of a website must know of its policy, in one small value that needs no server at hand.

``troth render --site`` writes it as JSON; the middleware (``troth.client.website``), the snippets for web servers and
Troth's own pages read it. The table of headers is complete: one for every choice there is.
"""

from __future__ import annotations

import msgspec

from troth.policy.choices import Choice, Choices, choices
from troth.policy.content import consent_policy
from troth.policy.model import CompiledPolicy, CookieRule, Embed, Value

FORM = 1  # of the JSON; a reader refuses another
PREFIX = "/troth"
REPORT = f"{PREFIX}/report"
REPORT_TO = "; report-to troth"  # beside report-uri, on pages over TLS only: elsewhere it would silence that one
ENDPOINTS = f'troth="{REPORT}"'
GPC = "/.well-known/gpc.json"  # where a site says that it hears the signal


class Site(Value, frozen=True):
    """A policy as the front of a website needs it.

    - ``headers``: the answers as bits (``"010"``) -> the Content-Security-Policy; all noes is the strictest.
    - ``cookies``: what may be set, by name; ``embeds``: what may be loaded from others, and what each is for.
    - ``hosts``: host -> surface; ``modes``: surface -> path -> ``observe`` or ``enforce``.
    - ``signal``: whether a clause says that the browser's signal is heard.
    """

    form: int
    policy: str
    version: str
    effective: str
    controller: str
    language: str
    choices: Choices
    headers: dict[str, str]
    cookies: dict[str, CookieRule]
    embeds: tuple[Embed, ...]
    hosts: dict[str, str]
    modes: dict[str, dict[str, str]]
    signal: bool

    @property
    def strictest(self) -> str:
        """The header that lets in nothing but what is essential."""
        return self.headers["0" * len(self.choices.asked)]

    def header(self, choice: Choice) -> str:
        """The header for this choice."""
        return self.headers["".join("1" if p in choice.granted else "0" for p in self.choices.purposes)]

    def enforces(self, host: str, path: str) -> bool:
        """Whether this page is kept to the policy, or only watched: the longest declared path that fits says."""
        modes = self.modes.get(self.hosts.get(host.lower(), ""), {})
        fitting = [each for each in modes if covers(each, path)]
        return not fitting or modes[max(fitting, key=len)] == "enforce"


def named(host: str) -> str:
    """The name in a Host header, lower-case: without its port and a last dot."""
    found = host.lower()
    return found.rsplit("]", 1)[0].lstrip("[") if found.startswith("[") else found.rsplit(":", 1)[0].rstrip(".")


def covers(declared: str, path: str) -> bool:
    """Whether a declared path is this one or above it."""
    return path == declared or path.startswith(declared.rstrip("/") + "/")


def site_of(policy: CompiledPolicy) -> Site:
    """The front's view of a compiled policy."""
    asked = choices(policy)
    headers = {}
    for value in asked.values() or ("-",):
        bits = value.partition("-")[2]
        granted = frozenset(p for p, bit in zip(asked.purposes, bits, strict=True) if bit == "1")
        headers[bits] = consent_policy(policy.embeds, granted, REPORT)
    return Site(
        form=FORM,
        policy=policy.policy,
        version=policy.version,
        effective=policy.effective,
        controller=policy.controller.name,
        language=policy.language,
        choices=asked,
        headers=headers,
        cookies=policy.cookies,
        embeds=policy.embeds,
        hosts={host: surface for surface, hosts in policy.surfaces.items() for host in hosts},
        modes=policy.modes,
        signal=hears_signal(policy),
    )


def hears_signal(policy: CompiledPolicy) -> bool:
    """Whether an enforced clause says that Global Privacy Control is heard."""
    rules = (c.body.get("requires", {}).get("consent", {}) for c in policy.clauses.values() if not c.not_enforced)
    return any(rule.get("signal") == "Sec-GPC" for rule in rules)


def nothing_known() -> Site:
    """For a front that cannot read its policy: nothing of others is loaded, nothing is asked, every page is served."""
    none = Choices("", "", None, ())
    strictest = {"": consent_policy((), frozenset())}
    return Site(FORM, "", "", "", "", "en", none, strictest, {}, (), {}, {}, signal=True)


def to_json(site: Site) -> bytes:
    """The site as JSON."""
    return msgspec.json.encode(site)


def from_json(content: bytes) -> Site:
    """Read what ``to_json`` wrote; ValueError where it is none, or of another form."""
    try:
        site = msgspec.json.decode(content, type=Site)
    except (msgspec.DecodeError, msgspec.ValidationError) as fault:
        raise ValueError(f"this is no site file: {fault}") from fault
    if site.form != FORM or not {"0" * len(site.choices.asked)} <= site.headers.keys():
        raise ValueError("this site file is of another version of Troth: write it anew with troth render --site")
    if len(site.headers) != 2 ** len(site.choices.asked):
        raise ValueError("this site file lacks headers: write it anew with troth render --site")
    return site
