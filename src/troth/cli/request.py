"""``troth request``: the register of requests that people answer, with the deadline of each."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import click

from troth.cli.opened import DATA, TENANT, ask

KINDS = ("access", "portability", "rectification", "erasure", "restriction", "objection", "withdrawal", "information")
ROADS = ("letter", "telephone", "mail", "in person")
PRINTED = click.option("--printed", is_flag=True, help="You have written to the person on paper.")


@click.group()
def request() -> None:
    """Keep the register of requests that came by letter or telephone, and answer them in time."""


@request.command(name="list")
@DATA
@TENANT
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_(data: Path, tenant: str | None, as_json: bool) -> None:
    """What waits for an answer, the nearest deadline first."""
    found = ask(data, "request.list", tenant=tenant)
    if as_json:
        click.echo(json.dumps(found["requests"], indent=1))
        return
    if not found["requests"]:
        click.echo("nothing waits for an answer")
    for one in found["requests"]:
        late = click.style("  LATE", fg="red") if one["late"] else ""
        click.echo(f"{one['request']}  {one['kind']:<14} by {one['by']}  {one['state']}{late}")


@request.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--received", metavar="DAY", required=True, help="The day it came in: 2026-03-31.")
@click.option("--road", type=click.Choice(ROADS), default="letter", show_default=True, help="How it came.")
@click.option("--email", help="The address of the person, as they gave it to you; leave it out while you do not know.")
@click.option("--on-behalf", type=click.Choice(["parent", "representative", "heir"]), help="Who asks for the person.")
@DATA
@TENANT
def record(
    kind: str, received: str, road: str, email: str | None, on_behalf: str | None, data: Path, tenant: str | None
) -> None:
    """Record a request of this KIND: the month begins on the day it came in."""
    try:
        dt.date.fromisoformat(received)
    except ValueError:
        raise click.BadParameter("a day is written as 2026-03-31", param_hint="--received") from None
    asked = {"kind": kind, "received": received, "road": road, "on_behalf": on_behalf}
    told(ask(data, "request.record", tenant=tenant, **asked, **({"email": email} if email else {})))


@request.command()
@click.argument("number")
@click.argument("email")
@click.argument("how", type=click.Choice(["document", "call", "link", "proof of authority"]))
@DATA
@TENANT
def prove(number: str, email: str, how: str, data: Path, tenant: str | None) -> None:
    """Note that it was shown who asks: EMAIL is the person's address here, HOW is how it was shown."""
    told(ask(data, "request.step", tenant=tenant, step="prove", request=number, email=email, how=how))


@request.command()
@click.argument("number")
@click.argument("reason", type=click.Choice(["complex", "number"]))
@PRINTED
@DATA
@TENANT
def extend(number: str, reason: str, printed: bool, data: Path, tenant: str | None) -> None:
    """Take two months more, within the first month; the person is told why."""
    told(ask(data, "request.step", tenant=tenant, step="extend", request=number, reason=reason, printed=printed))


@request.command()
@click.argument("number")
@click.argument("reason", type=click.Choice(["unfounded", "excessive", "unidentified", "others", "law", "claims"]))
@PRINTED
@DATA
@TENANT
def refuse(number: str, reason: str, printed: bool, data: Path, tenant: str | None) -> None:
    """Refuse; the person is told why, and how to complain."""
    told(ask(data, "request.step", tenant=tenant, step="refuse", request=number, reason=reason, printed=printed))


@request.command()
@click.argument("number")
@click.option("--ground", type=click.Choice(["accuracy", "unlawful", "claims", "objection"]), help="To set data aside.")
@click.option("--purpose", help="To object to this use or withdraw a consent to it.")
@DATA
@TENANT
def fulfil(number: str, ground: str | None, purpose: str | None, data: Path, tenant: str | None) -> None:
    """Do what was asked, and tell the person."""
    told(
        ask(
            data,
            "request.step",
            tenant=tenant,
            step="fulfil",
            request=number,
            ground=ground or "",
            purpose=purpose or "",
        )
    )


def told(answer: dict[str, Any]) -> None:
    """Where the request stands after a step."""
    letter = "; the person is being written to" if answer["letter"] else ""
    click.echo(f"{answer['request']}  {answer['kind']}: {answer['state']}, by {answer['by']}{letter}")
