"""The language that somebody chose on a page, remembered for those who agreed to that and for nobody else.

Clause ``cookies.refuse``, mechanism ``cookie.consent``: it is the comfort that a no does without. Without the cookie
the language stands in the address, and in what the browser prefers.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from troth.policy.choices import SIGNAL, Choice, Choices, choices
from troth.policy.model import CompiledPolicy
from troth.web import cookies

COOKIE = "troth_language"

_questions: dict[str, Choices] = {}  # by the policy's hash: working them out takes longer than a page


def choice_of(request: Request, policy: CompiledPolicy, *, tls: bool) -> Choice:
    """What this browser chose."""
    asked = _questions.get(policy.sha256)
    if asked is None:
        asked = _questions[policy.sha256] = choices(policy)
    value = cookies.read(request, asked.cookie, tls=tls) if asked.cookie else None
    return asked.read(value, request.headers.get(SIGNAL))


def agreed(request: Request, policy: CompiledPolicy, *, tls: bool) -> bool:
    """Whether the language may be remembered in this browser."""
    rule = policy.cookies.get(COOKIE)
    return rule is not None and rule.purpose in choice_of(request, policy, tls=tls).granted


def remembered(request: Request, policy: CompiledPolicy, *, tls: bool) -> str:
    """The language that this browser remembers, or "". Nothing is worked out for who brings no such cookie."""
    value = cookies.read(request, COOKIE, tls=tls)
    return value if value and agreed(request, policy, tls=tls) else ""


def remember(response: Response, request: Request, policy: CompiledPolicy, language: str, *, tls: bool) -> None:
    """Remember a language that was asked for, where that was agreed to and the policy has it as a value."""
    rule = policy.cookies.get(COOKIE)
    if rule is not None and language in rule.choices and agreed(request, policy, tls=tls):
        cookies.put(response, policy, COOKIE, language, tls=tls, seconds=cookies.life_seconds(rule))
