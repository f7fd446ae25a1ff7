"""``troth serve``, ``doctor``, ``operator``, ``product``, ``hook``: running a system and letting others in."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from troth.cli.opened import DATA, TENANT, ask
from troth.config import Config, read_config
from troth.errors import StartRefused, TrothError
from troth.world import DAY_MS

PORT = click.IntRange(0, 65535)


@click.command()
@DATA
@click.option("--host", help="Where to listen; anything but loopback needs a TLS certificate.")
@click.option("--port", type=PORT, help="Where to listen (0: any free port).")
def serve(data: Path, host: str | None, port: int | None) -> None:
    """Serve the system in the data folder: pages, interface, mail and retention, in one process."""
    gc.disable()  # while all is loaded there is nothing to collect: an eighth of the time until the first answer
    from troth.web.control import perform
    from troth.web.running import start
    from troth.web.serve import BACKLOG, listen, server

    config = overridden(read_config(data), host, port)
    with contextlib.ExitStack() as ending:
        ending.callback(gc.enable)
        bound = ending.enter_context(listen(config))  # refuses a public address before anything is opened
        port = bound.getsockname()[1]
        config = overridden(config, None, port)  # with port 0 any free one: links must name it
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until there is a server that hears it
        system = start(config)
        ending.callback(system.close)
        system.store.listen(lambda request: perform(system, request))
        worker = system.start_worker()
        ending.callback(worker.close)
        policy, web = system.policy, server(system.app, config)
        signal.signal(signal.SIGTERM, web.handle_exit)
        gc.freeze()  # what is there now stays: no collection looks at it again
        gc.enable()
        bound.listen(BACKLOG)  # before it is said: from here on visitors wait instead of being turned away
        click.echo(f"Troth serves {policy.policy} {policy.version} on {config.url} (port {port})")
        web.run([bound])


def overridden(config: Config, host: str | None, port: int | None) -> Config:
    """The configuration with what the command line says."""
    changes: dict[str, object] = {}
    if host is not None:
        changes["host"] = host
    if port is not None:
        changes["port"] = port
    return msgspec.structs.replace(config, **changes)


def visit(url: str) -> None:
    """Say how far a website is kept to its policy. Exit 0 if nothing is found."""
    from troth.cli.looking import LEVELS, look

    if not url.startswith(("http://", "https://")):
        raise click.UsageError("a website's address begins with https:// or http://")
    try:
        found = look(url)
    except OSError as fault:
        raise click.ClickException(f"the site does not answer: {fault}") from fault
    click.echo(LEVELS[found.level])
    for host in sorted(found.stopped):
        click.echo(f"kept out before a choice: {host}")
    for host in sorted(found.essential):
        click.echo(f"let in as essential: {host}")
    for told in found.faults:
        click.echo(f"✗ {told}")
    sys.exit(1 if found.faults else 0)


@click.command()
@click.argument("url", required=False)
@DATA
@click.option("--rebuild-tiles", is_flag=True, help="Write the published log anew from the ledger, if it was damaged.")
def doctor(url: str | None, data: Path, rebuild_tiles: bool) -> None:
    """Look for what is not as it must be, and say what to do about each. Exit 0 if nothing is found.

    With URL it looks at a website from outside: the level it reaches, and what leaks.
    """
    if url is not None:
        return visit(url)
    import sqlite3
    import ssl

    from troth.cli.policy import compiled
    from troth.web.serve import check_address

    config = read_config(data)
    click.echo(f"SQLite {sqlite3.sqlite_version}, {ssl.OPENSSL_VERSION}, Python {sys.version.split()[0]}")
    if rebuild_tiles:
        from troth.web.running import start

        start(config, rebuild_tiles=True).close()
        click.echo("the published log was written anew from the ledger")
    found = 0
    for name, look in (
        (
            "policy",
            lambda: compiled(config.path(config.policy), config.path(config.bindings) if config.bindings else None),
        ),
        ("address", lambda: check_address(config)),
        ("system", lambda: ask(data, "state")),
    ):
        try:
            answer = look()
            faults = answer.get("faults", []) if isinstance(answer, dict) else []
            click.echo(f"{name}: " + (", ".join(faults) if faults else "as it must be"))
            found += len(faults)
            for line in drills(answer) if isinstance(answer, dict) else ():
                click.echo(line)
        except (TrothError, OSError) as fault:
            found += 1
            click.echo(f"{name}: {fault}")
    found += signing(config) + marketing(config)
    sys.exit(1 if found else 0)


def signing(config: Config) -> int:
    """Say with which keys mail is signed and what the DNS must hold; how many faults there are."""
    from troth.use.dkim import read_keys

    try:
        keys = read_keys(config.path(config.mail.dkim))
    except StartRefused as fault:
        click.echo(f"mail: {fault}")
        return 1
    domain = config.mail.sender.rpartition("@")[2] or "localhost"
    click.echo(f"mail: signed with {len(keys)} keys" if keys else "mail: unsigned; troth dkim --new NAME makes keys")
    for key in keys:
        click.echo(f"  {key.record(domain)}")
    return 0


def drills(state: dict[str, Any]) -> Iterator[str]:
    """What is to be said of backups: how old the newest is, and when one was restored last."""
    from troth.vault.backups import DRILL_DAYS

    for key, what, most in (("backup_ms", "backup", 1), ("drill_ms", "restore drill", DRILL_DAYS)):
        if state[key] is None:
            yield f"{what}: never (troth {what.partition(' ')[0]})"
        else:
            days = (state["now"] - state[key]) // DAY_MS
            yield f"{what}: {days} days ago" + (f", which is more than {most}" if days > most else "")


def marketing(config: Config) -> int:
    """Say what the DNS lacks before marketing may be sent; it keeps no other mail back, so none of it is a fault."""
    from troth.use.dkim import read_keys
    from troth.use.readiness import readiness

    if config.demonstration:
        click.echo("marketing: a demonstration; its mail stays on this machine, and the DNS is not asked")
        return 0
    try:
        lacks = readiness(config, read_keys(config.path(config.mail.dkim))).unpublished()
    except StartRefused:
        return 0  # told already
    click.echo("marketing: " + (f"not sent while this is missing: {', '.join(lacks)}" if lacks else "ready"))
    return 0


@click.command()
@DATA
@TENANT
@click.option("--name", default="admin", show_default=True, help="The login name.")
def operator(data: Path, tenant: str | None, name: str) -> None:
    """The first operator's single-use link. Later operators are invited in the console."""
    click.echo(ask(data, "operator.invite", name=name, tenant=tenant)["link"])


@click.command()
@click.argument("name")
@DATA
@TENANT
@click.option("--surface", help="The surface of the policy that this product is.")
@click.option(
    "--may",
    type=click.Choice(["subjects", "decisions", "rights", "suppressions"]),
    multiple=True,
    help="What the key is good for; may be repeated. Without it: subjects, decisions and rights.",
)
def product(name: str, data: Path, tenant: str | None, surface: str | None, may: tuple[str, ...]) -> None:
    """Give the product NAME a key to ask before it uses data. The key is shown once."""
    done = ask(data, "product.create", name=name, surface=surface, tenant=tenant, may=list(may))
    click.echo(done["key"])
    if done["reports"]:
        click.echo(f"unsubscribes are reported to {done['reports']}", err=True)


@click.command()
@click.argument("name")
@DATA
def hook(name: str, data: Path) -> None:
    """The secret (whsec_…) that signs what the tool NAME is told; the configuration names it under [hooks.NAME]."""
    click.echo(ask(data, "hook.secret", name=name)["secret"])


__all__ = ["StartRefused", "doctor", "hook", "operator", "product", "serve"]
