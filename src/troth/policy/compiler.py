"""Document -> CompiledPolicy: the meaning of a policy, or every reason why it has none.

Pure and total: no clock, no disk, no network, and no exception for whatever a file contains. The same sources always
give the same result, so a result can be kept by the hash of what went in (``Compilation.sha256``); the cache itself
belongs to whoever reads files.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from troth.policy import figures as figure_lines
from troth.policy.bindings import bind
from troth.policy.bodies import FrontMatter, Requires
from troth.policy.choices import with_flag
from troth.policy.clauses import ReadClause, read_clauses, read_front
from troth.policy.definitions import AS_GOOD_AS_EVER, UNSTATED, Definitions
from troth.policy.diagnostics import Diagnostic, Report
from troth.policy.document import Document
from troth.policy.examples import read_examples, run_examples
from troth.policy.interpolation import interpolate
from troth.policy.lint import lint
from troth.policy.lints import Lints
from troth.policy.mechanisms import mechanisms
from troth.policy.model import CompiledClause, CompiledPolicy, Controller, Keep, Phase, Value
from troth.policy.obligations import Obligations
from troth.policy.parse import parse
from troth.policy.permits import Permissions
from troth.policy.proofs import prove

_SURROGATE = re.compile("[\ud800-\udfff]")


class Compilation(Value, frozen=True):
    """What compiling gave. ``policy`` is None exactly where a diagnostic is an error.

    ``sha256`` is of the sources as they came in; ``document`` is the policy as read, even where it has faults.
    """

    policy: CompiledPolicy | None
    diagnostics: tuple[Diagnostic, ...]
    sha256: str
    document: Document | None = None

    @property
    def ok(self) -> bool:
        """True where the policy compiled."""
        return self.policy is not None


def source_hash(source: str, bindings: str | None = None) -> str:
    """SHA-256 over the text, and the bindings if any, as lower-case hex; what a compilation can be kept by."""
    parts = [source] if bindings is None else [source, bindings]
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def compile_policy(
    source: str,
    *,
    filename: str = "policy.md",
    bindings: str | None = None,
    bindings_name: str = "bindings.yaml",
) -> Compilation:
    """Compile a literate policy, or somebody else's text under its bindings. Never raises."""
    sha256 = source_hash(source, bindings)
    faults = _surrogates(source, filename) + (_surrogates(bindings, bindings_name) if bindings is not None else ())
    if faults:
        return Compilation(None, faults, sha256)
    try:
        document = parse(source, filename) if bindings is None else bind(source, filename, bindings, bindings_name)
        return _compile(document, source, sha256)
    except RecursionError:
        fault = Diagnostic(filename, 1, 1, "error", "TOO_DEEP", "nested too deeply to be read")
        return Compilation(None, (fault,), sha256)


def compile_bytes(
    source: bytes,
    *,
    filename: str = "policy.md",
    bindings: bytes | None = None,
    bindings_name: str = "bindings.yaml",
) -> Compilation:
    """``compile_policy`` for files as they are: bytes that are not UTF-8 are told at their place. Never raises."""
    faults = _undecodable(source, filename) + (_undecodable(bindings, bindings_name) if bindings is not None else ())
    if faults:
        digest = hashlib.sha256(source + (bindings or b"")).hexdigest()
        return Compilation(None, faults, digest)
    return compile_policy(
        source.decode("utf-8-sig"),
        filename=filename,
        bindings=None if bindings is None else bindings.decode("utf-8-sig"),
        bindings_name=bindings_name,
    )


