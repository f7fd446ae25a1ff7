"""Everything an outsider needs, in one folder or one zip file: what ``troth prove`` makes.

    index.html    the board, and how to check it, readable without JavaScript
    board.json    the board's rows
    proof.json    what the verification found, the checkpoint's figures and the key's fingerprint
    verifier.py   the stand-alone verifier
    evidence/     exactly the files that the checkpoint speaks of

Clause: ``scope.compliance``. Mechanism: ``evidence.board``.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from troth.errors import Invalid, Unavailable
from troth.evidence.board import BoardRow, badge, board_bytes, board_digest, tally
from troth.evidence.receipt_page import content_security_policy, iso, part, plain_time
from troth.evidence.report import Finding, Report
from troth.evidence.tiles import snapshot
from troth.evidence.verify import Progress, verify_folder
from troth.evidence.words import Words, read_words

_EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip's earliest date: the same proof is the same bytes


class Proof(msgspec.Struct, frozen=True):
    """What was made: where it lies, what the verification found, and whether the badge may be shown."""

    path: Path
    report: Report
    badge: bool


def prove(
    rows: Sequence[BoardRow],
    evidence: Path,
    out: Path,
    *,
    made_ms: int,
    words: Words | None = None,
    trusted: str | None = None,
    progress: Progress | None = None,
) -> Proof:
    """Collect board, evidence and verifier in ``out``: a zip file if its name ends in ``.zip``, else a folder.

    ``rows`` are the board's, ``evidence`` the published folder, ``made_ms`` the time (UTC milliseconds). The copy is
    verified, not the original. The badge needs an all-green board *and* evidence that holds.
    ``Invalid``: ``out`` exists. ``Unavailable``: the published log lacks a file.
    """
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise Invalid(f"{out.name} exists already: name a new folder or file, so that no older proof is lost")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".proof-", dir=out.parent) as scratch:
        folder = Path(scratch) / "proof"
        try:
            for name, data in snapshot(evidence):
                place = folder / "evidence" / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
        except FileNotFoundError as fault:
            raise Unavailable("a tile of the published log is missing: run `troth verify`") from fault
        (folder / "evidence").mkdir(parents=True, exist_ok=True)
        watch: dict[str, Any] = {"progress": progress} if progress else {}
        report = verify_folder(folder / "evidence", trusted=trusted, **watch)
        green = badge(rows) and report.ok
        shutil.copyfile(Path(__file__).with_name("standalone.py"), folder / "verifier.py")
        (folder / "board.json").write_bytes(board_bytes(rows) + b"\n")
        (folder / "proof.json").write_bytes(_facts(rows, report, made_ms, green))
        page = proof_page(rows, report, made_ms=made_ms, words=words or read_words())
        (folder / "index.html").write_text(page, "utf-8")
        if out.suffix == ".zip":
            _zip(folder, out)
        else:
            if out.exists():
                out.rmdir()
            folder.rename(out)
    return Proof(out, report, green)


def _facts(rows: Sequence[BoardRow], report: Report, made_ms: int, green: bool) -> bytes:
    value = {
        "made_ms": made_ms,
        "badge": green,
        "holds": report.ok,
        "board_sha256": board_digest(rows),
        "statuses": tally(rows),
        "verification": msgspec.to_builtins(report),
    }
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=1) + b"\n"


def _zip(folder: Path, out: Path) -> None:
    beside = out.with_name(f".{out.name}.new")
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    beside.replace(out)


def proof_page(rows: Sequence[BoardRow], report: Report, *, made_ms: int, words: Words) -> str:
    """The board as a page of its own, with the verification's findings and the commands to repeat it."""
    style = part("receipt.css") + part("proof.css")

    def say(key: str, **values: object) -> str:
        return escape(words.text(f"proof.{key}", **values))

    lines = "\n".join(_row(row, words) for row in rows)
    counts = " · ".join(f"{say(_state(status))}: {count}" for status, count in tally(rows).items())
    green = badge(rows) and report.ok
    holds = say("holds") if report.ok else say("does_not_hold")
    faults = "".join(f"<li>{escape(_told(finding))}</li>\n" for finding in report.findings)
    return f"""<!doctype html>
<html lang="{words.language}" dir="{words.direction}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{content_security_policy(None, style)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{say("title", origin=report.origin or "?")}</title>
<style>{style}</style>
</head>
<body class="wide">
<main>
<h1>{say("title", origin=report.origin or "?")}</h1>
<p>{say("made", time=plain_time(made_ms), size=report.size)}</p>
<p id="badge" class="{"green" if green else "red" if not report.ok else "amber"}">{
        say("badge") if green else say("no_badge")
    }<br>{holds}</p>
<h2>{say("board")}</h2>
<p>{counts}</p>
<table>
<thead><tr><th scope="col">{say("clause")}</th><th scope="col">{say("status")}</th><th scope="col">{
        say("entries")
    }</th><th scope="col">{say("reason")}</th><th scope="col">{say("last")}</th></tr></thead>
<tbody>
{lines}
</tbody>
</table>
<h2>{say("check")}</h2>
<p>{say("check_words")}</p>
<pre>pip install cryptography
python verifier.py evidence --key "NAME+ID+KEY"</pre>
<p>{say("key_words")}<br><code id="fingerprint">{escape(report.fingerprint or "?")}</code></p>
<p>{say("limits")}</p>
{f"<h2>{say('findings')}</h2><ul>{faults}</ul>" if faults else ""}
</main>
</body>
</html>
"""


def _state(status: str) -> str:
    return f"state.{status.lower().replace(' ', '_')}"


def _told(finding: Finding) -> str:
    return f"{finding.step}, {finding.level}: {finding}"


def _row(row: BoardRow, words: Words) -> str:
    last = words.text("proof.never")
    if row.last_ms is not None:
        last = f'<time datetime="{iso(row.last_ms)}">{plain_time(row.last_ms)}</time>'
    found = escape(row.found(words))
    if limits := row.limits(words):
        found += f"<br><strong>{escape(words.text('proof.cannot'))}</strong> {escape(limits)}"
    return (
        f'<tr class="{row.colour}"><th scope="row"><code>{escape(row.clause)}</code></th>'
        f"<td>{escape(words.text(f'proof.{_state(row.status)}'))}</td><td>{row.entries}</td>"
        f"<td>{found}</td><td>{last}</td></tr>"
    )
