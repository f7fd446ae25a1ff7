"""The published page: the prose as HTML, an anchor and a line of figures for each clause, and nothing else.

Pure: strings in, strings out. Readable without scripts, printable, headings in order. Raw HTML of the source comes out
as the text it is; images become their description, so that a policy page loads nothing from anywhere. The layout
around it, its style and the language of ``Labels`` belong to ``web``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.front_matter import front_matter_plugin

from troth.policy.bindings import bind
from troth.policy.document import ClauseBlock, Document
from troth.policy.interpolation import NAME, date, interpolate
from troth.policy.model import CompiledClause, CompiledPolicy, Example, Value
from troth.policy.parse import fold, parse
from troth.policy.writing import direction

_ELSEWHERE = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_BEGINNINGS = ("heading_open", "paragraph_open", "tr_open")


class Labels(Value, frozen=True):
    """The few words around the prose, in the reader's language; {names} are filled in."""

    in_force: str = "In force from {date}"
    version: str = "version {version}"
    figures: str = "In figures"
    instance: str = "For instance"
    given: str = "given"
    not_enforced: str = "Not kept by a machine yet"
    annex: str = "What the sentences above leave open"
    annex_lead: str = "These also hold. Each says why no sentence stands for it."
    clause: str = "Clause {id}"


ENGLISH = Labels()


class Heading(Value, frozen=True):
    """A heading of the page, for a table of contents."""

    level: int
    id: str
    text: str


class PolicyPage(Value, frozen=True):
    """The content of a page: ``html`` is one ``<article>`` with ``lang`` and ``dir``; its first heading is an h1."""

    title: str
    html: str
    language: str
    direction: str
    headings: tuple[Heading, ...]


class ClausePage(Value, frozen=True):
    """What stands about one clause: its words, figures and declaration. ``html`` is one ``<article>``."""

    id: str
    html: str
    prose: str
    declaration: str
    figures: tuple[str, ...]
    examples: tuple[str, ...]
    language: str
    direction: str


def document_of(policy: CompiledPolicy) -> Document:
    """The document a policy was compiled from, read again from the text it carries."""
    return bind(policy.source, "policy", policy.bindings) if policy.bindings else parse(policy.source, "policy")


def render(
    policy: CompiledPolicy, labels: Labels = ENGLISH, *, clause_href: str = "/policy/clauses/{id}"
) -> PolicyPage:
    """The published page of a version. The effective date stands in its first block."""
    return _Rendering(policy, labels, clause_href).page()


def render_clause(policy: CompiledPolicy, clause_id: str, labels: Labels = ENGLISH) -> ClausePage:
    """The page of one clause; KeyError if the policy has no such clause."""
    clause = policy.clauses[clause_id]
    document = document_of(policy)
    block = next((b for b in document.clauses if b.node.text("id") == clause_id), None)
    prose = interpolate(policy, clause.prose, (clause_id,))
    declaration = _declaration(document, block)
    examples = tuple(_instance(e, labels) for e in examples_of(policy, document, clause_id))
    parts = [f"<h1>{escape(labels.clause.format(id=clause_id))}</h1>"]
    if prose:
        parts.append(f"<blockquote><p>{escape(prose)}</p></blockquote>")
    parts += [f'<p class="figures">{_figures(clause, labels)}</p>'] if clause.figures else []
    parts += [f'<p class="later">{_later(clause, labels)}</p>'] if clause.not_enforced else []
    parts += [f'<p class="instance">{line}</p>' for line in examples]
    if declaration:
        parts.append(f'<pre tabindex="0" dir="ltr"><code>{escape(declaration)}</code></pre>')
    direct = direction(policy.language)
    html = f'<article lang="{escape(policy.language)}" dir="{direct}">\n' + "\n".join(parts) + "\n</article>\n"
    return ClausePage(clause_id, html, prose, declaration, clause.figures, examples, policy.language, direct)


