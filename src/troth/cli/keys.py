"""``troth keys``: how the epochs of the keys stand, and rolling them now."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from troth.cli.opened import DATA, ask


@click.group()
def keys() -> None:
    """The keys above all keys: what an old copy of the key store still opens, and until when."""


@keys.command()
@DATA
def status(data: Path) -> None:
    """How the epochs stand."""
    found = ask(data, "keys.status")
    click.echo(f"epoch {found['current']}, since {moment(found['opened_ms'])}; {found['buckets']} buckets of keys")
    if found["shed_ms"] is None:
        click.echo("no old copy of the key store opens anybody who was erased")
    else:
        since = moment(found["shed_ms"]) if found["shed_ms"] else "before epochs had files of their own"
        click.echo(f"keys were destroyed in {found['shed']} buckets, the first {since}: copies from before open them")
    if found["rolling"]:
        click.echo("a roll is under way")
    if found["overdue"]:
        click.echo("a roll is overdue")


@keys.command()
@DATA
def rotate(data: Path) -> None:
    """Roll the epoch now, without waiting for its hour."""
    done = ask(data, "keys.rotate")
    if not done["rolled"]:
        click.echo("nothing was destroyed since the last roll: there is nothing to do")
        return
    surety = done["surety"]
    how = f"the old one is destroyed ({surety})" if surety else "the old one cannot be destroyed and is left"
    click.echo(f"epoch {done['epoch']}: {done['rekeyed']} buckets re-keyed, {done['rewrapped']} re-wrapped; {how}")


def moment(at_ms: int) -> str:
    """A time as people write it, UTC."""
    return dt.datetime.fromtimestamp(at_ms / 1000, tz=dt.UTC).isoformat(" ", "seconds")
