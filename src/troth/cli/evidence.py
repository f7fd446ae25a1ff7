"""``troth clause``, ``troth prove``, ``troth verify``: what the evidence says, and whether it holds."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from troth.cli.opened import DATA, ask

if TYPE_CHECKING:
    from troth.evidence.board import BoardRow
    from troth.evidence.clauses import Board

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
COLOURS = {"PASS": "green", "TEXT ONLY": "green", "FAIL": "red"}


def print_board(board: Board) -> None:
    """The board as a table: colour and word, so that neither is needed alone."""
    from rich.console import Console
    from rich.table import Table

    from troth.evidence.board import badge, tally

    table = Table("clause", "status", "entries", "what was found", title=f"Clause board, version {board.version}")
    for row in board.rows:
        colour = COLOURS.get(row.status, "yellow")
        table.add_row(row.clause, f"[{colour}]{row.status}[/]", str(row.entries), row.reason)
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    counts = ", ".join(f"{count} {status}" for status, count in tally(board.rows).items() if count)
    console.print(
        f"{len(board.rows)} clauses: {counts}. " + ("All green." if badge(board.rows) else "No badge: not all green.")
    )


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--trusted", help="The log's key as you know it from elsewhere (one line).")
@click.option(
    "--witness", "witnesses", multiple=True, type=click.Path(exists=True, path_type=Path), help="An older checkpoint."
)
@click.option("--receipt", "receipts", multiple=True, type=click.Path(exists=True, path_type=Path), help="A receipt.")
@click.option("--hashes-only", is_flag=True, help="The folder holds no entries, as it is published to everybody.")
@click.option("--json", "as_json", is_flag=True, help="The whole report as JSON, for tools.")
def verify(
    folder: Path,
    trusted: str | None,
    witnesses: tuple[Path, ...],
    receipts: tuple[Path, ...],
    hashes_only: bool,
    as_json: bool,
) -> None:
    """Check the published log in FOLDER. Exit 0 if everything holds.

    FOLDER is an evidence folder, or a data folder: then both databases are compared with what is published.
    """
    from contextlib import ExitStack

    from troth.config import read_config
    from troth.evidence.stored import stored
    from troth.evidence.verify import verify_folder

    whole = (folder / "evidence").is_dir() and not (folder / "checkpoint").exists()
    with ExitStack() as stack:
        report = verify_folder(
            folder / "evidence" if whole else folder,
            trusted=trusted,
            witnesses=[(path.name, path.read_bytes()) for path in witnesses],
            receipts=[(path.name, path.read_bytes()) for path in receipts],
            hashes_only=hashes_only,
            databases=stack.enter_context(stored(read_config(folder))) if whole else None,
        )
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=1).decode())
    else:
        for finding in report.findings:
            click.echo(f"{finding.place}: {finding.message}" if finding.place else finding.message)
        click.secho(
            "The evidence holds." if report.ok else "The evidence does NOT hold.", fg="green" if report.ok else "red"
        )
    sys.exit(0 if report.ok else 1)


@click.command()
@DATA
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the pack here: a new folder or .zip.")
@click.option("--json", "as_json", is_flag=True, help="The board as JSON on the standard output.")
@click.option("--language", default="en", show_default=True, help="The language of the pack's page: en or ar.")
def prove(data: Path, output: Path | None, as_json: bool, language: str) -> None:
    """Compute the clause board and write the evidence down. Exit 0 if no clause fails and the evidence holds."""
    from troth.config import read_config
    from troth.evidence.board import BoardRow
    from troth.evidence.clauses import Board
    from troth.evidence.prove import prove as prove_to
    from troth.evidence.words import read_words

    holds = True
    answer = ask(data, "board")
    board = Board(msgspec.convert(answer["rows"], tuple[BoardRow, ...]), answer["at"], answer["version"])
    if output:
        evidence = read_config(data).folder / "evidence"
        pack = prove_to(board.rows, evidence, output, made_ms=board.at_ms, words=read_words(language))
        holds = pack.report.ok
        click.echo(f"written to {pack.path}" + ("" if holds else "; the evidence does NOT hold"), err=as_json)
    if as_json:
        click.echo(json.dumps([json_row(row) for row in board.rows], indent=1))
    else:
        print_board(board)
    sys.exit(1 if not holds or any(row.status == "FAIL" for row in board.rows) else 0)


def json_row(row: BoardRow) -> dict[str, object]:
    """A row of the board for tools: clause, status, entries, reason."""
    return {"clause": row.clause, "status": row.status, "entries": row.entries, "reason": row.reason}


@click.command()
@click.argument("name")
@click.option("--policy", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A policy file.")
@click.option(
    "--bindings", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Declarations laid over --policy."
)
@click.option("--data", type=FOLDER, envvar="TROTH_DATA", help="A data folder: adds how the clause stands.")
def clause(name: str, policy: Path | None, bindings: Path | None, data: Path | None) -> None:
    """One clause: its sentence, declaration, mechanisms, and the code and tests that keep them."""
    from troth.cli.clause import lines

    for line in lines(name, policy, bindings, data):
        click.echo(line)