def examples_of(policy: CompiledPolicy, document: Document, clause_id: str) -> tuple[Example, ...]:
    """The examples that stand under a clause."""
    places = [(b.line, b.end) for b in document.examples if b.after == clause_id]
    return tuple(e for e in policy.examples if any(start <= e.position.line < end for start, end in places))


def _declaration(document: Document, block: ClauseBlock | None) -> str:
    """The YAML of a clause as written, without its fence."""
    if block is None:
        return ""
    lines = document.files[block.file].split("\n")[block.line - 1 : block.end - 1]
    lines = [line for line in lines if not line.strip().startswith("```")]
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[indent:] for line in lines).strip()


def _figures(clause: CompiledClause, labels: Labels) -> str:
    """What the declaration says in figures, as HTML."""
    return f"<b>{escape(labels.figures)}:</b> {escape(' · '.join(clause.figures))}" if clause.figures else ""


def _later(clause: CompiledClause, labels: Labels) -> str:
    """Why no machine keeps the clause yet, as HTML."""
    return f"{escape(labels.not_enforced)}: {escape(clause.not_enforced)}" if clause.not_enforced else ""


def _instance(example: Example, labels: Labels) -> str:
    """An example as a sentence, as HTML."""
    given = f" ({escape(labels.given)} {escape(example.given)})" if example.given else ""
    return f"<b>{escape(labels.instance)}:</b> {escape(example.ask)}{given} → {escape(example.expect)}"


