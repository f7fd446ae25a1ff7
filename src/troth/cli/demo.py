"""``troth demo``: the example vendor at work. One person walks through every right, over real HTTP and SMTP.

Every step says what it saw; a step that is not as it must be ends the demonstration with exit 1.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from troth.cli.walk import Failed, Show, Stage, expect, walk

if TYPE_CHECKING:
    from troth.config import Tenant
    from troth.policy.model import CompiledPolicy

EXAMPLE = Path(__file__).resolve().parents[3] / "policies" / "example" / "policy.md"
PACKAGED = Path(__file__).resolve().parent.parent / "policies" / "example.md"
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def finish(stage: Stage, as_json: bool) -> bool:
    """Retention, verification, the board. True if the evidence holds and no clause fails."""
    from troth.cli.evidence import json_row, print_board
    from troth.evidence.compare import Databases
    from troth.evidence.verify import verify_folder

    system, show = stage.system, stage.show
    show.heading("Evidence")
    ran = system.retention.run()
    show.saw(f"Retention ran: {ran.overdue} overdue")
    system.store.publish()
    databases = Databases(system.store.read, system.store.read_keys)
    report = verify_folder(system.config.folder / "evidence", databases=databases)
    faults = "; ".join(f"{finding.place}: {finding.message}" for finding in report.faults()[:3])
    expect(report.ok, f"the evidence does not verify: {faults}")
    show.saw(f"The log verifies: {system.store.size} entries under a signed checkpoint")
    board = system.inspector.now()
    if as_json:
        click.echo(json.dumps([json_row(row) for row in board.rows], indent=1))
    else:
        print_board(board)
    return report.ok and not any(row.status == "FAIL" for row in board.rows)


@contextlib.contextmanager
def served(
    folder: Path,
    port: int,
    policy: Path,
    bindings: Path | None,
    show: Show,
    urls: tuple[str, str] = ("", ""),
    tenants: Mapping[str, Tenant] | None = None,
) -> Iterator[Stage]:
    """A served demonstration: real HTTP, a real SMTP server on loopback, a worker."""
    from troth.cli.setting import demonstration
    from troth.web.serve import listen, server

    with demonstration(folder, port, policy, bindings, urls, tenants) as (system, box):
        socket = listen(system.config)
        socket.listen()  # from here on visitors wait instead of being turned away
        web = server(system.app, system.config)
        thread = threading.Thread(target=web.run, args=([socket],), name="web", daemon=True)
        thread.start()
        worker = system.start_worker()
        bound = socket.getsockname()[1]
        try:
            yield Stage(system, box, bound, first_host(system.policy), show)
        finally:
            web.should_exit = True
            thread.join(10)
            worker.close()


def first_host(policy: CompiledPolicy) -> str:
    """The host under which the visitor comes: this machine's name if the policy has it, else its first site's."""
    hosts = [h for surface, named in policy.surfaces.items() if surface.startswith("site:") for h in named]
    return next((h for h in hosts if h in ("127.0.0.1", "localhost")), hosts[0] if hosts else "127.0.0.1")


@click.command()
@click.option("--once", is_flag=True, help="Walk through, print the board, exit; otherwise it stays to be looked at.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print the board as JSON and nothing else.")
@click.option("--policy", "policy", type=FILE, default=None, help="Another policy than the example's.")
@click.option("--bindings", type=FILE, default=None, help="Declarations laid over --policy.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), default=None, help="Keep the data here.")
@click.option(
    "--port",
    default=None,
    type=click.IntRange(0, 65535),
    help="Where to listen on this machine (8420; any free one with --once).",
)
def demo(
    once: bool, as_json: bool, policy: Path | None, bindings: Path | None, data: Path | None, port: int | None
) -> None:
    """Set up the example vendor, walk one person through every clause, and print the clause board."""
    from troth.cli.setting import TENANTS

    chosen = policy or (EXAMPLE if EXAMPLE.exists() else PACKAGED)
    tenants = TENANTS if policy is None else None  # they are the example vendor's
    folder = data or Path(tempfile.mkdtemp(prefix="troth-demo-"))
    show = Show(quiet=as_json)
    good = False
    try:
        with served(
            folder, port if port is not None else 0 if once else 8420, chosen, bindings, show, tenants=tenants
        ) as stage:
            try:
                walk(stage)
                good = finish(stage, as_json)
            except Failed as fault:
                click.secho(f"  ✗ {fault}", fg="red", err=True)
            if not once and good:
                stay(stage)
    finally:
        if data is None:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if good else 1)


def stay(stage: Stage) -> None:
    """Say where to look, and wait until the person has seen enough."""
    url = f"http://127.0.0.1:{stage.port}"
    click.secho("\nIt runs. Look at:", bold=True)
    for path, words in (
        ("/", "the vendor's pages"),
        ("/policy", "the policy, clause by clause"),
        ("/forms/newsletter", "a form made from it"),
        ("/privacy", "the privacy centre"),
        ("/evidence", "the clause board"),
    ):
        click.echo(f"  {url + path:<40} {words}")
    for tenant in stage.system.config.tenants.values():
        click.echo(f"  {f'http://{tenant.hosts[0]}:{stage.port}/':<40} {tenant.controller.name}, a tenant")
    click.echo("Mail that is sent appears here. Press Ctrl-C to end.")
    seen = len(stage.box.letters)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            with contextlib.suppress(TimeoutError):
                for letter in stage.box.wait(seen + 1, 3600)[seen:]:
                    click.echo(f"\n✉ {letter.subject}\n{letter.text}")
                    seen += 1
