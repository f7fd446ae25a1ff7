"""What bodies are made of: words that know their place, names, amounts, and parts that several bodies share."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from troth.policy.model import Position


class Word(str):
    """Text from a policy that knows where it stands."""

    __slots__ = ("at",)
    at: Position

    def __new__(cls, text: str, at: Position) -> Word:
        """``text`` standing at ``at``."""
        made = super().__new__(cls, text)
        made.at = at
        return made


class Name(Word):
    """An id: lower-case letters, digits, ``-`` and ``_``, in parts joined by dots or a colon."""

    __slots__ = ()


class Bits(msgspec.Struct, frozen=True):
    """An amount of chance, written ``128 bits``."""

    count: int


class Pattern(msgspec.Struct, frozen=True):
    """An Annotated mark: the text must match this regular expression in full; ``say`` describes it."""

    regex: str
    say: str


class Between(msgspec.Struct, frozen=True):
    """An Annotated mark: the number lies between these, both included."""

    low: int
    high: int


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all bodies; ``at`` is where the body begins."""

    at: Position


class Operators(Body, frozen=True, kw_only=True):
    """A guard: that many operators have approved."""

    operators: Annotated[int, Between(1, 9), "how many different operators must approve"]


class AtMost(Body, frozen=True, kw_only=True):
    """A guard: this may happen that many times for one person and one occasion."""

    at_most: Annotated[int, Between(1, 1000), "how many times"]


Guard: TypeAlias = Name | Operators | AtMost


class AtLeast(Body, frozen=True, kw_only=True):
    """A threshold."""

    at_least: Annotated[int, Between(2, 1_000_000), "the smallest number of persons behind a figure"]


class Summary(Body, frozen=True, kw_only=True):
    """An output form: figures over many persons, no single one."""

    summary: Annotated[AtLeast, "the threshold below which nothing comes out"]


OutputForm: TypeAlias = Literal["identified", "pseudonymous"] | Summary


class RandomBits(Body, frozen=True, kw_only=True):
    """How much chance a random value holds."""

    at_least: Annotated[Bits, "the least amount, such as `128 bits`"]


class RandomValue(Body, frozen=True, kw_only=True):
    """A value that says nothing: drawn at random."""

    random: Annotated[RandomBits, "how much chance it holds"]


class ChoiceValue(Body, frozen=True, kw_only=True):
    """A value that is one of a few fixed words, the same for everybody who chose alike."""

    choices: Annotated[tuple[Word, ...], "the words"]


class FlagValue(Body, frozen=True, kw_only=True):
    """A value that says what a browser chose: a mark of what was asked, and a yes or no to each; alike for all."""

    flag: Annotated[Literal["consents"], "the consents that are asked on the site"]


class Approval(Body, frozen=True, kw_only=True):
    """What lifts a prohibition for one case."""

    approval: Annotated[Literal["written"], "the person's own prior, specific, revocable approval"]
