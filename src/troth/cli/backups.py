"""``troth backup`` and ``troth restore``: a copy of the data, and the way back without bringing anybody back."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from troth.cli.opened import DATA, ask
from troth.config import read_config

NEW = click.Path(file_okay=False, path_type=Path)
THERE = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("folder", type=NEW)
@DATA
def backup(folder: Path, data: Path) -> None:
    """Copy the data with its ledger into FOLDER, a new one, also while it is being served. Keys are never in it."""
    made = ask(data, "backup", to=str(folder.resolve()))
    click.echo(f"{made['entries']} entries and their data, {made['bytes']} bytes, checked, in {folder}")


@click.command()
@click.argument("folder", type=THERE)
@DATA
@click.confirmation_option(prompt="What was collected after this backup will be lost. Restore it?")
def restore(folder: Path, data: Path) -> None:
    """Put the backup in FOLDER in the place of the data. Stop the server first; repeat this if it is broken off.

    The key store and the evidence must be the newest: whoever was erased, objected or was restricted since stays so.
    """
    from troth.web.backups import restore as put_back

    done = put_back(read_config(data), folder)
    since = dt.datetime.fromtimestamp(done.since_ms / 1000, tz=dt.UTC).isoformat(" ", "seconds")
    click.echo(f"back at {since}: the log goes on after {done.until} entries, {done.until - done.size} of them newer")
    click.echo(f"applied again: {done.erased} erasures, {done.stopped} objections and restrictions")
    click.echo(f"not there any more: {done.blanked} records that were over, {done.lost} people who came in since")
    click.echo(f"never sent again: {done.mails} letters whose fate is unknown")
