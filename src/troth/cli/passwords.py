"""``troth passwords``: the operator's own list of passwords that became known."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import click

from troth.cli.opened import DATA
from troth.config import read_config


@click.group()
def passwords() -> None:
    """Passwords that nobody may use."""


@passwords.command(name="import")
@click.argument("file", type=click.File("rb"))
@DATA
def import_(file: BinaryIO, data: Path) -> None:
    """Take a list in, in place of the one before: a password, a SHA-1 or HASH:COUNT a line; - is standard input.

    A running system uses it at once, for people and for staff. Passwords that are set already stay.
    """
    from troth.use.breached import write_list

    count = write_list(file, read_config(data).folder)
    click.echo(f"{count} passwords that became known are refused from here on")
