"""``troth check``, ``troth render``, ``troth ask``: the policy file by itself, without a running system."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import msgspec

from troth.policy import Compilation, compile_bytes
from troth.policy.model import CompiledPolicy

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW = click.Path(dir_okay=False, writable=True, path_type=Path)


def read(policy: Path, bindings: Path | None) -> Compilation:
    """Compile the file, or a text with the bindings laid on it."""
    return compile_bytes(
        policy.read_bytes(),
        filename=policy.name,
        bindings=bindings.read_bytes() if bindings else None,
        bindings_name=bindings.name if bindings else "bindings.yaml",
    )


def compiled(policy: Path, bindings: Path | None) -> CompiledPolicy:
    """The compiled policy, or every error on the standard error and exit 1."""
    compilation = read(policy, bindings)
    if compilation.policy is None:
        for diagnostic in compilation.diagnostics:
            click.echo(diagnostic.render(), err=True)
        sys.exit(1)
    return compilation.policy


@click.command()
@click.argument("policy", type=FILE)
@click.option("--bindings", type=FILE, help="Declarations laid over a text that somebody else owns.")
@click.option("--json", "as_json", is_flag=True, help="The diagnostics as JSON, for tools.")
@click.option("--pin", is_flag=True, help="First pin the bindings to the text as it is now; read the notes.")
def check(policy: Path, bindings: Path | None, as_json: bool, pin: bool) -> None:
    """Compile POLICY and show every diagnostic at once. Exit 0 without errors, else 1."""
    if pin:
        if bindings is None:
            raise click.UsageError("--pin writes hashes into a bindings file: name it with --bindings")
        pin_again(policy, bindings)
    compilation = read(policy, bindings)
    counts = {s: sum(d.severity == s for d in compilation.diagnostics) for s in ("error", "warning")}
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(d) for d in compilation.diagnostics], indent=1))
    else:
        for diagnostic in compilation.diagnostics:
            click.echo(diagnostic.render() + "\n")
        summary(compilation.policy, counts, policy.name)
    sys.exit(1 if counts["error"] or compilation.policy is None else 0)


def pin_again(text: Path, bindings: Path) -> None:
    """Write the hashes of the text as it is now into the bindings file, and say what a person should read again."""
    from troth.policy.bindings import pin

    pinned, notes = pin(text.read_text("utf-8"), bindings.read_text("utf-8"))
    bindings.write_text(pinned, "utf-8")
    for note in notes:
        click.echo(f"{bindings.name}: {note}", err=True)


def summary(policy: CompiledPolicy | None, counts: dict[str, int], name: str) -> None:
    """The last lines of a check: what the policy has, or that it does not run."""
    told = f"{counts['error']} errors, {counts['warning']} warnings"
    if policy is None:
        click.echo(f"{name} does not compile: {told}")
        return
    open_ = sum(1 for c in policy.clauses.values() if c.not_enforced)
    text = sum(1 for c in policy.clauses.values() if c.text_only)
    click.echo(
        f"{name} compiles, version {policy.version}: {told}\n"
        f"{len(policy.clauses)} clauses: {len(policy.clauses) - open_ - text} enforced, {open_} not enforced yet, "
        f"{text} text only; {len(policy.points)} collection points, {len(policy.uses)} uses, "
        f"{len(policy.examples)} examples held"
    )


@click.command()
@click.argument("policy", type=FILE)
@click.option("--bindings", type=FILE, help="Declarations laid over a text that somebody else owns.")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="A folder for the pages.")
@click.option("--site", type=NEW, help="A file: what the front of a website must know, as JSON.")
def render(policy: Path, bindings: Path | None, output: Path | None, site: Path | None) -> None:
    """Write what others serve of POLICY: its pages as plain HTML, or the file that a website's front reads."""
    if output is None and site is None:
        raise click.UsageError("say what to write: -o FOLDER for the pages, --site FILE for a website's front")
    found = compiled(policy, bindings)
    if output is not None:
        from troth.web.standing import write_pages

        pages = write_pages(found, output)
        click.echo(f"{pages} pages of version {found.version} written to {output}")
    if site is not None:
        from troth.policy.site import site_of, to_json

        put(site, to_json(site_of(found)))
        click.echo(f"the site file of version {found.version} written to {site}")


def put(file: Path, content: bytes) -> None:
    """Write a file whole or not at all: a front may read it at this very moment."""
    beside = file.with_name(f".{file.name}.new")
    beside.write_bytes(content)
    beside.replace(file)


@click.command()
@click.argument("policy", type=FILE)
@click.argument("purpose")
@click.argument("fields", nargs=-1, required=True)
@click.option("--bindings", type=FILE, help="Declarations laid over a text that somebody else owns.")
@click.option("--point", help="Where the data was collected; the only one that has these fields unless named.")
@click.option("--channel", help="Over which channel, where it is about a message: email.")
@click.option("--recipient", help="Who is to receive it, if not the controller itself.")
@click.option("--granted", multiple=True, help="A purpose the person consented to.")
@click.option("--stopped", multiple=True, help="A purpose the person objected to.")
@click.option("--with", "guards", multiple=True, help="A guard that is met: ticket, order, operators:2 …")
def ask(
    policy: Path,
    purpose: str,
    fields: tuple[str, ...],
    bindings: Path | None,
    point: str | None,
    channel: str | None,
    recipient: str | None,
    granted: tuple[str, ...],
    stopped: tuple[str, ...],
    guards: tuple[str, ...],
) -> None:
    """May PURPOSE read FIELDS? Answers in a sentence that names the clauses, and exits 0 for yes, 1 for no."""
    from troth.policy.ask import explain
    from troth.policy.decide import decide
    from troth.policy.model import Grant, History, Question, State, Stop, Terms

    found = compiled(policy, bindings)
    points = [p for p in found.points.values() if point in (None, p.id) and set(fields) <= {f.name for f in p.fields}]
    if not points:
        raise click.ClickException("no collection point has these fields: name them as the policy does")
    chosen = points[0]
    meaning = {p.id: p.meaning for p in found.purposes.values()}
    state = State(
        bound=found.version,
        grants=frozenset(Grant(p, over, meaning.get(p, "")) for p in granted for over in (None, channel)),
        stops=frozenset(Stop(p, None) for p in stopped),
    )
    terms = Terms(found.controller.name, chosen.surfaces[0], chosen.id, found.version)
    question = Question(purpose, frozenset(fields), recipient, channel)
    decision = decide(History((found,)), terms, state, question, frozenset(guards), found.version)
    click.echo(explain(decision, found))
    sys.exit(0 if decision.allowed else 1)
