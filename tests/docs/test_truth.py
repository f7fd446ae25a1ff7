"""What the documents say of the repository is so: links, files, settings, code, generated pages."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import click
import jsonschema_rs
import msgspec
import pytest

from tests.clauses.vendor import TENANT, Person, Vendor, vendor_at
from tests.docs.reading import OURS, anchors, blocks, links
from tests.docs.regenerate import commands, copy_schema, files
from tests.seed import ROOT
from troth.cli import COMMANDS, troth
from troth.config import read_config
from troth.rights.access import as_json


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_every_link_leads_somewhere(path: Path) -> None:
    broken = []
    for link in links(path):
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file.read_text("utf-8"))):
            broken.append(link)
    assert broken == []


def test_a_broken_link_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One two\n[a](other.md) [b](#one-two) [c](https://example.org)\n", "utf-8")
    assert links(page) == ["other.md", "#one-two"]
    assert anchors(page.read_text("utf-8")) == {"one-two"}


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_every_path_that_a_document_names_is_there(path: Path) -> None:
    if path.name == "CHANGELOG.md" or "adr" in path.parts:
        return  # they speak of what was
    named = re.findall(r"`((?:src|tests|docs|policies|examples|deploy|bench|tag)/[\w./*-]*)`", path.read_text("utf-8"))
    assert [name for name in named if not list(ROOT.glob(name.rstrip("/")))] == []


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_every_command_that_a_document_names_is_one(path: Path) -> None:
    named = set(re.findall(r"`(?:\./run|troth) ([a-z][a-z-]*)", path.read_text("utf-8")))
    assert named - set(COMMANDS) - {"test", "help"} == set()


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_settings_that_a_document_shows_are_taken(path: Path, tmp_path: Path) -> None:
    for block in blocks(path.read_text("utf-8")):
        if block.kind == "toml":
            (tmp_path / "troth.toml").write_text(block.body, "utf-8")
            read_config(tmp_path, environment={})


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_python_that_a_document_shows_parses_and_imports_what_there_is(path: Path) -> None:
    for block in blocks(path.read_text("utf-8")):
        if block.kind != "python":
            continue
        for node in ast.walk(ast.parse(block.body)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("troth"):
                module = importlib.import_module(str(node.module))
                assert [a.name for a in node.names if not hasattr(module, a.name)] == []


@pytest.mark.parametrize("path", list(files()), ids=lambda path: path.name)
def test_the_generated_reference_is_current(path: Path) -> None:
    assert path.read_text("utf-8") == files()[path], "run: python -m tests.docs.regenerate"


def test_every_option_says_what_it_means() -> None:
    context = click.Context(troth)
    silent = []
    for name in COMMANDS:
        try:
            command = troth.get_command(context, name)
        except ModuleNotFoundError:
            continue  # test_every_command_is_there says so
        assert command is not None
        for full, one in commands(name, command):
            silent += [
                f"{full} {p.opts[0]}" for p in one.params if isinstance(p, click.Option) and not (p.help or p.prompt)
            ]
            assert one.help, full
    assert silent == []


@pytest.mark.parametrize("part", ["Copy", "Held", "Used"])
def test_every_member_of_the_copy_is_explained(part: str) -> None:
    members = copy_schema()["$defs"][part]["properties"]
    assert [name for name, about in members.items() if not about.get("description")] == []


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    """A vendor, for one copy."""
    with vendor_at(tmp_path_factory.mktemp("docs") / "vendor") as found:
        yield found


def test_a_real_copy_is_as_documented(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    vendor.join("registration", ann)
    vendor.system.objections.object(TENANT, sid, "newsletter", language="en")
    copy = msgspec.json.decode(as_json(vendor.system.access.copy(TENANT, sid)))
    assert copy["records"]
    strict = copy_schema()
    for part in strict["$defs"].values():
        part["additionalProperties"] = False
    assert [e.message for e in jsonschema_rs.Draft202012Validator(strict).iter_errors(copy)] == []


def test_the_readme_sends_nobody_to_what_is_not_said_to_be_there() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for image in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", readme):
        assert (ROOT / image).stat().st_size > 10_000
    assert len(readme.splitlines()) < 120
