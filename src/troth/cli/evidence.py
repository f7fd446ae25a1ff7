"""``troth clause``, ``troth prove``, ``troth verify``: what the evidence says, and whether it holds."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
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
@click.option("--json", "as_json", is_flag=True)
def verify(
    folder: Path, trusted: str | None, witnesses: tuple[Path, ...], receipts: tuple[Path, ...], as_json: bool
) -> None:
    """Check the published log in FOLDER (a data folder or its evidence folder). Exit 0 if everything holds."""
    from troth.evidence.verify import verify_folder

    place = folder / "evidence" if (folder / "evidence" / "checkpoint").exists() else folder
    report = verify_folder(
        place,
        trusted=trusted,
        witnesses=[(path.name, path.read_bytes()) for path in witnesses],
        receipts=[(path.name, path.read_bytes()) for path in receipts],
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
@click.option("--data", type=FOLDER, required=True, help="The data folder.")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Write the pack here.")
@click.option("--json", "as_json", is_flag=True, help="The board as JSON on the standard output.")
def prove(data: Path, output: Path | None, as_json: bool) -> None:
    """Compute the clause board of a system that is not being served, and write the evidence pack."""
    from troth.cli.demo import json_row
    from troth.cli.opened import opened
    from troth.evidence.prove import prove as prove_to

    with opened(data) as system:
        board = system.inspector.now()
        system.store.publish()
        if output:
            pack = prove_to(board.rows, system.config.folder / "evidence", output, made_ms=board.at_ms)
            click.echo(f"written to {pack.path}", err=as_json)
        if as_json:
            click.echo(json.dumps([json_row(row) for row in board.rows], indent=1))
        else:
            print_board(board)
    sys.exit(1 if any(row.status == "FAIL" for row in board.rows) else 0)
