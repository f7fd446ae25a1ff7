"""``troth import``: people, consents and suppressions from a file of another system, or (--all) a system of ours."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from troth.cli.opened import DATA, TENANT
from troth.cli.whole import PASSPHRASE_FILE, bring_all
from troth.config import read_config
from troth.errors import Invalid, StartRefused
from troth.store.lock import Locked

if TYPE_CHECKING:
    from troth.collect.importing.carrying import Report, Watching
    from troth.web.running import Running

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FORMATS = ("table", "listmonk", "mailchimp", "mailchimp-unsubscribed", "mailchimp-cleaned")
LINES = 20  # lines of held rows that are named without --json
REASONS = {
    "source": "it does not say where it comes from: give --source, or a column called source",
    "evidence": "it does not say when the person agreed: give --evidence COLUMN",
    "evidence: no-time": "its evidence is no time",
    "evidence: in-the-future": "its evidence lies in the future",
    "cells": "it has more or fewer values than the header",
    "json": "it is no JSON object, or has a member twice",
    "status": "its status is none that is known here",
    "disabled": "it is disabled there, which is neither a yes nor a no",
    "not-confirmed": "the person has not confirmed there",
    "being-erased": "the person is being erased just now",
    "not-here": "nobody here has this address",
}


@click.group(name="import", invoke_without_command=True)
@click.option(
    "--all", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR", help="An export."
)
@click.option("--check", "only_check", is_flag=True, help="With --all: look DIR through, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --all: the answer as JSON, without progress.")
@PASSPHRASE_FILE
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="TROTH_DATA",
    help="With --all: the new data folder; it may hold a troth.toml and nothing else.",
)
@click.pass_context
def import_(
    context: click.Context,
    folder: Path | None,
    only_check: bool,
    as_json: bool,
    passphrase_file: Path | None,
    data: Path | None,
) -> None:
    """Bring people, consents or suppressions in from a file, or take a run back.

    With --all a whole system moves in, out of a folder that `troth export --all DIR --final` wrote, into an empty
    place: a new data folder, on SQLite or, as its troth.toml says, on PostgreSQL. It can be broken off and begun again.
    """
    if context.invoked_subcommand is not None:
        if folder is not None:
            raise click.UsageError("--all stands for itself: it brings in a whole system, not a file")
        return
    if folder is None:
        click.echo(context.get_help())
    elif data is None and not only_check:
        raise click.UsageError("say where the system goes on: --data NEW")
    else:
        bring_all(folder, data or Path(), passphrase_file, only_check=only_check, as_json=as_json)


def bringing(command: Callable[..., None]) -> Callable[..., None]:
    """The options of everything that is brought in."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="The whole report as JSON, without progress."),
        click.option("--dry-run", "dry", is_flag=True, help="Count, and write nothing."),
        click.option("--format", "format_", type=click.Choice(FORMATS), help="If the header is not recognised."),
        click.option("--point", default="newsletter", show_default=True, help="The collection point of the policy."),
        TENANT,
        DATA,
        click.argument("file", type=FILE),
    ):
        command = option(command)
    return command


def evidenced(command: Callable[..., None]) -> Callable[..., None]:
    """The options for what a file lacks."""
    for option in (
        click.option("--how", help="How the consent is known, if no column called how says so."),
        click.option("--evidence", metavar="COLUMN", help="The column that says when the person agreed."),
        click.option("--source", metavar="TEXT", help="Where the data comes from, if no column called source says so."),
        click.option("--surface", help="The surface of the policy that the people belong to; else the point's first."),
    ):
        command = option(command)
    return command


@import_.command()
@bringing
@evidenced
def people(file: Path, data: Path, tenant: str | None, as_json: bool, dry: bool, **asked: Any) -> None:
    """Bring in the people of FILE: CSV or JSON lines, or an export of listmonk or Mailchimp as it is.

    A row that does not say where it comes from and when the person agreed is held, and not stored. Who is here is left
    as they are; who objected, here or before an erasure, is not subscribed again.
    """
    bring("people", file, data, tenant, as_json, dry, asked)


@import_.command()
@bringing
@evidenced
def consents(file: Path, data: Path, tenant: str | None, as_json: bool, dry: bool, **asked: Any) -> None:
    """Bring in consents of people who are here already, found by their address."""
    bring("consents", file, data, tenant, as_json, dry, asked)


