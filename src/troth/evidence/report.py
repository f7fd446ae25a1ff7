"""What a verification found, as values: findings with their place, and which steps were carried out."""

from __future__ import annotations

from typing import Literal

import msgspec

from troth.evidence.entries import OpenIntent

Step = Literal[
    "key",
    "checkpoint",
    "files",
    "tree",
    "content",
    "order",
    "pairs",
    "policy",
    "witnesses",
    "receipts",
    "database",
]
STEPS: tuple[Step, ...] = Step.__args__  # type: ignore[attr-defined]  # typing gives Literal's values no typed name


class Finding(msgspec.Struct, frozen=True):
    """Something to say about a place. A ``fault`` fails the verification; a ``note`` is for the reader."""

    step: Step
    level: Literal["fault", "note"]
    message: str
    file: str = ""
    entry: int | None = None
    offset: int | None = None

    @property
    def place(self) -> str:
        """File, entry and byte in words, as far as they are known."""
        parts = [self.file] if self.file else []
        parts += [f"entry {self.entry}"] if self.entry is not None else []
        parts += [f"byte {self.offset}"] if self.offset is not None else []
        return ", ".join(parts)

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class Report(msgspec.Struct):
    """The outcome of one verification.

    ``done`` maps each step that was carried out to one line on what it looked at; a step that is missing there
    could not be done, because an earlier one took its ground away.
    """

    origin: str = ""
    size: int = 0
    root: str = ""
    fingerprint: str = ""
    kinds: dict[str, int] = {}
    clauses: dict[str, int] = {}
    open: tuple[OpenIntent, ...] = ()
    done: dict[Step, str] = {}
    findings: list[Finding] = []

    @property
    def ok(self) -> bool:
        """True where no step found a fault."""
        return not self.faults()

    def faults(self, step: Step | None = None) -> list[Finding]:
        """The faults, of one step or of all."""
        return [f for f in self.findings if f.level == "fault" and step in (None, f.step)]

    def fault(
        self, step: Step, message: str, *, file: str = "", entry: int | None = None, offset: int | None = None
    ) -> None:
        """Add a fault."""
        self.findings.append(Finding(step, "fault", message, file, entry, offset))

    def fault_once(self, step: Step, message: str, *, file: str) -> None:
        """Add a fault of a file that is read more than once, unless it was told already."""
        if Finding(step, "fault", message, file) not in self.findings:
            self.fault(step, message, file=file)

    def note(self, step: Step, message: str, *, file: str = "", entry: int | None = None) -> None:
        """Add something the reader should know and that is no fault."""
        self.findings.append(Finding(step, "note", message, file, entry))
