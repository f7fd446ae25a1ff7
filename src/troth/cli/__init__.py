"""The command line. Each command is loaded when it is called: ``troth --help`` imports nothing heavy.

Exit status: 0 done, 1 refused or found wrong, 2 called wrongly or not able to start.
"""

from __future__ import annotations

import keyword
import sys
from importlib import import_module

import click

from troth.errors import StartRefused, TrothError

COMMANDS = {
    "check": ("policy", "Compile a policy and show every diagnostic."),
    "render": ("policy", "Write the published pages of a policy."),
    "ask": ("policy", "Ask whether a use is permitted, in a sentence."),
    "demo": ("demo", "Show the example vendor at work, from policy to evidence."),
    "init": ("init", "Set up a system of your own: five questions."),
    "serve": ("serve", "Serve the system in the data folder."),
    "doctor": ("serve", "Look for what is not as it must be, here or on a website."),
    "crawl": ("crawling", "Turn what a website sets and loads into declarations to complete."),
    "operator": ("serve", "Invite an operator: a single-use link."),
    "product": ("serve", "Give a product its key to ask before it uses data."),
    "messages": ("mail", "What became of letters, and which of them somebody should look at."),
    "dkim": ("mail", "The DNS records for the keys that mail is signed with."),
    "passwords": ("passwords", "Bring a list of passwords that became known: nobody may use one."),
    "handover": ("handover", "Let a product open the privacy centre for people signed in there."),
    "hook": ("serve", "The secret by which a tool knows that it is we who tell it."),
    "clause": ("evidence", "One clause: sentence, declaration, mechanisms, code, tests, entries."),
    "prove": ("evidence", "Compute the clause board and write the evidence down."),
    "verify": ("evidence", "Check the evidence without trusting the database."),
    "subject": ("subject", "Exercise a right for a person: access, object, erase."),
    "request": ("request", "The register of requests: record, prove, extend, refuse, fulfil."),
    "hold": ("hold", "Keep what a law or a claim needs: set, list, lift."),
    "import": ("moving", "Bring in people, consents or suppressions from a file, or a whole system (--all)."),
    "export": ("whole", "Write a whole system into a folder, to move it or to keep it elsewhere."),
    "keys": ("keys", "The epochs of the keys: how they stand; roll them now."),
    "backup": ("backups", "Copy the data, never the keys, into a new folder."),
    "restore": ("backups", "Put a backup back; nobody who was erased comes with it."),
    "bench": ("bench", "Measure, as ratios from one run."),
}


class Lazy(click.Group):
    """A group whose commands live in modules that are imported when one of them is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of a person's first hour."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module behind a command."""
        if cmd_name not in COMMANDS:
            return None
        attribute = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        found: click.Command = getattr(import_module(f"troth.cli.{COMMANDS[cmd_name][0]}"), attribute)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=None, version="0.1.0", prog_name="troth")
def troth() -> None:
    """The privacy policy that runs."""


def main() -> None:
    """Run a command; a refusal is one clear message, never a traceback."""
    try:
        troth.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except click.ClickException as fault:
        fault.show()
        sys.exit(2)
    except TrothError as fault:
        click.echo(f"troth: {fault.detail}" + (f" [{fault.clause}]" if fault.clause else ""), err=True)
        for gap in fault.gaps:
            click.echo(f"  {gap}", err=True)
        sys.exit(2 if isinstance(fault, StartRefused) else 1)
