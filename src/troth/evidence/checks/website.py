"""Checks of the websites that are served here: what their pages may load, what is asked, what an answer does."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from troth.evidence.checks import Check, Verdict, unless, unseen
from troth.evidence.checks.pages import probe
from troth.evidence.inspection import Fetched, Inspection
from troth.evidence.said import Said, say
from troth.policy.content import VARY, caching
from troth.policy.model import CompiledClause
from troth.policy.site import GPC, PREFIX, Site, site_of

CHOICES = f"{PREFIX}/choices"
MOST_PAGES = 200
POLICY_HEADER = "content-security-policy"
HARMLESS = ("'self'", "'none'", "'nonce-", "data:", "blob:", "'unsafe-inline'", "'unsafe-eval'")


def pages(inspection: Inspection, host: str) -> Iterator[tuple[str, Fetched]]:
    """The pages of one site, found by following its links from the home page; Troth's own are looked at elsewhere."""
    waiting, seen = ["/"], {"/"}
    while waiting and len(seen) <= MOST_PAGES:
        path = waiting.pop()
        got = inspection.get(path, host)
        if not got.header("content-type").startswith("text/html"):
            continue
        yield path, got
        for link in got.page.links:
            there = urlsplit(urljoin(f"http://{host}{path}", link))
            if there.netloc == host and there.path not in seen and not inspection.ours(there.path):
                seen.add(there.path)
                waiting.append(there.path)


