"""``troth export --all`` and ``troth import --all``: a whole system out of its place, and into another."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from troth.cli.opened import DATA
from troth.config import Config, read_config
from troth.errors import Conflict, Damaged, Invalid, StartRefused
from troth.store.lock import Locked

if TYPE_CHECKING:
    from troth.store.moving.manifest import Manifest, Settings
    from troth.store.open import Store
    from troth.vault import Vault
    from troth.vault.moving.export import Export

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
VARIABLE = "TROTH_PASSPHRASE"
TOML = """# Troth's configuration, as it was where this system came from. Look through it before you serve.
tenant = {tenant}
base_url = {base_url}
{bindings}
[mail]
# The relay for outgoing mail. Outside this machine it must offer STARTTLS with a verified certificate.
host = "127.0.0.1"
port = 25
sender = {sender}
"""

PASSPHRASE_FILE = click.option(
    "--passphrase-file",
    type=FILE,
    help=f"A file whose first line is the passphrase; else {VARIABLE}, else it is asked.",
)


@click.command()
@click.option("--all", "folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="A new folder.")
@click.option("--final", is_flag=True, help="Move: from then on this system refuses to start.")
@click.option("--take-back", is_flag=True, help="Let a system that moved away go on: its export was imported nowhere.")
@click.option("--yes", is_flag=True, help="With --take-back: do not ask.")
@PASSPHRASE_FILE
@DATA
def export(
    folder: Path | None, final: bool, take_back: bool, yes: bool, passphrase_file: Path | None, data: Path
) -> None:
    """Write the whole system into a new folder DIR: what is stored, sealed as it is, the log, and the keys under a
    passphrase.

    Without --final it is a copy to keep or to look at, which nothing goes on from. With it the system moves: it
    refuses to start here, and goes on where DIR is imported.
    """
    if take_back and folder is None:
        if not yes:
            click.confirm(
                "If its export was imported somewhere, two systems would continue one log, and everybody who keeps a "
                "checkpoint would see it. Was it imported nowhere?",
                abort=True,
            )
        taken_back(data)
    elif folder is None or take_back:
        raise click.UsageError("say --all DIR, or --take-back")
    else:
        leave(data, folder, final, passphrase_file)


def leave(data: Path, folder: Path, final: bool, passphrase_file: Path | None) -> None:
    """Export, and say what there is now."""
    from troth.cli.moving import progress
    from troth.vault.moving.leaving import leave as leave_to
    from troth.vault.moving.passphrase import require_good

    config = read_config(data)
    passphrase = passphrase_from(passphrase_file, twice=True)
    require_good(passphrase)  # before anything is opened
    store, vault, close = opened(config)
    try:
        with progress(quiet=False) as watching:
            manifest = leave_to(store, vault, config, folder, passphrase, final=final, watching=watching)
    finally:
        close()
    told(manifest, folder)
    if manifest.final:
        click.echo(f"This system moved away. Where it goes on: troth import --all {folder} --data NEW")
    else:
        click.echo("It is a copy: to move, export with --final into another folder.")
    click.echo("Whoever has the folder and the passphrase can read everything in it: keep them apart.")


def opened(config: Config) -> tuple[Store, Vault, Callable[[], None]]:
    """The system, for this command alone, with what was due done; as it stands, if it moved away before."""
    from troth.store.moving.away import away
    from troth.vault import open_vault
    from troth.web.running import log_name, start
    from troth.world import SystemClock, SystemRandomness

    try:
        store, vault = open_vault(config, SystemClock(), SystemRandomness(), log_name=log_name(config), moved_away=True)
        if store.read(away) is not None:
            return store, vault, store.close
        store.close()
        system = start(config)
    except Locked as locked:
        raise StartRefused(f"{locked.detail}: stop it, export, and start it again") from None
    try:
        system.work()  # whoever is being erased is gone before, and no letter that is due waits for the move
    except BaseException:
        system.close()
        raise
    return system.store, system.vault, system.close


def taken_back(data: Path) -> None:
    """The old system goes on."""
    from troth.vault import open_vault
    from troth.vault.moving.leaving import take_back
    from troth.web.running import log_name
    from troth.world import SystemClock, SystemRandomness

    config = read_config(data)
    store, _ = open_vault(config, SystemClock(), SystemRandomness(), log_name=log_name(config), moved_away=True)
    try:
        take_back(store)
    finally:
        store.close()
    click.echo("This system goes on. Delete what it was exported to.")


def bring_all(folder: Path, data: Path, passphrase_file: Path | None, *, only_check: bool, as_json: bool) -> None:
    """Look an export through and, unless that was all, move it in."""
    from troth.cli.moving import progress
    from troth.vault.moving.export import check
    from troth.world import SystemRandomness

    passphrase = passphrase_from(passphrase_file, twice=False)
    with progress(quiet=as_json) as watching:
        export = check(folder, passphrase, SystemRandomness(), watching)
    if only_check:
        said(
            as_json,
            {"folder": str(folder), "whole": True, **facts(export.manifest)},
            lambda: told(export.manifest, folder),
        )
        return
    opened_records = arrive(export, data, quiet=as_json)
    answer = {**facts(export.manifest), "opened": opened_records}

    def speak() -> None:
        told(export.manifest, folder)
        click.echo(f"Read back and compared; {opened_records} records opened as a sample; the evidence holds.")
        click.echo(
            f"Next: look through {data / 'troth.toml'}, then troth serve --data {data}. Everybody signs in again."
        )
        click.echo(f"Then delete {folder}: who is erased here from now on can still be read there.")

    said(as_json, answer, speak)


def arrive(export: Export, data: Path, *, quiet: bool) -> int:
    """Move in; how many records were opened as a sample."""
    from troth.cli.moving import progress
    from troth.vault.moving.arriving import Arriving
    from troth.world import SystemClock, SystemRandomness

    config = settled(export, data)
    with Arriving(export, config, SystemClock(), SystemRandomness()) as place:
        with progress(quiet=quiet) as watching:
            place.write(watching)
        with progress(quiet=quiet) as watching:
            opened = place.compare(watching)
        require_evidence(config)
        place.finish()
    return opened


def settled(export: Export, data: Path) -> Config:
    """The configuration of the new place: what stands there, else what the system had; and its policy's text."""
    export.require_final()
    source, bindings = export.policy()
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (data / "troth.toml").exists():
        if any(data.iterdir()):
            raise Conflict(f"{data} is not empty and has no troth.toml: name a new folder")
        (data / "troth.toml").write_text(toml(export.manifest.settings, bindings is not None), "utf-8")
    config = read_config(data)
    if bindings is not None and not config.bindings:
        raise Invalid('the system\'s policy has bindings: say bindings = "bindings.yaml" in troth.toml')
    for name, content in ((config.policy, source), (config.bindings, bindings)):
        if content is not None and not config.path(name).exists():
            config.path(name).write_text(content, "utf-8", newline="")
    return config


