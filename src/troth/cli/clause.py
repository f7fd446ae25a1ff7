"""``troth clause``: everything that belongs to one clause, joined by its id and its mechanisms' names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import yaml

from troth.cli.demo import EXAMPLE
from troth.cli.init import example
from troth.cli.opened import ask
from troth.cli.policy import compiled
from troth.config import read_config
from troth.evidence.board import BoardRow
from troth.evidence.words import read_words
from troth.policy import compile as compile_policy
from troth.policy.diagnostics import did_you_mean
from troth.policy.model import CompiledPolicy
from troth.policy.vocabulary import MECHANISMS

SOURCE = Path(__file__).resolve().parents[1]
TESTS = SOURCE.parents[1] / "tests"
SHOWN = 5


def lines(name: str, policy: Path | None, bindings: Path | None, data: Path | None) -> Iterator[str]:
    """What there is to say about a clause, line by line."""
    found = the_policy(policy, bindings, data)
    clause = found.clauses.get(name)
    if clause is None:
        raise click.ClickException(f"there is no clause {name}{did_you_mean(name, found.clauses)}")
    yield f"{clause.id} ({clause.verb}), line {clause.position.line} of {found.policy} {found.version}"
    yield ""
    yield f"  {clause.prose or '(no sentence: ' + str(clause.supplement) + ')'}"
    yield ""
    yield from ("  " + line for line in yaml.safe_dump(clause.body, allow_unicode=True, sort_keys=False).splitlines())
    if clause.figures:
        yield f"In figures: {' · '.join(clause.figures)}"
    if clause.not_enforced:
        yield f"Not enforced: {clause.not_enforced}"
    for mechanism in clause.mechanisms:
        yield f"{mechanism}: {MECHANISMS.get(mechanism, '')}"
        yield from (f"  code  {place}" for place in places(SOURCE, mechanism))
        yield from (f"  test  {place}" for place in places(TESTS, mechanism))
    yield from (f"  test  {place}" for place in places(TESTS, clause.id))
    if data:
        row = next(r for r in ask(data, "board")["rows"] if r["clause"] == name)
        stands = msgspec.convert(row, BoardRow)
        yield f"Stands: {stands.status}, {stands.entries} entries: {stands.reason}"
        if limits := stands.limits(read_words()):
            yield f"What this cannot show: {limits}"


def the_policy(policy: Path | None, bindings: Path | None, data: Path | None) -> CompiledPolicy:
    """The named policy, the data folder's, or the example."""
    if policy is None and data is not None:
        config = read_config(data)
        return compiled(config.path(config.policy), config.path(config.bindings) if config.bindings else None)
    if policy is not None or EXAMPLE.exists():
        return compiled(policy or EXAMPLE, bindings)
    made = compile_policy(example(), filename="policy.md").policy
    assert made is not None, "the packaged policy compiles: a test holds it to that"
    return made


def places(folder: Path, name: str) -> list[str]:
    """Where a name stands as a literal, as ``file:line``, those who say it most first; the first few."""
    found = []
    for file in sorted(folder.rglob("*.py")) if folder.is_dir() else []:
        if file.name == "vocabulary.py":
            continue
        lines = enumerate(file.read_text("utf-8").splitlines(), 1)
        said = [number for number, line in lines if f'"{name}"' in line or f"``{name}``" in line]
        found.append([f"{file.relative_to(folder.parent)}:{number}" for number in said])
    return [place for each in sorted(found, key=len, reverse=True) for place in each][:SHOWN]
