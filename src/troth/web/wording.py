"""The words of every declared message, looked through before the first is sent: in every language, by file and line.

What a vendor writes over ours (the folder ``words`` in the data folder) can be wrong in ways that only a letter would
show: a slot that nothing fills, marketing in a service message. Such words do not compile, and the system does not
start with them. Clause: ``rights.automated``; mechanism ``message.declared``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from troth.policy.diagnostics import Diagnostic
from troth.policy.model import CompiledPolicy
from troth.use.compose import Composer
from troth.use.templates import Fault
from troth.web.catalogue import OURS

PARTS = {"subject": "subject", "text": "body", "html": "body"}


def check_words(
    composer: Composer, policy: CompiledPolicy, languages: Sequence[str], folders: Sequence[Path]
) -> list[Diagnostic]:
    """Every fault in the words of the policy's messages. A message without words is not told: it cannot be sent."""
    found: dict[tuple[str, int, int, str], Diagnostic] = {}
    for template in policy.templates.values():
        for language in languages:
            try:
                faults = composer.check(template, language)
            except KeyError:
                continue
            for fault in faults:
                told = _told(fault, template.id, language, [*reversed(folders), OURS])
                found[told.file, told.line, told.column, told.code] = told
    return list(found.values())


def _told(fault: Fault, template: str, language: str, folders: Sequence[Path]) -> Diagnostic:
    """The fault as the compiler tells its own: in the file that has the words, with the line that is meant."""
    key = PARTS[fault.part]
    for folder in folders:
        file = folder / f"{language}.toml"
        if not file.exists():
            continue
        lines = file.read_text("utf-8").split("\n")
        for number, text in _of(lines, template, key):
            multiline = text.rstrip().endswith(('"""', "'''"))
            at = number + fault.line if multiline else number
            column = fault.column if multiline else _opening(text) + fault.column
            return Diagnostic(file.name, at, column, "error", fault.code, fault.message)
    return Diagnostic(f"{language}.toml", 1, 1, "error", fault.code, f"mail.{template}.{key}: {fault.message}")


def _opening(text: str) -> int:
    """The column of the quotation mark that opens the value, from 1."""
    before, _, after = text.partition("=")
    return len(before) + 1 + len(after) - len(after.lstrip()) + 1


def _of(lines: Sequence[str], template: str, key: str) -> Iterator[tuple[int, str]]:
    """Line number (from 1) and text of ``key = `` in the table of this message."""
    inside = False
    for number, text in enumerate(lines, 1):
        if text.startswith("["):
            inside = text.strip() == f"[mail.{template}]"
        elif inside and re.match(rf"{key}\s*=", text):
            yield number, text
