"""``python -m tests.docs.regenerate``: write the generated parts of the reference anew (but for the language's)."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import msgspec

from troth.cli import COMMANDS, troth
from troth.cli.init import example
from troth.policy import compile as compile_policy
from troth.rights.access import Copy
from troth.web.api import open_points, point_schema
from troth.web.openapi import responses, template_path
from troth.web.routes import Route
from troth.web.served import GROUPS

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
GENERATED = "Regenerate with `python -m tests.docs.regenerate`; do not edit."


def copy_schema() -> dict[str, Any]:
    """The JSON Schema of a person's copy."""
    (top,), parts = msgspec.json.schema_components([Copy], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A person's copy of their data",
        **top,
        "$defs": parts,
    }


def kind(schema: dict[str, Any], names: dict[str, str]) -> str:
    """A schema in words."""
    if "$ref" in schema:
        return names[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return " or ".join(kind(one, names) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}), names)}"
    return str(schema.get("type", "anything"))


def copy_manual() -> str:
    """The copy's members, in tables."""
    schema = copy_schema()
    names = {"Copy": "the copy", "Held": "record", "Used": "use"}
    lines = [
        "# A person's copy",
        "",
        f"What `/privacy/copy.json` and `troth subject access` give. {GENERATED}",
        "The same as JSON Schema: [copy.schema.json](copy.schema.json). `/privacy/copy.zip` holds it as CSV tables.",
        "Times are milliseconds since 1970 in UTC; ids are hexadecimal. Members may be added; none changes its meaning",
        "without `format` changing.",
    ]
    for name, words in names.items():
        part = schema["$defs"][name]
        lines += ["", f"## {words.capitalize()}", "", "| member | type | meaning |", "|---|---|---|"]
        for member, about in part["properties"].items():
            lines.append(f"| `{member}` | {kind(about, names)} | {about.get('description', '')} |")
    return "\n".join(lines) + "\n"


def commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """A command, or the commands of a group."""
    if isinstance(command, click.Group):
        for inner, found in command.commands.items():
            yield f"{name} {inner}", found
    else:
        yield name, command


def cli_manual() -> str:
    """Every command with its arguments and options."""
    lines = [
        "# Commands",
        "",
        f"In the repository `./run COMMAND`, installed `troth COMMAND`. {GENERATED}",
        "Exit status: 0 done, 1 refused or found wrong, 2 called wrongly or not able to start.",
    ]
    context = click.Context(troth)
    for name in COMMANDS:
        if find_spec(f"troth.cli.{COMMANDS[name][0]}") is None:
            continue
        command = troth.get_command(context, name)
        assert command is not None
        for full, one in commands(name, command):
            lines += ["", f"## troth {full}", "", inspect.cleandoc(one.help or ""), ""]
            arguments = [str(p.make_metavar(context)) for p in one.params if isinstance(p, click.Argument)]
            lines += ["```", " ".join(["troth", full, *arguments, "[OPTIONS]"]), "```"]
            options = [p for p in one.params if isinstance(p, click.Option)]
            if options:
                lines += ["", "| option | meaning |", "|---|---|"]
            for option in options:
                spelled = ", ".join(f"`{text}`" for text in option.opts)
                lines.append(f"| {spelled} | {told(option)} |")
    return "\n".join(lines) + "\n"


def told(option: click.Option) -> str:
    """What an option means, and what holds without it."""
    words = option.help or str(option.prompt or "")
    shown = option.default if option.show_default is True else option.show_default or ""
    default = f" Default: {shown}." if shown else ""
    several = " May be given several times." if option.multiple else ""
    return (words + default + several).replace("|", "\\|")


def api_manual() -> str:
    """The routes of the interface under the example policy."""
    policy = compile_policy(example(), filename="policy.md").policy
    assert policy is not None
    routes: list[Route[Any]] = [route for group in GROUPS for route in group.routes if route.kind == "api"]
    lines = [
        "# The interface",
        "",
        f"The routes under `/api/v1` with the example policy, version {policy.version}. {GENERATED}",
        "",
        "A running system publishes the whole, made of its own policy, at `/api/v1/openapi.json` (OpenAPI 3.1).",
        "Refusals are problem+json (RFC 9457) with two members more: `clause`, which refuses or would be needed,",
        "and `gaps`, what is missing. `Idempotency-Key` makes a submission safe to repeat.",
        "",
        "| route | what it does | who | clause | answers |",
        "|---|---|---|---|---|",
    ]
    for route in routes:
        good = ", ".join(str(status) for status in route.statuses if status < 400)
        refused = ", ".join(s for s in responses_of(route, policy) if int(s) >= 400)
        who = {"": "anybody"}.get(route.guarded or "", f"{route.guarded}: `{route.scope.partition(':')[2]}`")
        path = template_path(route.path)
        lines.append(
            f"| `{route.method} {path}` | {route.summary} | {who} | `{route.clause}` | {good}; refused: {refused} |"
        )
    lines += ["", "## What a submission holds", "", "`POST /api/v1/submissions` takes, by collection point:", ""]
    lines += ["| point | surfaces | fields | consent |", "|---|---|---|---|"]
    for point in open_points(policy):
        values = point_schema(point)["properties"]["values"]
        wanted = set(values.get("required", ()))
        fields = ", ".join(f"**`{name}`**" if name in wanted else f"`{name}`" for name in values["properties"])
        consent = f"`{point.consent.id}`" if point.consent else ""
        lines.append(f"| `{point.id}` | {', '.join(f'`{s}`' for s in sorted(point.surfaces))} | {fields} | {consent} |")
    lines += ["", "Fields in bold must be there; a field that is not listed is refused with 422."]
    return "\n".join(lines) + "\n"


def responses_of(route: Route[Any], policy: Any) -> list[str]:
    """The statuses a route can answer with."""
    return list(responses(route, policy, _Anything()))


class _Anything(dict[Any, Any]):
    """Stands for any schema where only the statuses are wanted."""

    def __missing__(self, key: Any) -> dict[str, Any]:
        return {}


def files() -> dict[Path, str]:
    """Each generated file and what must stand in it."""
    return {
        REFERENCE / "copy.schema.json": json.dumps(copy_schema(), indent=2, ensure_ascii=False) + "\n",
        REFERENCE / "copy.md": copy_manual(),
        REFERENCE / "cli.md": re.sub(r"[ \t]+\n", "\n", cli_manual()),
        REFERENCE / "api.md": api_manual(),
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, "utf-8")
