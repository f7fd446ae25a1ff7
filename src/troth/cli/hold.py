"""``troth hold``: what is kept, though it would be erased, because a law or a claim needs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from troth.cli.opened import DATA, TENANT, ask


@click.group()
def hold() -> None:
    """Keep what a law or a claim needs; it is used for nothing else meanwhile, and ends by itself."""


@hold.command(name="set")
@click.argument("email")
@click.argument("reason", type=click.Choice(["law", "claims"]))
@click.option("--days", type=click.IntRange(1, 365), required=True, help="From today; set it anew before, to go on.")
@DATA
@TENANT
def set_(email: str, reason: str, days: int, data: Path, tenant: str | None) -> None:
    """Hold everything of the person with this EMAIL, or set the REASON and the end of their hold anew."""
    click.echo(line(ask(data, "hold.set", tenant=tenant, email=email, reason=reason, days=days)))


@hold.command(name="list")
@DATA
@TENANT
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_(data: Path, tenant: str | None, as_json: bool) -> None:
    """The holds that stand, the nearest end first."""
    found = ask(data, "hold.list", tenant=tenant)["holds"]
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    if not found:
        click.echo("nothing is held")
    for one in found:
        click.echo(line(one))


@hold.command()
@click.argument("number")
@DATA
@TENANT
def lift(number: str, data: Path, tenant: str | None) -> None:
    """End the hold of this NUMBER now; an erasure that waited for it goes on."""
    click.echo(f"{ask(data, 'hold.lift', tenant=tenant, hold=number)['hold']}  lifted")


def line(one: dict[str, Any]) -> str:
    """A hold in one line."""
    return f"{one['hold']}  {one['reason']:<6} until {one['to']}, set by {one['by']}"