@import_.command()
@bringing
def suppressions(file: Path, data: Path, tenant: str | None, as_json: bool, dry: bool, **asked: Any) -> None:
    """Bring in addresses that are never to be written to: only keyed hashes of them are stored."""
    bring("suppressions", file, data, tenant, as_json, dry, asked)


@import_.command()
@click.argument("run")
@DATA
@TENANT
@click.option("--json", "as_json", is_flag=True, help="The whole report as JSON, without progress.")
@click.confirmation_option(prompt="This erases whom the run brought. Undo it?")
def undo(run: str, data: Path, tenant: str | None, as_json: bool) -> None:
    """Take RUN back: whom it brought and who is still as they came in is erased; who changed since is left.

    What it suppressed stays suppressed.
    """
    try:
        id_ = bytes.fromhex(run)
    except ValueError:
        raise Invalid("a run is named by 32 hexadecimal digits, as its report says") from None
    from troth.web.control import tenant_in

    with opened(data) as system:
        with progress(quiet=as_json) as watching:
            done = system.undoing.undo(tenant_in(system, {"tenant": tenant}), id_, watching)
        system.work()
    if as_json:
        click.echo(json.dumps({**vars(done), "left": list(done.left)}))
    else:
        click.echo(f"run {done.run}: {done.erased} people erased, {done.invalidated} consents invalidated")
        if done.left:
            click.echo(f"{len(done.left)} changed since and are left:")
            click.echo("\n".join(f"  {sid}" for sid in done.left))
    if done.unfinished:
        click.echo(f"{done.unfinished} erasures are ordered and go on: undo it again to see them done", err=True)
        sys.exit(1)


def bring(
    kind: str, file: Path, data: Path, tenant: str | None, as_json: bool, dry: bool, asked: dict[str, Any]
) -> None:
    """Bring a file in and say what became of it."""
    from troth.collect.importing.carrying import scan
    from troth.collect.importing.runs import Order
    from troth.web.control import tenant_in

    scanned = scan(file)
    asked = {("format" if name == "format_" else name): value for name, value in asked.items()}
    with opened(data) as system:
        if not dry:
            system.work()  # whoever is being erased is gone before
        whose = tenant_in(system, {"tenant": tenant})
        if whose in system.config.tenants and kind != "suppressions":
            asked["surface"] = asked.get("surface") or system.config.tenants[whose].surface
        order = Order(whose, kind, **asked)
        with progress(quiet=as_json) as watching:
            report = system.importing.bring(order, scanned, dry=dry, watching=watching)
        if not dry:
            system.work()
    if as_json:
        click.echo(json.dumps(as_plain(report)))
    else:
        say(report)


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Running]:
    """The system in the folder, for this command alone. ``StartRefused`` if it is being served."""
    from troth.web.running import start

    try:
        system = start(read_config(folder))
    except Locked as locked:
        raise StartRefused(f"{locked.detail}: stop it, bring the file in, and start it again") from None
    try:
        yield system
    finally:
        system.close()


@contextlib.contextmanager
def progress(*, quiet: bool) -> Iterator[Watching | None]:
    """How far it is, at which rate and until when, on a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]:.0f} rows/s"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=None, rate=0.0)

        def watching(done: int, of: int) -> None:
            elapsed = shown.tasks[0].elapsed or 0.0
            shown.update(task, completed=done, total=of, rate=done / elapsed if elapsed else 0.0)

        yield watching


def as_plain(report: Report) -> dict[str, Any]:
    """The report as JSON."""
    return {
        "run": report.run,
        "format": report.format,
        "dry": report.dry,
        "rows": report.rows,
        **report.counts.facts(),
        "held_rows": [{"line": held.line, "reason": held.reason} for held in report.held],
        "dropped": list(report.dropped),
        "resumed_at": report.resumed_at,
    }


def say(report: Report) -> None:
    """The report for people."""
    counts = report.counts
    head = "nothing was written; it would be" if report.dry else f"run {report.run}"
    click.echo(
        f"{head}: {counts.taken} taken, {counts.known} known already, {counts.suppressed} suppressed, "
        f"{counts.held} held, of {report.rows} rows ({report.format})"
    )
    if report.resumed_at:
        click.echo(f"gone on with behind row {report.resumed_at}, where it was broken off")
    if report.dropped:
        click.echo(f"not taken, since no clause declares them here: {', '.join(report.dropped)}")
    for held in report.held[:LINES]:
        click.echo(f"  line {held.line} is held: {REASONS.get(held.reason, held.reason)}")
    if len(report.held) > LINES:
        click.echo(f"  and {len(report.held) - LINES} more: --json names them all")
