"""``troth passwords``: the operator's own list of passwords that became known."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import click

from troth.cli.opened import DATA, ask
from troth.config import read_config


@click.group()
def passwords() -> None:
    """Passwords that nobody may use."""


@passwords.command(name="import")
@click.argument("file", type=click.File("rb"))
@DATA
def import_(file: BinaryIO, data: Path) -> None:
    """Take a list in, in place of the one before: a password, a SHA-1 or HASH:COUNT a line; - is standard input.

    A running system uses it at once, for people and for staff. A person's password that is set already and stands in
    it ends at their next sign-in.
    """
    from troth.use.breached import write_list

    count = write_list(file, read_config(data).folder)
    click.echo(f"{count} passwords that became known are refused from here on")


@passwords.command()
@click.argument("email", required=False)
@click.option("--all", "everybody", is_flag=True, help="Everybody's: a leak of your own is known.")
@DATA
def end(email: str | None, everybody: bool, data: Path) -> None:
    """End the password of the person with this address because somebody else may know it; a letter tells them.

    They set another after a link to their address. Nobody can set one for them.
    """
    if bool(email) is everybody:
        raise click.UsageError("say whose: an address, or --all")
    count = ask(data, "passwords.end", email=email or "", all=everybody)["ended"]
    click.echo(f"passwords ended: {count}")
