"""Both verifiers behind one face, so that every test holds both to the same findings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import troth.evidence
from troth.evidence.tiles import Files
from troth.evidence.verify import verify

STANDALONE = Path(troth.evidence.__file__).parent / "standalone.py"


def load_standalone() -> ModuleType:
    """The single file, loaded by its path, as somebody would who copied it away."""
    spec = spec_from_file_location("verifier_by_path", STANDALONE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


standalone = load_standalone()


class Found(NamedTuple):
    """A fault as both verifiers tell it."""

    step: str
    file: str
    entry: int | None
    offset: int | None
    message: str


class Outcome(NamedTuple):
    ok: bool
    faults: tuple[Found, ...]
    notes: tuple[Found, ...]
    done: frozenset[str]

    @property
    def steps(self) -> set[str]:
        return {fault.step for fault in self.faults}

    @property
    def places(self) -> set[tuple[str, int | None]]:
        return {(fault.file, fault.entry) for fault in self.faults}

    def names(self, name: str) -> bool:
        """Whether a fault stands at this file."""
        return any(fault.file == name for fault in self.faults)


Named = Iterable[tuple[str, bytes]]
Checker = Callable[..., Outcome]


def by_library(
    files: Mapping[str, bytes],
    *,
    trusted: str | None = None,
    witnesses: Named = (),
    receipts: Named = (),
    hashes_only: bool = False,
) -> Outcome:
    laid = Files(files, files.__getitem__)
    report = verify(laid, trusted=trusted, witnesses=witnesses, receipts=receipts, hashes_only=hashes_only)
    return outcome(report.ok, report.findings, report.done)


def by_standalone(
    files: Mapping[str, bytes],
    *,
    trusted: str | None = None,
    witnesses: Named = (),
    receipts: Named = (),
    hashes_only: bool = False,
) -> Outcome:
    check = standalone.Check(files, files.__getitem__, hashes_only=hashes_only)
    report = check.run(trusted, receipts, witnesses)
    return outcome(report.ok, report.findings, report.done)


def outcome(ok: bool, findings: Iterable[object], done: Iterable[str]) -> Outcome:
    told = [
        (getattr(f, "level"), Found(*(getattr(f, part) for part in Found._fields)))  # noqa: B009  # two classes of findings, one shape
        for f in findings
    ]
    faults = tuple(found for level, found in told if level == "fault")
    notes = tuple(found for level, found in told if level == "note")
    return Outcome(ok, faults, notes, frozenset(done))


CHECKERS: dict[str, Checker] = {"library": by_library, "standalone": by_standalone}
