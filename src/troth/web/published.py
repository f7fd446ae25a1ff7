"""The policy as published, version by version and clause by clause, and the evidence that it was kept.

What is served here is rendered from the version in force itself, never from a second copy (``changes.publish``).
Clauses: ``changes.effective-date``, ``changes.date-at-top``, ``scope.readable``, ``scope.compliance``.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import NotFound
from troth.evidence.board import BoardRow as Row
from troth.evidence.words import Words
from troth.policy.model import CompiledPolicy
from troth.policy.render import Labels, render, render_clause
from troth.web.pages import page
from troth.web.routes import Group, Route
from troth.web.views import BoardRow, BoardView, ClauseView, VersionView

if TYPE_CHECKING:
    from troth.web.running import Running

# what of the log anybody may have: hashes, the checkpoint and the key. Entry bundles go to auditors and holders of
# receipts: time, clause and volume together could point at a person (STORAGE, B(e))
PUBLISHED = re.compile(r"checkpoint|log\.pub|tile/\d{1,2}(/x\d{3})*/\d{3}(\.p/\d{1,3})?")


@lru_cache(maxsize=16)
def rendered(sha256: str, policy: Published, labels: Labels) -> str:
    """The page of a version, rendered once per language of its labels. ``sha256`` is the key."""
    return render(policy.policy, labels).html


class Published:
    """A version as a key of the cache: compared by its hash, for compiled policies are large."""

    def __init__(self, policy: CompiledPolicy) -> None:
        self.policy = policy

    def __hash__(self) -> int:
        return hash(self.policy.sha256)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Published) and other.policy.sha256 == self.policy.sha256


def labels_for(request: Request) -> Labels:
    """The few words around the prose, in the reader's language."""
    catalogue, language = request.state.visit.pages.catalogue, request.state.visit.language
    found = {}
    for name in Labels.__struct_fields__:
        key = f"policy.label.{name.replace('_', '-')}"
        if catalogue.has(key):
            found[name] = catalogue.text(language, key, **{n: "{" + n + "}" for n in ("date", "version", "id")})
    return Labels(**found)


def versions_of(request: Request, system: Running) -> list[VersionView]:
    """Every published version, newest first."""
    href = request.state.visit.href
    return [
        VersionView(v.version, v.effective, href(f"/policy/versions/{v.version}"), v.version == system.policy.version)
        for v in reversed(system.versions.history.versions)
    ]


def policy_page(request: Request, system: Running, policy: CompiledPolicy) -> Response:
    """One version, as a page."""
    html = rendered(policy.sha256, Published(policy), labels_for(request))
    response = page(
        request,
        "policy.html",
        body=Markup(html),  # noqa: S704 - rendered by troth.policy.render, which escapes the source's own markup
        versions=versions_of(request, system),
        prose_language=policy.language,
    )
    response.headers["x-policy-sha256"] = policy.sha256
    return response


async def current(request: Request, system: Running) -> Response:
    """The version in force."""
    return policy_page(request, system, system.policy)


async def versions(request: Request, system: Running) -> Response:
    """All versions."""
    return page(request, "versions.html", versions=versions_of(request, system))


async def version(request: Request, system: Running) -> Response:
    """One version, also a past or a coming one."""
    name = request.path_params["version"]
    try:
        found = system.versions.history.version(name)
    except KeyError:
        raise NotFound("this version was never published here", clause="changes.publish") from None
    return policy_page(request, system, found)


async def source(request: Request, system: Running) -> Response:
    """The policy as its file: what ran is what can be read, compiled and compared."""
    headers = {"x-policy-sha256": system.policy.sha256}
    return Response(system.policy.source, media_type="text/markdown", headers=headers)


def board_row(request: Request, system: Running, row: Row) -> BoardRow:
    """A row as shown."""
    clause = system.policy.clauses.get(row.clause)
    visit = request.state.visit
    words = Words(visit.language, visit.direction, partial(visit.pages.catalogue.text, visit.language))
    return BoardRow(
        clause=row.clause,
        href=f"/policy/clauses/{row.clause}",
        status=row.status,
        words=clause.prose if clause else "",
        age_ms=row.last_ms,
        entries=row.entries,
        mechanisms=row.mechanisms,
        reason=row.found(words),
        limits=row.limits(words),
        reason_language="" if row.said else system.policy.language,
    )


async def board(request: Request, system: Running) -> Response:
    """The public board: computed from ledger, state and served pages; the badge only when all of it is green."""
    found = await system.board()
    rows = [board_row(request, system, row) for row in found.rows]
    view = BoardView(rows, found.at_ms, system.checkpoint, "/evidence/verify")
    return page(request, "evidence/board.html", board=view)


async def clause(request: Request, system: Running) -> Response:
    """One clause: its sentence, declaration and mechanisms, and how it stands.

    Entries are counted and not listed: time, clause and volume together could point at a person (STORAGE, B(e)).
    """
    name = request.path_params["clause"]
    if name not in system.policy.clauses:
        raise NotFound("the policy in force has no such clause", clause="scope.readable")
    content = render_clause(system.policy, name)
    declared = system.policy.clauses[name]
    row = next(row for row in (await system.board()).rows if row.clause == name)
    view = ClauseView(
        id=name,
        verb=declared.verb,
        prose=content.prose,
        declaration=content.declaration,
        mechanisms=declared.mechanisms,
        row=board_row(request, system, row),
        figures=declared.figures,
        not_enforced=declared.not_enforced or "",
        line=declared.position.line,
    )
    return page(request, "clause.html", clause=view)


async def verify_page(request: Request, system: Running) -> Response:
    """How anybody can check all this without us, with the key's fingerprint and the verifier to take along."""
    facts = await run_in_threadpool(system.log_facts)
    return page(request, "evidence/verify.html", log=facts)


async def verifier(request: Request, system: Running) -> Response:
    """The stand-alone verifier: one file that needs Python and ``cryptography``, and nothing of ours."""
    from importlib.resources import files

    content = files("troth.evidence").joinpath("standalone.py").read_bytes()
    headers = {"content-disposition": 'attachment; filename="verify.py"'}
    return Response(content, media_type="text/x-python", headers=headers)


async def log_file(request: Request, system: Running) -> Response:
    """A file of the published log (C2SP tlog-tiles)."""
    name = request.path_params["name"]
    if not PUBLISHED.fullmatch(name):
        raise NotFound("there is nothing at this address")
    path = system.config.folder / "evidence" / name
    if not path.is_file():
        raise NotFound("this part of the log does not exist (yet)")
    kind = "text/plain; charset=utf-8" if name in ("checkpoint", "log.pub") else "application/octet-stream"
    return Response(await run_in_threadpool(path.read_bytes), media_type=kind)


GROUP: Group[Running] = Group(
    "published",
    [
        Route("GET", "/policy", current, "changes.publish", summary="The policy in force"),
        Route("GET", "/policy.md", source, "changes.publish", kind="file", summary="Its source"),
        Route("GET", "/policy/versions", versions, "changes.publish", summary="All versions"),
        Route("GET", "/policy/versions/{version}", version, "changes.publish", summary="One version"),
        Route("GET", "/policy/clauses/{clause}", clause, "scope.compliance", summary="One clause and its evidence"),
        Route("GET", "/evidence", board, "scope.compliance", summary="The clause board"),
        Route("GET", "/evidence/verify", verify_page, "scope.compliance", summary="How to check it"),
        Route("GET", "/evidence/verify.py", verifier, "scope.compliance", kind="file", summary="The verifier"),
        Route("GET", "/evidence/{name:path}", log_file, "scope.compliance", kind="file", summary="The log"),
    ],
)
