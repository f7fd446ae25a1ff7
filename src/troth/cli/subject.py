"""``troth subject``: a right exercised for a person who asked by another road, such as a letter."""

from __future__ import annotations

import json
from pathlib import Path

import click

from troth.cli.opened import DATA, TENANT, ask


@click.group()
def subject() -> None:
    """Exercise a right for a person who asked by letter or telephone, once you know who they are."""


@subject.command()
@click.argument("email")
@DATA
@TENANT
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the copy here.")
def access(email: str, data: Path, tenant: str | None, output: Path | None) -> None:
    """Everything held about the person with this address, as JSON."""
    copy = ask(data, "subject.access", email=email, tenant=tenant)["copy"]
    if output is None:
        click.echo(copy)
        return
    output.touch(mode=0o600)
    output.write_text(copy, "utf-8")
    click.echo(f"written to {output.name}, readable by you alone")


@subject.command(name="object")
@click.argument("email")
@click.argument("purpose")
@DATA
@TENANT
def object_(email: str, purpose: str, data: Path, tenant: str | None) -> None:
    """Stop PURPOSE, and all purposes below it, for this person."""
    done = ask(data, "subject.object", email=email, purpose=purpose, tenant=tenant)
    click.echo(f"{done['purpose']} is stopped; entry {done['entry']}")


@subject.command()
@click.argument("email")
@click.argument("ground", type=click.Choice(["accuracy", "unlawful", "claims", "objection"]))
@DATA
@TENANT
def restrict(email: str, ground: str, data: Path, tenant: str | None) -> None:
    """Set this person's data aside: kept and not used. GROUND is one of the four of GDPR Art. 18(1)."""
    done = ask(data, "subject.restrict", email=email, ground=ground, tenant=tenant)
    click.echo(f"set aside; entry {done['entry']}")


@subject.command()
@click.argument("email")
@DATA
@TENANT
def unrestrict(email: str, data: Path, tenant: str | None) -> None:
    """Write to this person that their data will be used again; it is, when the declared days have passed."""
    done = ask(data, "subject.unrestrict", email=email, tenant=tenant)
    click.echo(f"the person is being told; their data is used again {done['told']} after the letter went out")


@subject.command()
@click.argument("email")
@DATA
@TENANT
@click.confirmation_option(prompt="This cannot be undone. Erase this person?")
def erase(email: str, data: Path, tenant: str | None) -> None:
    """Erase this person: keys, index and rows, looked for again. The certificate goes to the address on file."""
    certificate = ask(data, "subject.erase", email=email, tenant=tenant)
    click.echo(json.dumps(certificate, indent=1))
