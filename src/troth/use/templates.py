"""A template compiled: its words are encoded once, and a person's values are put between them as bytes.

``compile_words`` turns what a template says in one language into pieces: fixed bytes, and the slots between them. A
value is escaped for where it stands (plain text, HTML, a header) and can leave its slot in none of them. What cannot
be sent does not compile: every fault is told with its line and column. Clauses: ``rights.automated`` (mechanism
``message.declared``), ``rights.unsubscribe``. Sources: RFC 2045, RFC 2046, RFC 2047, RFC 5322.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from troth.policy.model import MessageClass
from troth.policy.writing import direction
from troth.use.mime import BOUNDARY, SOFT, header, quoted

SUBJECT_LENGTH = 200
SLOT = re.compile(r"\{([a-z][a-z_]*)\}")
BLOCK = re.compile(r"^[ \t]*:::[ \t]*(.*?)[ \t]*$", re.MULTILINE)
MARKETING = "marketing"
Piece: TypeAlias = bytes | str
"""Encoded bytes, or the name of a slot."""


@dataclass(frozen=True)
class Said:
    """What a template says in one language, before anybody's values. ``html`` is made of the text where it is None.

    Both may hold ``{slots}``; a line ``::: marketing`` begins words that are advertising, ``:::`` ends them.
    """

    subject: str
    text: str
    html: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the words: a campaign's entries and its letters' cite the same."""
        return hashlib.sha256("\n".join((self.subject, self.text, self.html or "")).encode()).hexdigest()


@dataclass(frozen=True)
class Fault:
    """Why the words of a template do not compile, and where: line and column in the part, both from 1."""

    part: str
    line: int
    column: int
    code: str
    message: str


@dataclass(frozen=True)
class Compiled:
    """A template in one language, ready for anybody's values."""

    subject: tuple[str, ...]  # words and slots in turn, beginning with words
    fixed_subject: bytes | None  # the finished header, where no value stands in it
    text: tuple[Piece, ...]
    page: tuple[Piece, ...]
    slots: frozenset[str]

    def header(self, values: Mapping[str, str]) -> bytes:
        """The subject's header. KeyError for a value that is not given."""
        if self.fixed_subject is not None:
            return self.fixed_subject
        filled = "".join(values[part] if place % 2 else part for place, part in enumerate(self.subject))
        return header("Subject", " ".join(filled.split())[:SUBJECT_LENGTH].rstrip())

    def body(self, values: Mapping[str, str]) -> bytes:
        """The two parts with these values. KeyError for one that is not given."""
        plain = {name: quoted(values[name]) for name in self.slots}
        page = {name: quoted(_marked(name, values[name])) for name in self.slots}
        out = [piece if piece.__class__ is bytes else plain[piece] for piece in self.text]  # type: ignore[index]  # a slot
        out += [piece if piece.__class__ is bytes else page[piece] for piece in self.page]  # type: ignore[index]  # a slot
        return b"".join(out)


def part_head(kind: str) -> bytes:
    """The head of one part of the message."""
    return b"--%s\r\nContent-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" % (
        BOUNDARY,
        kind.encode(),
    )


def compile_words(said: Said, constants: Mapping[str, str], language: str) -> Compiled:
    """Compile what a template says; ``constants`` are values that are the same in every letter.

    The words are taken as they are: what is wrong with them is for ``faults`` to say.
    """
    text, subject = _without_marks(said.text), said.subject.replace("\n", " ")
    parts = [_known(part, constants) if place % 2 else part for place, part in enumerate(SLOT.split(subject))]
    merged = _merged(parts)
    fixed = None
    if len(merged) == 1:
        fixed = header("Subject", " ".join(merged[0].split())[:SUBJECT_LENGTH].rstrip())
    page = _without_marks(said.html) if said.html is not None else page_of(text)
    title = html.escape(constants.get("controller", ""))
    whole = (
        f'<!doctype html>\n<html lang="{html.escape(language)}" dir="{direction(language)}">\n'
        f'<head><meta charset="utf-8"><title>{title}</title></head>\n<body>\n{page}\n</body>\n</html>\n'
    )
    plain = list(_pieces(text, constants, lambda _, value: value))
    shown = list(_pieces(whole, constants, _marked))
    slots = frozenset(piece for piece in (*plain, *shown) if isinstance(piece, str))
    return Compiled(
        tuple(merged),
        fixed,
        (part_head("plain"), *plain, b"\r\n"),
        (part_head("html"), *shown, b"\r\n--" + BOUNDARY + b"--\r\n"),
        slots,
    )


