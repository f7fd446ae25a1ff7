"""An issue in Markdown, as the two parts of a letter: text, and a page that loads nothing.

Raw HTML comes out as the text it is, an image as its description, and a link leads to ``https`` only and is followed
by the name of its host. A slot never becomes part of a link: no reader's link differs from another's, so none can
tell who followed it. Clauses: ``rights.unsubscribe``, ``rights.automated`` (mechanism ``message.declared``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from html import escape
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from troth.use.templates import Fault, Said

SUBJECT_LENGTH = 150
SOURCE_LENGTH = 50_000
MOST_NESTED = 20
PERSONAL = re.compile(
    r"(?:://|www\.|\.\w{2,}[/?:#])[^\s<>]*\{[a-z]"  # in the path; many readers' programs make a link of any domain
    r"|\{[a-z_]+\}[\w-]*(?:\.[\w-]+)*\.[a-z]{2,}\b",  # in the host
    re.IGNORECASE,
)


def said(subject: str, source: str) -> Said:
    """What an issue says, in text and as a page."""
    tokens = _parser().parse(source.replace("\r\n", "\n"))
    page = "".join(_page(tokens))
    return Said(" ".join(subject.split()), _text(tokens), page.strip() or "<p></p>")


def personal_links(source: str) -> list[Fault]:
    """Where a slot stands in an address: it would tell whoever serves that address who read the letter."""
    found = []
    for number, line in enumerate(source.split("\n"), 1):
        for match in PERSONAL.finditer(line):
            message = "an address is the same for everybody: no reader's name or mark stands in it"
            found.append(Fault("text", number, match.start() + 1, "SLOT_IN_LINK", message))
    return found


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    """CommonMark without HTML; addresses other than https are left as the text they are."""
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": MOST_NESTED})
    parser.validateLink = lambda url: _host(url) is not None  # type: ignore[method-assign]  # the library's own hook
    return parser


def _host(url: str) -> str | None:
    """The host of an https address; None for anything else."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.hostname if parts.scheme.lower() == "https" and parts.hostname else None


def _text(tokens: Sequence[Token]) -> str:
    """The issue as plain text: lists with their marks, quotations with theirs, links with their address behind."""
    out: list[str] = []
    prefixes: list[str] = []
    counters: list[int] = []
    first = ""
    for token in tokens:
        kind = token.type
        if kind == "blockquote_open":
            prefixes.append("> ")
        elif kind in ("bullet_list_open", "ordered_list_open"):
            counters.append(int(token.attrGet("start") or 1) if kind.startswith("ordered") else 0)
        elif kind in ("bullet_list_close", "ordered_list_close"):
            counters.pop()
        elif kind == "list_item_open":
            first = f"{counters[-1]}. " if counters[-1] else "- "
            counters[-1] += 1 if counters[-1] else 0
            prefixes.append(" " * len(first))
        elif kind in ("blockquote_close", "list_item_close"):
            prefixes.pop()
        words = _words(token)
        if words is not None:
            before = "".join(prefixes)
            lines = [f"{before}{line}".rstrip() for line in words.split("\n")]
            if first:
                lines[0] = f"{''.join(prefixes[:-1])}{first}{words.split(chr(10))[0]}"
            out.append("\n".join(lines))
            first = ""
    return "\n\n".join(out)


def _words(token: Token) -> str | None:
    """The words of a block that has some; None for all else."""
    if token.type == "inline":
        return "".join(_inline(token.children or ()))
    if token.type in ("fence", "code_block"):
        return token.content.rstrip("\n")
    return "* * *" if token.type == "hr" else None


def _inline(tokens: Iterable[Token]) -> Iterator[str]:
    address = ""
    for token in tokens:
        if token.type in ("text", "code_inline"):
            yield token.content
        elif token.type in ("softbreak", "hardbreak"):
            yield "\n"
        elif token.type == "image":
            yield token.content
        elif token.type == "link_open":
            address = str(token.attrGet("href") or "")
        elif token.type == "link_close":
            yield f" <{address}>"


def _page(tokens: Iterable[Token]) -> Iterator[str]:
    """The issue as HTML of the tags below, and no attribute but a link's address."""
    host = ""
    for token in tokens:
        if token.type == "inline":
            yield from _page(token.children or ())
        elif token.type == "text" or token.type == "image":
            yield escape(token.content, quote=False)
        elif token.type == "softbreak":
            yield "\n"
        elif token.type == "hardbreak":
            yield "<br>\n"
        elif token.type == "hr":
            yield "<hr>\n"
        elif token.type == "code_inline":
            yield f"<code>{escape(token.content, quote=False)}</code>"
        elif token.type in ("fence", "code_block"):
            yield f"<pre>{escape(token.content, quote=False)}</pre>\n"
        elif token.type == "link_open":
            address = str(token.attrGet("href") or "")
            host = _host(address) or ""
            yield f'<a href="{escape(address)}">'
        elif token.type == "link_close":
            yield f"</a> ({escape(host)})"
        elif token.tag in TAGS and not token.hidden:
            yield f"<{'/' if token.nesting < 0 else ''}{token.tag}>"
            yield "\n" if token.nesting < 0 and token.block else ""


TAGS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "em", "strong"})
