"""What a browser chose: the questions a site asks, the flag that holds the answers, and the signal that answers.

The answers stand in one cookie, whose values the policy enumerates: a mark of what was asked, and yes or no to each
question. Whoever chose alike under the same questions holds the same value, so that it tells nobody from another.
The mark is made of what a yes covers; a version that changes none of it asks nobody again (``consent.choice``).

Pure: the same policy gives the same marks and values. Whatever a browser sends is read; what is none of the values
counts as nothing chosen.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from typing import Final

import msgspec

from troth.policy.model import CompiledPolicy, ConsentAsk, Grant, State, Stop, Value

SIGNAL: Final = "Sec-GPC"  # Global Privacy Control; only the exact value 1 is the signal (consent.signal)
VISITOR: Final = "troth_visitor"  # the cookie under which visits are kept; the collector alone sets and forgets it
MOST_QUESTIONS: Final = 6  # 64 values; nobody reads a seventh


class Choice(Value, frozen=True):
    """What this browser chose. ``granted`` are purposes; ``decided``: it answered, by a click or by its signal.

    ``by_signal``: nothing but the browser's signal answered, which is a no to every question.
    """

    granted: frozenset[str] = frozenset()
    decided: bool = False
    by_signal: bool = False


NOTHING_CHOSEN: Final = Choice()


class Asked(Value, frozen=True):
    """One question of the site. ``lost`` is what a no does without."""

    id: str
    clause: str
    purpose: str
    ask: str
    lost: tuple[str, ...] = ()


class Choices(Value, frozen=True):
    """The questions of one policy and the flag that holds the answers; ``cookie`` is "" where there is none.

    ``seconds`` is the flag's life, the same for a yes and a no; None is until the browser closes.
    """

    cookie: str
    mark: str
    seconds: int | None
    asked: tuple[Asked, ...]

    @property
    def purposes(self) -> tuple[str, ...]:
        """The purposes asked for, in the order of the policy."""
        return tuple(question.purpose for question in self.asked)

    def value(self, granted: Iterable[str]) -> str:
        """The flag's value for a yes to these purposes and a no to the others."""
        chosen = frozenset(granted)
        return self.mark + "-" + "".join("1" if purpose in chosen else "0" for purpose in self.purposes)

    def values(self) -> tuple[str, ...]:
        """Every value that the flag can have; the first refuses everything, the last grants everything."""
        bits = itertools.product("01", repeat=len(self.asked))
        return tuple(self.mark + "-" + "".join(each) for each in bits) if self.asked else ()

    def read(self, value: str | None, signal: str | None = None) -> Choice:
        """The choice behind the flag's value and the ``Sec-GPC`` header. Total: garbage is nothing chosen.

        An answer to these very questions goes before the signal, since it was given later and in words.
        """
        mark, _, bits = (value or "").partition("-")
        if self.asked and mark == self.mark and len(bits) == len(self.asked) and not bits.strip("01"):
            granted = (purpose for purpose, bit in zip(self.purposes, bits, strict=True) if bit == "1")
            return Choice(frozenset(granted), decided=True)
        if signal == "1":
            return Choice(decided=True, by_signal=True)
        return NOTHING_CHOSEN


def choices(policy: CompiledPolicy) -> Choices:
    """The questions that this policy's site asks. Without a flag to hold the answers there are none."""
    flag = next((cookie for cookie in policy.cookies.values() if cookie.flag), None)
    asks = site_asks(policy)
    if flag is None:
        return Choices("", "", None, ())
    asked = tuple(Asked(ask.id, ask.clause, ask.purpose, ask.ask, ask.loses) for ask in asks)
    seconds = None if flag.lasts is None else flag.lasts.after(0) // 1000
    return Choices(flag.name, mark(policy, asks), seconds, asked)


def site_asks(policy: CompiledPolicy) -> tuple[ConsentAsk, ...]:
    """The consents that are asked on the site, in the order of the policy."""
    return tuple(ask for ask in policy.consents.values() if ask.asked == "site")


def mark(policy: CompiledPolicy, asks: Iterable[ConsentAsk]) -> str:
    """Eight hexadecimal digits that change when what a yes covers does."""
    content = msgspec.json.encode([covers(policy, ask) for ask in asks])
    return hashlib.sha256(content).hexdigest()[:8]


def covers(policy: CompiledPolicy, ask: ConsentAsk) -> list[object]:
    """What a yes to this question covers: purpose, channel, categories, recipients, cookies, places; no words."""
    recipients = (r for r in policy.recipients.values() if r.purpose == ask.purpose)
    cookies = (c for c in policy.cookies.values() if c.purpose == ask.purpose and not c.essential)
    embeds = (e for e in policy.embeds if e.purpose == ask.purpose and not e.essential)
    return [
        [ask.purpose, ask.meaning, ask.channel],
        sorted(ask.categories),
        sorted([r.id, r.role, *sorted(r.countries), *sorted(r.categories)] for r in recipients),
        sorted([c.name, c.party, c.lasts.text if c.lasts else "", c.value, str(c.bits), *c.choices] for c in cookies),
        sorted([e.origin, *sorted(e.loads)] for e in embeds),
    ]


def with_flag(policy: CompiledPolicy) -> CompiledPolicy:
    """The policy with the flag's values written out, as the filter of cookies wants them."""
    found = choices(policy)
    if not found.cookie:
        return policy
    flag = msgspec.structs.replace(policy.cookies[found.cookie], choices=found.values())
    return msgspec.structs.replace(policy, cookies=policy.cookies | {flag.name: flag})


def state_of(policy: CompiledPolicy, choice: Choice) -> State:
    """A browser's choice as decisions read it: its yes grants, its no stops, also what rests on an interest."""
    if not choice.decided:
        return State()
    asks = site_asks(policy)
    return State(
        grants=frozenset(Grant(a.purpose, a.channel, a.meaning) for a in asks if a.purpose in choice.granted),
        stops=frozenset(Stop(a.purpose) for a in asks if a.purpose not in choice.granted),
    )