def faults(said: Said, kind: MessageClass, known: frozenset[str] | None) -> list[Fault]:
    """What keeps these words from being sent by a template of this class whose slots are ``known`` (None: any)."""
    found: list[Fault] = []
    for part, words in (("subject", said.subject), ("text", said.text), ("html", said.html or "")):
        if part == "html" and said.html is None:
            continue
        if not words.strip():
            found.append(Fault(part, 1, 1, "NO_WORDS", f"the {part} is empty"))
        if known is not None:
            found += _unknown_slots(part, words, known)
        if part != "subject":
            found += _wrong_blocks(part, words, kind)
    return sorted(found, key=lambda fault: (fault.part != "subject", fault.part != "text", fault.line, fault.column))


def _unknown_slots(part: str, words: str, known: frozenset[str]) -> Iterator[Fault]:
    for match in SLOT.finditer(words):
        if match[1] not in known:
            message = f'"{{{match[1]}}}" stands for nothing that this message is given'
            yield Fault(part, *_place(words, match.start()), "UNKNOWN_SLOT", message)


def _wrong_blocks(part: str, words: str, kind: MessageClass) -> Iterator[Fault]:
    opened: tuple[int, int] | None = None
    for match in BLOCK.finditer(words):
        at = _place(words, match.start() + match[0].index(":::"))
        if not match[1]:
            if opened is None:
                yield Fault(part, *at, "BLOCK_NOT_OPEN", "this ends a block that nothing began")
            opened = None
            continue
        if opened is not None:
            yield Fault(part, *at, "BLOCK_IN_BLOCK", "a block cannot begin inside another: end the first with :::")
        opened = at
        if match[1] != MARKETING:
            yield Fault(part, *at, "UNKNOWN_BLOCK", f'there is no block "{match[1][:40]}": only marketing')
        elif kind != MARKETING:
            message = (
                f"a {kind.replace('_', ' ')} message cannot carry marketing: nobody could stop it; "
                "send it by a template of class marketing"
            )
            yield Fault(part, *at, "MARKETING_IN_DISGUISE", message)
    if opened is not None:
        yield Fault(part, *opened, "BLOCK_NOT_CLOSED", "this block is never ended: a line ::: ends it")


def _place(words: str, offset: int) -> tuple[int, int]:
    before = words[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _without_marks(words: str) -> str:
    """The words without the lines that begin and end blocks."""
    return re.sub(r"\n{3,}", "\n\n", BLOCK.sub("", words)) if ":::" in words else words


def _known(name: str, constants: Mapping[str, str]) -> tuple[str, str]:
    return ("words", constants[name]) if name in constants else ("slot", name)


def _merged(parts: list[str | tuple[str, str]]) -> list[str]:
    """Words and slots in turn: constants have become words."""
    out = [""]
    for part in parts:
        if isinstance(part, str):
            out[-1] += part
        elif part[0] == "words":
            out[-1] += part[1]
        else:
            out += [part[1], ""]
    return out


def _pieces(words: str, constants: Mapping[str, str], put: Callable[[str, str], str]) -> Iterator[Piece]:
    """The words encoded, with soft line breaks around every slot, so that each value can be encoded by itself."""
    parts: list[str | tuple[str, str]] = []
    for place, part in enumerate(SLOT.split(words)):
        known = _known(part, constants) if place % 2 else part
        parts.append(("words", put(part, known[1])) if isinstance(known, tuple) and known[0] == "words" else known)
    for place, part in enumerate(_merged(parts)):
        if place % 2:
            yield part
            continue
        before = SOFT if place else b""
        after = SOFT if place < len(_merged(parts)) - 1 and part and not part.endswith("\n") else b""
        yield before + quoted(part) + after


def _marked(name: str, value: str) -> str:
    """A value as it stands in the page: escaped, its lines kept; what is a link of ours can be followed."""
    value = html.escape(value).replace("\n", "<br>\n")
    return f'<a href="{value}">{value}</a>' if name == "link" or name.endswith("_link") else value


def page_of(text: str) -> str:
    """The words as plain HTML: paragraphs and slots, nothing to load, nothing to track."""

    def paragraph(block: str) -> str:
        if block.strip() == "--":
            return "<hr>"
        return f"<p>{html.escape(block, quote=False).replace(chr(10), '<br>' + chr(10))}</p>"

    return "\n".join(paragraph(block) for block in re.split(r"\n{2,}", text.strip("\n")))
