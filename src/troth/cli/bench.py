"""``troth bench``: run a benchmark of the repository. Benchmarks are not installed with the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

FOLDER = Path(__file__).parents[3] / "bench"
KNOWN = ("collect", "mail", "nginx", "rights", "vault", "writer")


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("name", type=click.Choice(KNOWN))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def bench(name: str, options: tuple[str, ...]) -> None:
    """Measure, as ratios from one run. `troth bench vault --help` shows what can be chosen."""
    if not (FOLDER / f"{name}.py").is_file():
        raise click.ClickException("the benchmarks are in the repository, not in the installed package: clone it first")
    command = [sys.executable, "-m", f"bench.{name}", *options]
    ended = subprocess.run(command, cwd=FOLDER.parent, check=False)  # noqa: S603 - a module of this repository by name
    if ended.returncode:
        raise click.exceptions.Exit(ended.returncode)
