"""Documents read as a test reads them: fenced blocks, console sessions, changes to make, links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.seed import ROOT

FENCE = re.compile(r"^(?P<mark>`{3,4})(?P<kind>[\w ]*)\n(?P<body>.*?)^(?P=mark)$", re.M | re.S)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
OURS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
RUNNABLE = [
    ROOT / "README.md",
    *sorted((ROOT / "docs" / "tutorial").glob("*.md")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]


@dataclass(frozen=True)
class Block:
    """A fenced block: its kind (``console``, ``diff``, ``toml`` …), its content, and its line in the file."""

    kind: str
    body: str
    line: int


@dataclass(frozen=True)
class Command:
    """A line that somebody types, and what the document says it prints (nothing said: nothing is compared)."""

    words: tuple[str, ...]
    shown: tuple[str, ...]
    line: int

    @property
    def fails(self) -> bool:
        """Whether what is shown is a refusal."""
        return any("error[" in line for line in self.shown)


def blocks(text: str) -> list[Block]:
    """The fenced blocks, in order."""
    return [
        Block(m["kind"].strip(), m["body"], text.count("\n", 0, m.start()) + 1)
        for m in FENCE.finditer(text)
        if len(m["mark"]) == 3  # four marks show how a block is written
    ]


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block."""
    typed: str | None = None
    shown: list[str] = []
    for line in [*block.body.splitlines(), "$ "]:
        if not line.startswith("$ "):
            shown.append(line)
            continue
        if typed is not None:
            yield Command(tuple(shlex.split(typed, comments=True)), tuple(shown), block.line)
        typed, shown = line[2:], []


def change(text: str, block: Block) -> str:
    """The text with the change that a ``diff`` block shows; AssertionError unless it fits at exactly one place."""
    lines = block.body.splitlines()
    old = "\n".join(line[1:] for line in lines if line[:1] in (" ", "-"))
    new = "\n".join(line[1:] for line in lines if line[:1] in (" ", "+"))
    assert text.count(old) == 1, f"line {block.line}: what is to be changed stands {text.count(old)} times"
    return text.replace(old, new)


def anchors(text: str) -> set[str]:
    """The anchors that a page of Markdown has: its headings, as they are usually spelled in links."""
    headings = re.findall(r"^#+ (.+)$", re.sub(FENCE, "", text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links(path: Path) -> list[str]:
    """Where a page links to, but for addresses on the web."""
    text = re.sub(FENCE, "", path.read_text("utf-8"))
    return [link for link in LINK.findall(text) if not re.match(r"[a-z]+:", link)]