class _Rendering:
    """One rendering of one policy."""

    def __init__(self, policy: CompiledPolicy, labels: Labels, clause_href: str) -> None:
        self.policy = policy
        self.labels = labels
        self.clause_href = clause_href
        self.document = document_of(policy)
        self.direction = direction(policy.language)
        self.blocks: dict[int, int] = {}  # first line of a block -> its index
        for index, block in enumerate(self.document.blocks):
            if block.kind != "code":
                self.blocks.setdefault(block.line, index)
        self.starts: dict[int, list[tuple[int, str]]] = {}  # block -> (offset, clause) of the clauses that begin in it
        self.held: dict[int, list[str]] = {}  # block -> the clauses whose words stand in it
        self.last: dict[int, list[str]] = {}  # block -> the clauses that end in it
        self._place_clauses()
        self.headings: list[Heading] = []
        self.levels: list[int] = []

    def _place_clauses(self) -> None:
        for block in self.document.clauses:
            name = block.node.text("id")
            if name is None or name not in self.policy.clauses or not block.spans:
                continue
            first, last = min(block.spans), max(block.spans)
            self.starts.setdefault(first.block, []).append((first.start, name))
            self.last.setdefault(self._end_of(last.block), []).append(name)
            for span in block.spans:
                self.held.setdefault(span.block, []).append(name)

    def _end_of(self, index: int) -> int:
        """The block after which a line may stand: for a row, the last row of its table."""
        block = self.document.blocks[index]
        if block.kind != "row":
            return index
        rows = [i for i, b in enumerate(self.document.blocks) if b.kind == "row" and b.group == block.group]
        return max(rows)

    def page(self) -> PolicyPage:
        markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("html_block")
        markdown.use(front_matter_plugin)
        markdown.add_render_rule("image", lambda self, tokens, i, *_: escape(tokens[i].content))
        tokens = markdown.parse(unicodedata.normalize("NFC", self.document.text))
        body = markdown.renderer.render(self._dress(tokens), markdown.options, {})
        title = next((h.text for h in self.headings if h.level == 1), self.policy.controller.name)
        if not any(h.level == 1 for h in self.headings):
            body = f"<h1>{escape(title)}</h1>\n{self._date()}\n{body}"
        language = escape(self.policy.language)
        html = f'<article class="policy" lang="{language}" dir="{self.direction}">\n{body}{self._annex()}</article>\n'
        return PolicyPage(title, html, self.policy.language, self.direction, tuple(self.headings))

    def _date(self) -> str:
        """The line that says from when this version is in force."""
        words = escape(self.labels.in_force).format(
            date=f'<time datetime="{escape(self.policy.effective)}">'
            f"{escape(date(self.policy.effective, self.policy.language))}</time>"
        )
        version = escape(self.labels.version.format(version=self.policy.version))
        return f'<p class="in-force">{words} · {version}</p>'

    def _dress(self, tokens: Sequence[Token]) -> list[Token]:
        """The tokens with anchors in them, figures after them, and without the declarations."""
        shown = [t for t in tokens if t.type != "front_matter" and not (t.type == "fence" and _declared(t))]
        out: list[Token] = []
        pending: list[int] = []  # blocks whose lines come next; those of a table wait for its end
        in_table = False
        current = -1
        # the date stands in the first block: right under the title, or above what comes before the title
        dated = bool(shown) and shown[0].type != "heading_open" and any(t.type == "heading_open" for t in shown)
        if dated:
            out.append(_html(self._date() + "\n"))
        for i, token in enumerate(shown):
            if token.type in _BEGINNINGS and token.map:
                current = self.blocks.get(token.map[0] + 1, -1)
            if token.type in ("table_open", "table_close"):
                in_table = token.type == "table_open"
            if token.type == "heading_open":
                self._heading(token, shown[i + 1])
            if token.type == "inline":
                self._inline(token, current)
            if token.type == "heading_close":
                token.tag = f"h{self.headings[-1].level}"
            if token.type in ("paragraph_open", "paragraph_close"):
                token.hidden = False  # a tight list's items take figures too
            out.append(token)
            if token.type == "heading_close" and not dated:
                out.append(_html(self._date() + "\n"))
                dated = True
            if token.type in ("paragraph_close", "heading_close", "tr_close") and current >= 0:
                pending.append(current)
                current = -1
            if not in_table:
                out += [_html(line) for index in pending for line in self._after(index)]
                pending = []
        return out

    def _heading(self, token: Token, inline: Token) -> None:
        """Give a heading its id and a level that skips none; only the first one is an h1."""
        wanted = int(token.tag[1:])
        while self.levels and self.levels[-1] >= wanted:
            self.levels.pop()
        self.levels.append(wanted)
        level = 1 if not self.headings else max(2, min(len(self.levels), 6, self.headings[-1].level + 1))
        text = interpolate(self.policy, fold(inline.content))
        slug = re.sub(r"[^\w]+", "-", text.lower()).strip("-") or "section"
        name = f"section-{slug}"
        used = [h.id for h in self.headings]
        if name in used:
            name = f"{name}-{len(used)}"
        token.tag = f"h{level}"
        token.attrSet("id", name)
        self.headings.append(Heading(level, name, text))

    def _inline(self, token: Token, index: int) -> None:
        """Put the anchors of clauses into the words, mark links that lead elsewhere, fill in the figures."""
        clauses = self.held.get(index, ())
        anchors = sorted(self.starts.pop(index, ()))
        children: list[Token] = []
        seen = ""
        for child in token.children or []:
            if child.type == "link_open":
                self._link(child)
            if child.type in ("text", "code_inline", "text_special"):
                pieces, anchors = _split(seen, child, anchors)
                children += pieces
                seen += child.content
            else:
                children.append(child)
                seen += " " if child.type in ("softbreak", "hardbreak") else ""
        children = [_html(_anchor(name)) for _, name in anchors] + children
        if index >= 0 and self.document.blocks[index].kind != "row":
            children.append(_html(self._marks(list(dict.fromkeys(self.last.get(index, ()))))))
        for child in children:
            if child.type == "text":
                child.content = NAME.sub(lambda m: interpolate(self.policy, m[0], clauses), child.content)
        token.children = children

    def _link(self, token: Token) -> None:
        if _ELSEWHERE.match(str(token.attrs.get("href", ""))):
            token.attrSet("rel", "noopener noreferrer external")

    def _marks(self, names: Sequence[str]) -> str:
        """A quiet link for each clause, at the end of its words."""
        links = [
            f'<a href="{escape(self.clause_href.format(id=name))}"><bdi><code>{escape(name)}</code></bdi></a>'
            for name in names
        ]
        return f' <small class="clauses">{" ".join(links)}</small>' if links else ""

    def _after(self, index: int) -> list[str]:
        """The lines that follow a block: figures of its clauses, and the examples that stand there."""
        names = list(dict.fromkeys(self.last.get(index, ())))
        lines = []
        if names and self.document.blocks[index].kind == "row":
            lines.append(f"<p>{self._marks(names)}</p>\n")
        for name in names:
            clause = self.policy.clauses[name]
            whose = f"<bdi><code>{escape(name)}</code></bdi> " if len(names) > 1 else ""
            if clause.figures:
                lines.append(f'<p class="figures">{whose}{_figures(clause, self.labels)}</p>\n')
            if clause.not_enforced:
                lines.append(f'<p class="later"><small>{whose}{_later(clause, self.labels)}</small></p>\n')
            for example in examples_of(self.policy, self.document, name):
                lines.append(f'<p class="instance">{_instance(example, self.labels)}</p>\n')
        return lines

    def _annex(self) -> str:
        """What holds without a sentence of its own."""
        placed = {b.node.text("id") for b in self.document.clauses if b.spans}
        rest = [c for c in self.policy.clauses.values() if c.supplement or c.id not in placed]
        if not rest:
            return ""
        rows = []
        for clause in rest:
            href = escape(self.clause_href.format(id=clause.id))
            words = " ".join(
                filter(
                    None, [escape(clause.supplement or ""), _figures(clause, self.labels), _later(clause, self.labels)]
                )
            )
            anchor = "" if clause.id in placed else f' id="{escape(clause.id)}"'
            rows.append(
                f'<dt{anchor}><a href="{href}"><bdi><code>{escape(clause.id)}</code></bdi></a></dt><dd>{words}</dd>'
            )
        title, lead = escape(self.labels.annex), escape(self.labels.annex_lead)
        inside = "\n".join(rows)
        return (
            f'<section class="annex" aria-labelledby="annex"><h2 id="annex">{title}</h2>\n<p>{lead}</p>\n'
            f"<dl>\n{inside}\n</dl></section>\n"
        )


