"""What the compiler has to say, as values, and how it says it: place, code, the line itself, a caret, what to do.

Nothing in the policy folder raises for what a document contains; it reports here and goes on, so that an author
sees everything at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from troth.policy.model import Position, Value

Severity = Literal["error", "warning", "info"]

_ORDER: dict[str, int] = {"error": 0, "warning": 1, "info": 2}

# A misspelt word is compared with so many known ones at most: a hostile file may declare thousands.
_COMPARED = 300

# A line of source shown to a person is cut here: hostile input may hold megabytes in one line.
_SHOWN = 160


class Diagnostic(Value, frozen=True):
    """One finding. ``hint`` is the nearest right word or next step; ``paste`` is text to put into the file."""

    file: str
    line: int
    column: int
    severity: Severity
    code: str
    message: str
    source_line: str = ""
    hint: str = ""
    paste: str = ""

    @property
    def key(self) -> tuple[str, int, int, int, str]:
        """How findings are ordered: by place, then by weight."""
        return (self.file, self.line, self.column, _ORDER[self.severity], self.code)

    def render(self) -> str:
        """The finding as a compiler prints it, without colours; several lines, no trailing newline."""
        lines = [f"{self.file}:{self.line}:{self.column}: {self.severity}[{self.code}] {self.message}"]
        if self.source_line:
            shown, column = _window(self.source_line, self.column)
            number = str(self.line)
            lines += [f" {number} | {shown}", f" {' ' * len(number)} | {' ' * (column - 1)}^"]
        if self.hint:
            lines.append(f"   = {self.hint}")
        if self.paste:
            lines.append("   = to paste:")
            lines += [f"     {line}" for line in self.paste.rstrip("\n").split("\n")]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The finding as a JSON object; members that say nothing are left out."""
        members: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in members.items() if value != ""}


def _window(line: str, column: int) -> tuple[str, int]:
    """A readable part of ``line`` around ``column``, and where the column is in it."""
    shown = "".join(c if c.isprintable() else " " for c in line)
    if len(shown) <= _SHOWN:
        return shown, column
    start = max(0, column - 1 - _SHOWN // 2)
    return shown[start : start + _SHOWN], column - start


def render_all(diagnostics: Iterable[Diagnostic]) -> str:
    """All findings, one after the other, and a last line that counts them."""
    found = list(diagnostics)
    counts = {s: sum(d.severity == s for d in found) for s in _ORDER}
    total = ", ".join(f"{n} {s}{'s' if n != 1 else ''}" for s, n in counts.items() if n) or "nothing to report"
    return "\n\n".join([*(d.render() for d in found), total])


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean "…"?`` with the nearest known word, or the empty string where none is near."""
    if not word or len(word) > 80:
        return ""
    fitting = [other for other in known if abs(len(other) - len(word)) <= max(3, len(word) // 3)]
    near = difflib.get_close_matches(word, fitting[:_COMPARED], n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else ""


class Report:
    """Collects findings; knows the sources, so that each carries its line. At most ``limit`` are kept.

    ``errors`` counts the errors taken down, those beyond the limit too.
    """

    def __init__(self, files: Mapping[str, str], *, limit: int = 10_000) -> None:
        self._files = dict(files)
        self._lines: dict[str, list[str]] = {}
        self._limit = limit
        self._found: list[Diagnostic] = []
        self.errors = 0

    def add(
        self,
        severity: Severity,
        code: str,
        file: str,
        at: Position,
        message: str,
        *,
        hint: str = "",
        paste: str = "",
    ) -> None:
        """Take down one finding."""
        self.errors += severity == "error"
        if len(self._found) < self._limit:
            self._found.append(
                Diagnostic(
                    file=file,
                    line=at.line,
                    column=at.column,
                    severity=severity,
                    code=code,
                    message=message,
                    source_line=self._line(file, at.line),
                    hint=hint,
                    paste=paste,
                )
            )

    def error(self, code: str, file: str, at: Position, message: str, *, hint: str = "", paste: str = "") -> None:
        """Take down what keeps the policy from compiling."""
        self.add("error", code, file, at, message, hint=hint, paste=paste)

    def warning(self, code: str, file: str, at: Position, message: str, *, hint: str = "", paste: str = "") -> None:
        """Take down what should be looked at and does not stop anything."""
        self.add("warning", code, file, at, message, hint=hint, paste=paste)

    def include(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Take over what an earlier step found."""
        taken = list(diagnostics)[: max(0, self._limit - len(self._found))]
        self._found += taken
        self.errors += sum(d.severity == "error" for d in taken)

    @property
    def failed(self) -> bool:
        """True once there is an error."""
        return self.errors > 0

    def found(self) -> tuple[Diagnostic, ...]:
        """Everything taken down, in the order of places, each once."""
        return tuple(sorted(dict.fromkeys(self._found), key=lambda d: d.key))

    def _line(self, file: str, line: int) -> str:
        if file not in self._lines:
            self._lines[file] = self._files.get(file, "").split("\n")
        lines = self._lines[file]
        return lines[line - 1].rstrip("\r")[:2000] if 0 < line <= len(lines) else ""
