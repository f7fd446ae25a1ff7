"""``troth messages`` and ``troth dkim``: what became of letters, and what the DNS must say about them."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import click

from troth.cli.opened import DATA, ask
from troth.config import read_config
from troth.errors import StartRefused


@click.command()
@DATA
@click.option("--json", "as_json", is_flag=True, help="For other programs.")
def messages(data: Path, as_json: bool) -> None:
    """How many messages are in which state, and those that somebody should look at.

    Unknown: the relay was given the message and its answer is not recorded; it may have arrived, and is never sent
    again by itself. Bounced: a notice that did not reach its person, who should be told in another way.
    """
    found = ask(data, "messages")
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(", ".join(f"{count} {state}" for state, count in found["states"].items()) or "no messages")
    if found["away"]:
        click.echo(f"the relay cannot be reached: {found['away']}")
    for each in found["unresolved"]:
        at = dt.datetime.fromtimestamp(each["at"] / 1000, tz=dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
        click.echo(f"{at}  {each['state']:8} {each['template']:24} {each['message']}  {each['reason']}")


@click.command()
@DATA
@click.option("--new", "name", help="Make a pair of keys under selectors that begin with this name.")
def dkim(data: Path, name: str | None) -> None:
    """The DNS records for the keys that mail is signed with; --new makes keys. A new key signs from the next start."""
    from troth.use.dkim import make_keys, read_keys

    config = read_config(data)
    folder = config.path(config.mail.dkim)
    if name:
        make_keys(folder, name)
    keys = read_keys(folder)
    if not keys:
        raise StartRefused(f"there is no key in {folder}: troth dkim --new NAME makes a pair, and mail is unsigned now")
    domain = config.mail.sender.rpartition("@")[2] or "localhost"
    click.echo(f"; mail from {domain} is signed with {len(keys)} keys: publish these before they sign")
    for key in keys:
        click.echo(key.record(domain))
