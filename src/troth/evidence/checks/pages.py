"""Checks of what is published and how: the policy's pages, their dates, who is responsible, and that all can read."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select

from troth.evidence.checks import Check, Verdict, unless
from troth.evidence.inspection import Inspection, Page
from troth.evidence.said import Said, say
from troth.policy import compile as compile_policy
from troth.policy.model import CompiledClause
from troth.policy.render import render
from troth.store.tables import policy_versions

VERSIONS = select(policy_versions)


def compiles(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """The version in force compiles again to the same meaning."""
    policy = inspection.policy
    again = compile_policy(policy.source, filename="policy", bindings=policy.bindings)
    good = again.policy is not None and again.policy.sha256 == policy.sha256
    return unless([] if good else [say("policy.compile.differs")], say("policy.compile.good", version=policy.version))


def effective(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """What is stored, what the ledger says was published, and what the page says are one and the same."""
    faults = []
    published = {e.facts.get("version"): e for e in inspection.entries("policy.published")}
    rows = inspection.rows(VERSIONS)
    for row in rows:
        entry = published.get(row.version)
        if entry is None or entry.eid != bytes(row.eid):
            faults.append(say("policy.effective.no-entry", version=row.version))
        elif (entry.facts["sha256"], entry.facts["effective"]) != (row.sha256, row.effective_ms):
            faults.append(say("policy.effective.other", version=row.version))
        again = compile_policy(row.source, filename="policy", bindings=row.bindings).policy
        if again is None or again.sha256 != row.sha256 or again.effective_ms != row.effective_ms:
            faults.append(say("policy.effective.altered", version=row.version))
    if set(published) - {row.version for row in rows}:
        faults.append(say("policy.effective.gone"))
    if inspection.policy.effective not in shown_dates(inspection.get("/policy").page):
        faults.append(say("policy.effective.page"))
    return unless(faults, say("policy.effective.good", versions=len(rows), version=inspection.policy.version))


def shown_dates(page: Page) -> str:
    """The words and machine-readable dates in the first block of the policy's page."""
    return " ".join((*page.first_block, *page.times))


def published(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """The page served is the version in force, rendered anew and compared; older versions answer too."""
    policy = inspection.policy
    served = inspection.get("/policy")
    faults = []
    if served.status != 200 or served.header("x-policy-sha256") != policy.sha256:
        faults.append(say("policy.publish.page"))
    expected = Page(f"<article>{render(policy).html}</article>").text
    if expected not in served.page.text:
        faults.append(say("policy.publish.words"))
    if inspection.get("/policy.md").text != policy.source:
        faults.append(say("policy.publish.source"))
    for version in inspection.versions.history.versions:
        if inspection.get(f"/policy/versions/{version.version}").header("x-policy-sha256") != version.sha256:
            faults.append(say("policy.publish.gone", version=version.version))
    return unless(faults, say("policy.publish.good", hash=policy.sha256[:12]))


def date_first(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """The effective date stands in the first block of the page."""
    page = inspection.get("/policy").page
    block = " ".join(page.first_block)
    good = inspection.policy.effective in block or (
        page.times and page.times[0].startswith(inspection.policy.effective)
    )
    return unless([] if good else [say("page.date-first.lacks")], say("page.date-first.good"))


def readable(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Beside every form there is a link to the policy, which opens without cookies and needs no script."""
    faults = []
    policy = inspection.get("/policy")
    if policy.status != 200 or policy.cookies or len(policy.page.text) < 500:
        faults.append(say("page.readable.policy"))
    count = 0
    for point, host in inspection.forms():
        count += 1
        form = inspection.get(f"/forms/{point.id}", host)
        if not any(link.split("#")[0].split("?")[0] == "/policy" for link in form.page.links):
            faults.append(say("page.readable.link", point=point.id))
        if inspection.policy.version not in form.page.text:
            faults.append(say("page.readable.version", point=point.id))
    return unless(faults, say("page.readable.good", forms=count))


def accessible(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Structure that everybody can use: language, title, one h1, no skipped level, every control named."""
    pages = inspection.public_pages()
    faults = [fault for path in pages for fault in barriers(path, inspection.get(path).page)]
    return unless(faults, say("page.accessible.good", pages=len(pages)))


def barriers(path: str, page: Page) -> Iterator[Said]:
    """What would stop somebody who reads this page with a keyboard or a screen reader."""
    if not page.attributes.get("lang"):
        yield say("page.accessible.language", path=path)
    if not page.title.strip():
        yield say("page.accessible.title", path=path)
    if page.headings.count(1) != 1:
        yield say("page.accessible.heading", path=path)
    if any(after > before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False)):
        yield say("page.accessible.level", path=path)
    if "main" not in page.landmarks:
        yield say("page.accessible.main", path=path)
    for control in page.controls:
        labelled = control.labelled or control.attributes.get("id") in page.labels
        if control.shown and control.tag != "button" and not labelled:
            yield say("page.accessible.control", path=path, name=control.name)
    if any("alt" not in image for image in page.images):
        yield say("page.accessible.image", path=path)


def controller(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Who is responsible and how to reach them stands on the policy and on every form's page."""
    who = inspection.policy.controller
    faults = []
    paths = [("/policy", "")] + [(f"/forms/{point.id}", host) for point, host in inspection.forms()]
    for path, host in paths:
        text = inspection.get(path, host).page.text
        if who.name not in text or who.contact not in text:
            faults.append(say("controller.shown.lacks", path=path))
    return unless(faults, say("controller.shown.good", pages=len(paths)))


def cookieless(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Every public page opens for a visitor who takes no cookies, and sets none."""
    pages = inspection.public_pages()
    faults = [
        say("site.cookieless.answered", path=p, status=inspection.get(p).status)
        for p in pages
        if inspection.get(p).status != 200
    ]
    faults += [say("site.cookieless.sets", path=p) for p in pages if inspection.get(p).cookies]
    return unless(faults, say("site.cookieless.good", pages=len(pages)))


def declared_cookies(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """What is set is declared; before anybody has acted, nothing is set at all."""
    faults = []
    for path in inspection.public_pages():
        for cookie in inspection.get(path).cookies:
            name = cookie.split("=", 1)[0].removeprefix("__Host-")
            if name not in inspection.policy.cookies:
                faults.append(say("cookie.declared.undeclared", path=path))
            elif not inspection.policy.cookies[name].essential:
                faults.append(say("cookie.declared.early", path=path, name=name))
    return unless(faults, say("cookie.declared.good", cookies=len(inspection.policy.cookies)))


def random_cookies(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Declared values are random enough or from a fixed list, and the filter at the door refuses everything else."""
    weak = [c.name for c in inspection.policy.cookies.values() if c.value == "random" and c.bits < 128]
    faults = [say("cookie.random.weak", name=name) for name in weak]
    told = probe(inspection, "cookie.random")
    return unless(faults + ([told] if told else []), say("cookie.random.good"))


def probe(inspection: Inspection, mechanism: str) -> Said | None:
    """Try what must be refused; what was let through, or None."""
    attempt = inspection.probes.get(mechanism)
    return attempt() if attempt else say("cannot-be-tried", mechanism=mechanism)


CHECKS: dict[str, Check] = {
    "policy.compile": compiles,
    "policy.effective": effective,
    "policy.publish": published,
    "page.date-first": date_first,
    "page.readable": readable,
    "page.accessible": accessible,
    "controller.shown": controller,
    "site.cookieless": cookieless,
    "cookie.declared": declared_cookies,
    "cookie.random": random_cookies,
}
