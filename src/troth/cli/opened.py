"""Asking a system something, whether this command opens it or another process is serving it already.

One process works on a data folder. Where it is being served, the request goes to the server over the folder's own
socket; where it is not, this command opens it, asks, does the jobs that follow, and closes it again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from troth.config import read_config
from troth.errors import TrothError
from troth.store.lock import Locked, forward

DATA = click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="TROTH_DATA",
    default=Path(),
    show_default="this folder",
    help="The data folder.",
)

TENANT = click.option(
    "--tenant", metavar="NAME", help="Whose people are meant: a tenant's of troth.toml; else our own."
)


class Refused(TrothError):
    """What the serving process refused, in its own words."""

    title = "The running system refused"


def ask(folder: Path, do: str, **arguments: Any) -> dict[str, Any]:
    """The answer to one request (``troth.web.control``). Raises what the act raised, here or there."""
    from troth.web.control import perform
    from troth.web.running import start

    request = {"do": do, **arguments}
    try:
        system = start(read_config(folder))
    except Locked:
        return answered(forward(folder, request))
    try:
        answer = perform(system, request)
        system.work()
        return answer
    finally:
        system.close()


def answered(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer of another process, or its refusal raised here."""
    if "error" in answer:
        raise Refused(str(answer.get("detail", answer["error"])), clause=answer.get("clause"))
    return answer
