"""Lints that look for a turn of phrase: what it usually hides, and what to do about it. For English prose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from troth.policy.clauses import ReadClause
from troth.policy.prose import periods


class Phrase(msgspec.Struct, frozen=True):
    """One lint: the words it looks for, and what it says about them. ``each`` tells every different find."""

    code: str
    pattern: re.Pattern[str]
    message: str
    hint: str = ""
    each: bool = False


class Found(msgspec.Struct, frozen=True):
    """A turn of phrase in some words, with the message about it."""

    phrase: Phrase
    start: int
    text: str
    message: str


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


ROTATION: Final = "passwords to be changed regularly: NIST SP 800-63B and ASVS 6.2.10 advise against it"
ROTATION_HINT: Final = "change on evidence of compromise: protect: {password_change: on_compromise}"

PHRASES: Final = (
    Phrase(
        "VAGUE_TERM",
        _compile(
            r"\betc\b\.?|\band so on\b|\breasonabl[ey]\b|\bappropriate(?:ly)?\b|\bas necessary\b|\bfrom time to time\b"
            r"|\bin some cases\b|\btrusted\b|\bto the extent\b|\bmeaningful(?:ly)?\b|\bamong others\b"
        ),
        '"{}" leaves open what is promised',
        "say what is meant, or define it: define: {terms: {…}}",
        each=True,
    ),
    Phrase(
        "ROTATION_AGAINST_NIST",
        _compile(
            r"\b(?:chang\w+|renew\w*|rotat\w+)\b[^.]{0,60}\bpasswords?\b[^.]{0,60}"
            r"\b(?:regularly|periodically|every|frequently)\b"
            r"|\bpasswords?\b[^.]{0,60}\b(?:regularly|periodically|expires?)\b"
        ),
        ROTATION,
        ROTATION_HINT,
    ),
    Phrase(
        "CONSENT_BY_SUBMISSION",
        _compile(
            r"\b(?:when|by)\s+(?:you\s+)?(?:us|submit|visit|provid|send)\w*\b[^.]{0,80}\byou\s+(?:consent|agree)\b"
        ),
        "sending a form is no consent (GDPR Art. 7, recital 32): it takes an act of its own",
        "bind the submission to the version shown, and ask for consent apart",
    ),
    Phrase(
        "LAW_MISSTATED",
        _compile(
            r"\b(?:EU|European|Union'?s?)\s+(?:citizens?|residents?)\b|\b(?:citizens?|residents?)\s+(?:of|with?in)\s+the\b"
            r"(?=[^.]{0,20}\b(?:EU|Union)\b)"
        ),
        'the GDPR protects persons in the Union, whatever their citizenship or residence; "{}" says less',
    ),
    Phrase(
        "LAW_MISSTATED",
        _compile(r"\b(?:comes?|came|coming|enters?|entered) into (?:force|effect) on (?:25 May 2018|May 25,? 2018)\b"),
        "the GDPR has been in force since 24 May 2016 and applies since 25 May 2018",
    ),
    Phrase(
        "COOKIE_IS_PERSONAL",
        _compile(r"\bcookies?\b[^.]{0,30}\b(?:not|never|no)\b[^.]{0,20}\bpersonal(?:ly)?\b"),
        "an identifier in a cookie is personal data in law, even if its value says nothing (GDPR recital 30)",
        "say that the value is random, and treat it as personal all the same",
    ),
)

_IN_ADVANCE: Final = _compile(r"\b(?:in advance|beforehand|advance notice|prior notice)\b")
_MINORS: Final = _compile(r"\bminors?\b")
_UNDER: Final = _compile(r"\bunder\s+(?:the\s+)?(?:age\s+(?:of\s+)?)?1[0-7]\b")


def phrases(words: str) -> Iterator[Found]:
    """What of ``PHRASES`` stands in these words, in the order of the table."""
    for phrase in PHRASES:
        told: set[str] = set()
        for match in phrase.pattern.finditer(words):
            if match[0].lower() not in told:
                told.add(match[0].lower())
                yield Found(phrase, match.start(), match[0], phrase.message.replace("{}", match[0]))
            if not phrase.each:
                break


def open_period(clause: ReadClause, words: str) -> re.Match[str] | None:
    """``in advance`` where neither the words nor the declaration say how long."""
    if any(True for _ in periods(words)) or "{" in words:
        return None
    changes = clause.requires.changes if clause.requires else None
    return None if changes and changes.advance_notice else _IN_ADVANCE.search(words)


def two_ages(text: str) -> re.Match[str] | None:
    """A text that speaks of minors in one place and of an age in another."""
    return _UNDER.search(text) if _MINORS.search(text) else None