def embeds(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """A page asked for without a choice may load what is essential and nothing else of anybody's."""
    site = site_of(inspection.policy)
    faults = [
        say("embed.registered.own", path=path) for path in inspection.public_pages() if lets(inspection.get(path))
    ]
    count = 0
    for host in inspection.hosts:
        for path, got in pages(inspection, host):
            count += 1
            if site.enforces(host, path) and site.strictest not in got.every(POLICY_HEADER) and lets(got):
                faults.append(say("embed.registered.lets", path=path, host=host))
    return judged(site, faults, say("embed.registered.good", pages=count + len(inspection.public_pages())))


def judged(site: Site, faults: list[Said], good: Said) -> Verdict:
    """FAIL with the faults of what is enforced; nothing passes as long as pages of a website are only watched."""
    watched = watched_hosts(site)
    if watched and not faults:
        return unseen(say("website.watched", host=watched[0]))
    return unless(faults, good)


def watched_hosts(site: Site) -> list[str]:
    """Hosts of which some page is only watched: nothing about them is kept, and nothing passes."""
    observing = {surface for surface, modes in site.modes.items() if "observe" in modes.values()}
    return [host for host, surface in site.hosts.items() if surface in observing]


def lets(got: Fetched) -> bool:
    """Whether a page could load from somewhere else."""
    for header in got.every(POLICY_HEADER):
        sources = [part for directive in header.split(";") for part in directive.split()[1:]]
        if sources and all(source.startswith((*HARMLESS, "/")) for source in sources):
            return False
    return True


def consented(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Each answer gets its own header and caching; an optional cookie is set after a yes to its purpose only."""
    site = site_of(inspection.policy)
    faults: list[Said] = []
    for value in site.choices.values():
        bits = value.partition("-")[2]
        granted = frozenset(p for p, bit in zip(site.choices.purposes, bits, strict=True) if bit == "1")
        flag = f"{site.choices.cookie}={value}"
        for host in inspection.hosts:
            got = inspection.get("/", host, cookie=flag)
            right = site.headers[bits] in got.every(POLICY_HEADER)
            kept = got.header("cache-control") == caching(grants=bool(granted)) and got.header("vary") == VARY
            if site.enforces(host, "/") and not (right and kept):
                faults.append(say("cookie.consent.header", host=host))
        for cookie in inspection.get("/?lang=ar", cookie=flag).cookies:
            rule = site.cookies.get(cookie.partition("=")[0].removeprefix("__Host-"))
            if rule is None or (not rule.essential and rule.purpose not in granted):
                faults.append(say("cookie.consent.early"))
    told = probe(inspection, "cookie.consent")
    good = say("cookie.consent.good", answers=len(site.choices.values()), sites=len(inspection.hosts))
    return judged(site, faults + ([told] if told else []), good)


def chosen(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Each question stands on the page of choices in its exact words with what a no costs; both answers are there."""
    site = site_of(inspection.policy)
    faults = []
    if not site.choices.asked:
        return unseen(say("consent.choice.nothing"))
    for host in ("", *inspection.hosts):
        got = inspection.get(CHOICES, host)
        text = got.page.text
        missing = [a.id for a in site.choices.asked if a.ask not in text or any(each not in text for each in a.lost)]
        faults += [say("consent.choice.question", name=name) for name in missing]
        answers = {c.attributes.get("value") for c in got.page.controls if c.name == "answer"}
        if got.status != 200 or not {"all", "none", "these"} <= answers:
            faults.append(say("consent.choice.answers"))
        if any("checked" in c.attributes for c in got.page.controls):
            faults.append(say("consent.choice.ticked"))
        if host:
            faults += asked_once(inspection, site, host)
    return judged(site, faults, say("consent.choice.good", questions=len(site.choices.asked)))


def asked_once(inspection: Inspection, site: Site, host: str) -> Iterator[Said]:
    """The question stands on the site's first page until it is answered, and not after a no."""
    if not site.enforces(host, "/"):
        return
    if "troth-banner" not in inspection.get("/", host).text:
        yield say("consent.choice.unasked", host=host)
    refused = inspection.get("/", host, cookie=f"{site.choices.cookie}={site.choices.value(())}")
    if "troth-banner" in refused.text:
        yield say("consent.choice.again", host=host)


def signalled(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """With the signal nothing is asked and nothing optional is let in; the promise is published."""
    site = site_of(inspection.policy)
    faults = []
    published = inspection.get(GPC)
    if published.status != 200 or '"gpc":true' not in published.text.replace(" ", ""):
        faults.append(say("consent.signal.unpublished"))
    for host in inspection.hosts:
        got = inspection.get("/", host, **{"sec-gpc": "1"})
        if "troth-banner" in got.text:
            faults.append(say("consent.signal.asked", host=host))
        if site.enforces(host, "/") and site.strictest not in got.every(POLICY_HEADER):
            faults.append(say("consent.signal.lets", host=host))
    if inspection.get("/?lang=ar", **{"sec-gpc": "1"}).cookies:
        faults.append(say("consent.signal.lets", host="-"))
    return judged(site, faults, say("consent.signal.good", sites=len(inspection.hosts)))


def links(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Links that lead away are listed by host, marked by the style of every page, and send no address along."""
    site = site_of(inspection.policy)
    faults, away = [], set()
    for host in inspection.hosts:
        marks = inspection.get(f"{PREFIX}/choices.css", host).text
        for path, got in pages(inspection, host):
            if not site.enforces(host, path):
                continue
            if got.header("referrer-policy") not in ("same-origin", "no-referrer"):
                faults.append(say("link.registered.referrer", host=host, path=path))
            there = {urlsplit(link).netloc for link in got.page.links if link.startswith(("http://", "https://"))}
            outside = there - {host} - inspection.policy_hosts
            away |= outside
            if outside and ("::after" not in marks or f"{PREFIX}/choices.css" not in got.text):
                faults.append(say("link.registered.unmarked", host=host, path=path))
    for path in inspection.public_pages():
        if inspection.get(path).header("referrer-policy") not in ("same-origin", "no-referrer"):
            faults.append(say("link.registered.referrer", host="-", path=path))
    return judged(site, faults, say("link.registered.good", hosts=", ".join(sorted(away)) or "-"))


CHECKS: dict[str, Check] = {
    "embed.registered": embeds,
    "cookie.consent": consented,
    "consent.choice": chosen,
    "consent.signal": signalled,
    "link.registered": links,
}