def toml(settings: Settings, bindings: bool) -> str:
    """A configuration for a place that has none."""
    values = {name: json.dumps(value) for name, value in msgspec.structs.asdict(settings).items()}
    return TOML.format(**values, bindings='bindings = "bindings.yaml"\n' if bindings else "")


def require_evidence(config: Config) -> None:
    """``Damaged`` unless the log that was written verifies against both databases."""
    from troth.evidence.stored import stored
    from troth.evidence.verify import verify_folder

    with stored(config) as databases:
        report = verify_folder(config.folder / "evidence", databases=databases)
    for fault in report.faults()[:1]:
        raise Damaged(f"the evidence of what came in does not hold: {fault.place}: {fault.message}")


def passphrase_from(file: Path | None, *, twice: bool) -> str:
    """The passphrase: from a file, the environment, or a person, who is asked ``twice`` when it is made."""
    if file is not None:
        try:
            found = file.read_text("utf-8").partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as fault:
            raise Invalid(f"the passphrase file cannot be read: {type(fault).__name__}") from None
    else:
        found = os.environ.get(VARIABLE) or click.prompt(
            "Passphrase", hide_input=True, confirmation_prompt=twice, err=True
        )
    if not found:
        raise Invalid("the passphrase is empty")
    return found


def facts(manifest: Manifest) -> dict[str, Any]:
    """What an export is, in figures."""
    return {
        "export": manifest.id,
        "final": manifest.final,
        "rows": {file.name.removesuffix(".jsonl"): file.rows for file in manifest.files if file.rows is not None},
        "size": manifest.log.size,
        "root": manifest.log.root,
    }


def told(manifest: Manifest, folder: Path) -> None:
    """The same for people."""
    rows = facts(manifest)["rows"]
    click.echo(
        f"{folder}: {rows['subjects']} people, {rows['personal_records']} records, {rows['guards']} guards, "
        f"{rows['operators']} operators; a log of {manifest.log.size} entries, key {manifest.log.key_id}"
    )


def said(as_json: bool, answer: dict[str, Any], speak: Callable[[], None]) -> None:
    """The answer as JSON or for people."""
    if as_json:
        click.echo(json.dumps(answer))
    else:
        speak()
