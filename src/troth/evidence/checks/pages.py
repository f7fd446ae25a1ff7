"""Checks of what is published and how: the policy's pages, their dates, who is responsible, and that all can read."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select

from troth.evidence.checks import Check, Verdict, unless
from troth.evidence.inspection import Inspection, Page
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
    return unless([] if good else ["the version in force no longer compiles to itself"], f"{policy.version} compiles")


def effective(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """What is stored, what the ledger says was published, and what the page says are one and the same."""
    faults = []
    published = {e.facts.get("version"): e for e in inspection.entries("policy.published")}
    rows = inspection.rows(VERSIONS)
    for row in rows:
        entry = published.get(row.version)
        if entry is None or entry.eid != bytes(row.eid):
            faults.append(f"version {row.version} has no entry of its publication")
        elif (entry.facts["sha256"], entry.facts["effective"]) != (row.sha256, row.effective_ms):
            faults.append(f"version {row.version} is not the one that was published")
        again = compile_policy(row.source, filename="policy", bindings=row.bindings).policy
        if again is None or again.sha256 != row.sha256 or again.effective_ms != row.effective_ms:
            faults.append(f"the stored text of version {row.version} was altered")
    if set(published) - {row.version for row in rows}:
        faults.append("a published version is gone from the store")
    if inspection.policy.effective not in shown_dates(inspection.get("/policy").page):
        faults.append("the page does not show the effective date of the version in force")
    return unless(faults, f"{len(rows)} versions, in force: {inspection.policy.version}")


def shown_dates(page: Page) -> str:
    """The words and machine-readable dates in the first block of the policy's page."""
    return " ".join((*page.first_block, *page.times))


def published(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """The page served is the version in force, rendered anew and compared; older versions answer too."""
    policy = inspection.policy
    served = inspection.get("/policy")
    faults = []
    if served.status != 200 or served.header("x-policy-sha256") != policy.sha256:
        faults.append("the page served is not the version in force")
    expected = Page(f"<article>{render(policy).html}</article>").text
    if expected not in served.page.text:
        faults.append("the words served differ from the version in force")
    if inspection.get("/policy.md").text != policy.source:
        faults.append("the source served differs from the version in force")
    for version in inspection.versions.history.versions:
        if inspection.get(f"/policy/versions/{version.version}").header("x-policy-sha256") != version.sha256:
            faults.append(f"version {version.version} cannot be read any more")
    return unless(faults, f"served word for word: {policy.sha256[:12]}")


def date_first(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """The effective date stands in the first block of the page."""
    page = inspection.get("/policy").page
    block = " ".join(page.first_block)
    good = inspection.policy.effective in block or (
        page.times and page.times[0].startswith(inspection.policy.effective)
    )
    return unless([] if good else ["the first block lacks the effective date"], "the date stands in the first block")


def readable(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Beside every form there is a link to the policy, which opens without cookies and needs no script."""
    faults = []
    policy = inspection.get("/policy")
    if policy.status != 200 or policy.cookies or len(policy.page.text) < 500:
        faults.append("the policy's page cannot be read without cookies and scripts")
    count = 0
    for point, host in inspection.forms():
        count += 1
        form = inspection.get(f"/forms/{point.id}", host)
        if not any(link.split("#")[0].split("?")[0] == "/policy" for link in form.page.links):
            faults.append(f"form {point.id} has no link to the policy")
        if inspection.policy.version not in form.page.text:
            faults.append(f"form {point.id} does not say which version it is under")
    return unless(faults, f"linked from {count} forms, readable without cookies and scripts")


def accessible(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Structure that everybody can use: language, title, one h1, no skipped level, every control named."""
    pages = inspection.public_pages()
    faults = [f"{path}: {fault}" for path in pages for fault in barriers(inspection.get(path).page)]
    return unless(faults, f"{len(pages)} pages: language, headings, names and landmarks are right")


def barriers(page: Page) -> Iterator[str]:
    """What would stop somebody who reads this page with a keyboard or a screen reader."""
    if not page.attributes.get("lang"):
        yield "no language"
    if not page.title.strip():
        yield "no title"
    if page.headings.count(1) != 1:
        yield "not exactly one main heading"
    if any(after > before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False)):
        yield "a heading level is skipped"
    if "main" not in page.landmarks:
        yield "no main landmark"
    for control in page.controls:
        labelled = control.labelled or control.attributes.get("id") in page.labels
        if control.shown and control.tag != "button" and not labelled:
            yield f"control {control.name} has no label"
    if any("alt" not in image for image in page.images):
        yield "an image without words"


def controller(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Who is responsible and how to reach them stands on the policy and on every form's page."""
    who = inspection.policy.controller
    faults = []
    paths = [("/policy", "")] + [(f"/forms/{point.id}", host) for point, host in inspection.forms()]
    for path, host in paths:
        text = inspection.get(path, host).page.text
        if who.name not in text or who.contact not in text:
            faults.append(f"{path} does not say who is responsible and how to reach them")
    return unless(faults, f"shown on {len(paths)} pages")


def cookieless(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Every public page opens for a visitor who takes no cookies, and sets none."""
    pages = inspection.public_pages()
    faults = [f"{p} answered {inspection.get(p).status}" for p in pages if inspection.get(p).status != 200]
    faults += [f"{p} sets a cookie" for p in pages if inspection.get(p).cookies]
    return unless(faults, f"{len(pages)} public pages work without cookies")


def declared_cookies(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """What is set is declared; before anybody has acted, nothing is set at all."""
    faults = []
    for path in inspection.public_pages():
        for cookie in inspection.get(path).cookies:
            name = cookie.split("=", 1)[0].removeprefix("__Host-")
            if name not in inspection.policy.cookies:
                faults.append(f"{path} sets a cookie that is not declared")
            elif not inspection.policy.cookies[name].essential:
                faults.append(f"{path} sets {name} before any choice")
    return unless(faults, f"{len(inspection.policy.cookies)} cookies declared, none set on a public page")


def random_cookies(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Declared values are random enough or from a fixed list, and the filter at the door refuses everything else."""
    weak = [c.name for c in inspection.policy.cookies.values() if c.value == "random" and c.bits < 128]
    faults = [f"cookie {name} is declared with less than 128 random bits" for name in weak]
    told = probe(inspection, "cookie.random")
    return unless(faults + ([told] if told else []), "values are random tokens; an address as a value is stripped")


def probe(inspection: Inspection, mechanism: str) -> str:
    """Try what must be refused; what was let through, or an empty string."""
    attempt = inspection.probes.get(mechanism)
    return attempt() if attempt else f"{mechanism} cannot be tried here"


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