def _declared(token: Token) -> bool:
    words = token.info.split()
    return len(words) > 1 and words[0].lower() in ("yaml", "yml")


def _html(content: str) -> Token:
    """Our own markup as a token; the source's cannot become one (``html`` is off)."""
    return Token("html_inline", "", 0, content=content)


def _anchor(name: str) -> str:
    return f'<span class="anchor" id="{escape(name)}"></span>'


def _split(seen: str, token: Token, anchors: list[tuple[int, str]]) -> tuple[list[Token], list[tuple[int, str]]]:
    """A text token cut where anchors stand; offsets count in the folded text."""
    pieces: list[Token] = []
    content = token.content
    while anchors:
        offset, name = anchors[0]
        at = _unfold(seen, content, offset)
        if at is None:
            break
        anchors = anchors[1:]
        if at and token.type != "code_inline":
            pieces.append(Token("text", "", 0, content=content[:at]))
            seen += content[:at]
            content = content[at:]
        pieces.append(_html(_anchor(name)))
    if token.type == "code_inline":
        return [*pieces, token], anchors
    return [*pieces, Token("text", "", 0, content=content)], anchors


def _unfold(seen: str, content: str, offset: int) -> int | None:
    """Where in ``content`` the folded offset lies; None if it lies after it. Both texts are NFC."""
    length = len(fold(seen))
    if length and seen[-1:].isspace():
        length += 1
    spaced = not length or seen[-1:].isspace()
    for at, character in enumerate(content):
        if character.isspace():
            length += not spaced
            spaced = True
        else:
            if length >= offset:
                return at
            length += 1
            spaced = False
    return None