def _undecodable(data: bytes, filename: str) -> tuple[Diagnostic, ...]:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as fault:
        before = data[: fault.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        message = f"the byte 0x{data[fault.start]:02X} is not UTF-8; save the file as UTF-8"
        return (Diagnostic(filename, line, column, "error", "ENCODING", message),)
    return ()


def _surrogates(text: str, filename: str) -> tuple[Diagnostic, ...]:
    """Text that was never UTF-8: half of a pair, as broken decoders leave it."""
    match = _SURROGATE.search(text)
    if match is None:
        return ()
    before = text[: match.start()]
    at = (before.count("\n") + 1, match.start() - (before.rfind("\n") + 1) + 1)
    return (Diagnostic(filename, *at, "error", "ENCODING", f"U+{ord(match[0]):04X} cannot stand in a text"),)


def _compile(document: Document, source: str, sha256: str) -> Compilation:
    report = Report(document.files)
    report.include(document.diagnostics)
    front = read_front(document, report)
    clauses = read_clauses(document, report)
    lints = Lints(report, front, document.front_file, clauses)
    policy = None
    if front is not None:
        policy = _meaning(document, source, sha256, front, clauses, lints, report)
    if policy is not None and all(d.code == "BAD_EXAMPLE" for d in report.found() if d.severity == "error"):
        run_examples(policy, report, document.examples[0].file if document.examples else document.filename)
    policy = None if policy is None or report.failed else _opened(policy, clauses)
    return Compilation(policy, report.found(), sha256, document)


def _meaning(
    document: Document,
    source: str,
    sha256: str,
    front: FrontMatter,
    clauses: Sequence[ReadClause],
    lints: Lints,
    report: Report,
) -> CompiledPolicy:
    known = Definitions(front, clauses)
    permissions = Permissions(known, clauses, lints)
    obligations = Obligations(known, permissions, clauses)
    prove(known, permissions, obligations, clauses, lints)
    effective_ms = _midnight(front, document, report)
    compiled = {
        clause.id: CompiledClause(
            id=clause.id,
            verb=clause.verb,  # type: ignore[arg-type]  # a key of VERBS, which are the model's verbs
            body={clause.verb: figure_lines.plain(clause.body)},
            prose=clause.prose,
            position=clause.at,
            mechanisms=mechanisms(clause),
            figures=figure_lines.figures(clause),
            not_enforced=str(clause.envelope.not_enforced) if clause.envelope.not_enforced else None,
            supplement=str(clause.envelope.supplement) if clause.envelope.supplement else None,
        )
        for clause in clauses
    }
    policy = CompiledPolicy(
        policy=str(front.policy),
        version=str(front.version),
        effective=str(front.effective),
        effective_ms=effective_ms,
        controller=Controller(
            name=str(front.controller.name),
            contact=str(front.controller.contact),
            country=str(front.controller.country),
            address=str(front.controller.address or ""),
        ),
        language=str(front.language),
        sha256=sha256,
        source=source,
        notice_period=front.notice_period,
        surfaces=known.surfaces,
        clauses=compiled,
        purposes=known.purposes,
        points=permissions.points,
        keeps=_keeps(known, permissions, clauses),
        states=known.states,
        consents=permissions.consents,
        templates=obligations.templates,
        recipients=permissions.recipients,
        rights=obligations.rights,
        cookies=permissions.cookies,
        nevers=tuple(obligations.nevers),
        uses=tuple(dict.fromkeys(use for _, _, use in permissions.uses)),
        embeds=tuple(permissions.embeds),
        modes=known.modes,
        examples=read_examples(document, report),
        affiliates=tuple(map(str, front.affiliates)),
        personal=known.personal,
        bindings=document.bindings,
        figures={
            "roles": known.roles,
            "historical": front.historical,
            "recovery_after": _recovery(clauses),
            "delegation": _delegation(clauses),
        },
    )
    lint(document, policy, clauses, known, lints)
    prose = {name: replace(c, prose=interpolate(policy, c.prose, (name,))) for name, c in compiled.items()}
    return replace(policy, clauses=prose)


def _opened(policy: CompiledPolicy, clauses: Sequence[ReadClause]) -> CompiledPolicy:
    """The policy without what clauses permit that nothing enforces: what nobody keeps is not possible either."""
    closed = {clause.id for clause in clauses if not clause.open}
    points = {
        name: replace(point, uses=tuple(use for use in point.uses if use.clause not in closed))
        for name, point in policy.points.items()
        if point.clause not in closed
    }
    opened = replace(
        policy,
        points=points,
        uses=tuple(use for use in policy.uses if use.clause not in closed and use.point in points),
        consents={name: ask for name, ask in policy.consents.items() if ask.clause not in closed},
        templates={name: t for name, t in policy.templates.items() if t.clause not in closed},
        recipients={name: r for name, r in policy.recipients.items() if r.clause not in closed},
        rights={name: r for name, r in policy.rights.items() if r.clause not in closed},
        cookies={name: c for name, c in policy.cookies.items() if c.clause not in closed},
        embeds=tuple(embed for embed in policy.embeds if embed.clause not in closed),
    )
    return with_flag(opened)


def _keeps(known: Definitions, permissions: Permissions, clauses: Sequence[ReadClause]) -> dict[str, Keep]:
    """The retention classes; a historical text may have uses without one, which are kept until an erasure."""
    keeps = dict(known.keeps)
    unstated = next((clause.id for clause, _, use in permissions.uses if use.keep == UNSTATED), None)
    if unstated is not None and UNSTATED not in keeps:
        keeps[UNSTATED] = Keep(UNSTATED, unstated, (Phase(for_=AS_GOOD_AS_EVER),))
    return keeps


def _recovery(clauses: Sequence[ReadClause]) -> str | None:
    """How long a second factor that is lost is waited for, as written; None where no clause in force declares one."""
    measures = (clause.body.protect for clause in clauses if clause.open and isinstance(clause.body, Requires))
    return next((each.second_factor.recovery_after.text for each in measures if each and each.second_factor), None)


def _delegation(clauses: Sequence[ReadClause]) -> dict[str, Any] | None:
    """What access to one's account people may give others, and for how long; None where no clause in force does."""
    measures = (clause.body.protect for clause in clauses if clause.open and isinstance(clause.body, Requires))
    found = next((each.password_sharing for each in measures if each and each.password_sharing), None)
    return None if found is None else {"scopes": list(found.scopes), "lasts": found.lasts.text}


def _midnight(front: FrontMatter, document: Document, report: Report) -> int:
    try:
        day = dt.datetime.strptime(front.effective, "%Y-%m-%d").replace(tzinfo=dt.UTC)
    except ValueError:
        message = f'"{front.effective}" is not a day'
        report.error("BAD_DATE", document.front_file, front.effective.at, message)
        return 0
    return int(day.timestamp()) * 1000
