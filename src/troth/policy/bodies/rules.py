"""The bodies of ``never``, ``asserts``, ``define`` and ``informs``."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import field

from troth.policy.bodies.parts import Approval, Body, Guard, Name, OutputForm, Word
from troth.policy.bodies.requires import Every, Has, StateBody
from troth.policy.model import Basis


class NeverShare(Body, frozen=True, kw_only=True):
    """No way out, but for the exceptions."""

    to: Annotated[tuple[Name, ...], "classes of recipients; any where it is left out"] = ()
    purpose: Annotated[tuple[Name, ...], "purposes, with all below them; any where it is left out"] = ()
    categories: Annotated[tuple[Name, ...], "categories, with all below them; any where it is left out"] = ()
    except_: Annotated[tuple[Name, ...], "the clauses that may all the same; each must exist"] = ()
    unless: Annotated[Approval | None, "what lifts it for one case"] = None


class NeverCollect(Body, frozen=True, kw_only=True):
    """Not collected at all, not at that moment, or not from there."""

    categories: Annotated[tuple[Name, ...], "categories, with all below them"] = ()
    before: Annotated[Literal["submission"] | None, "nothing typed arrives before the form is sent"] = None
    after: Annotated[Literal["refusal"] | None, "a no leaves nothing behind"] = None
    source: Annotated[Literal["unnamed", "third_party"] | None, "not from there"] = None
    except_: Annotated[tuple[Name, ...], "the clauses that may all the same"] = ()


class NeverUse(Body, frozen=True, kw_only=True):
    """Not used for that."""

    for_: Annotated[tuple[Name, ...], "purposes, with all below them; `automated_decision` is one"] = ()
    categories: Annotated[tuple[Name, ...], "categories, with all below them"] = ()
    except_: Annotated[tuple[Name, ...], "the clauses that may all the same"] = ()
    unless: Annotated[Approval | None, "what lifts it for one case"] = None


class Forbids(Body, frozen=True, kw_only=True):
    """A prohibition. It beats `permits` of equal or wider scope."""

    share: Annotated[NeverShare | None, "no way out"] = None
    collect: Annotated[NeverCollect | None, "not collected"] = None
    use: Annotated[NeverUse | None, "not used"] = None
    join: Annotated[tuple[Name, ...], "data of these points or categories is never brought together"] = ()
    keep: Annotated[tuple[Name, ...], "categories that are never kept"] = ()


Closed: TypeAlias = Literal["share", "collect", "use", "cookie", "message"]


class AssertUses(Body, frozen=True, kw_only=True):
    """What holds for every use with this purpose."""

    purpose: Annotated[Name, "the purpose"]
    basis: Annotated[tuple[Basis, ...], "the only bases"] = ()
    keep: Annotated[tuple[Name, ...], "the only retention classes"] = ()
    as_: Annotated[OutputForm | None, "the form, or a narrower one"] = None
    needs: Annotated[tuple[Guard, ...], "guards that each of them has"] = ()


class Asserts(Body, frozen=True, kw_only=True):
    """A theorem about the other clauses, proven when compiling and shown on the board."""

    closed: Annotated[tuple[Closed, ...], "the permits are the only ways to do this"] = ()
    uses: Annotated[tuple[AssertUses, ...], "what holds for every use with a purpose"] = ()
    every: Annotated[Every | None, "all of a class …"] = None
    has: Annotated[Has | None, "… and what each has"] = None
    precedence: Annotated[Literal["most_specific"] | None, "of several policies the most specific applies"] = None


class TermBody(Body, frozen=True, kw_only=True):
    """What a word means here."""

    means: Annotated[Word | None, "in words"] = None
    categories: Annotated[tuple[Name, ...], "for `personal_data`: the categories, with all below them"] = ()
    unknown: Annotated[Literal["personal"] | None, "for `personal_data`: what is not labelled counts as personal"] = (
        None
    )
    includes: Annotated[tuple[Word, ...], "kinds of things the word covers"] = ()


SiteMode: TypeAlias = Literal["observe", "enforce"]


class SurfaceBody(Body, frozen=True, kw_only=True):
    """A place where the policy applies."""

    hosts: Annotated[tuple[Word, ...], "its host names"] = ()
    tenants: Annotated[bool, "whether other controllers run parts of it"] = False
    mode: Annotated[
        SiteMode, "`observe`: its pages are watched and nothing is stopped there, and no clause about them passes"
    ] = "enforce"
    paths: Annotated[dict[Word, SiteMode], "the mode of the pages below a path, where it is another"] = field(
        default_factory=dict
    )


class PurposeBody(Body, frozen=True, kw_only=True):
    """A purpose of this policy. A change of its meaning asks for new consent."""

    is_: Annotated[Word | None, "the DPV term, such as `dpv:DirectMarketing`"] = None
    parent: Annotated[Name | None, "the purpose above it; an objection there covers it"] = None
    title: Annotated[Word | None, "what people read"] = None
    means: Annotated[Word | None, "what exactly is done"] = None
    direct: Annotated[bool, "whether it is direct marketing"] = False


class Defines(Body, frozen=True, kw_only=True):
    """Gives words their meaning."""

    terms: Annotated[dict[Name, TermBody | Word], "words of the policy"] = field(default_factory=dict)
    states: Annotated[dict[Name, StateBody], "states that keeping refers to"] = field(default_factory=dict)
    events: Annotated[dict[Name, Word], "events and what they mean"] = field(default_factory=dict)
    surfaces: Annotated[
        dict[Name, SurfaceBody],
        "the places of the front matter and their hosts",
    ] = field(default_factory=dict)
    purposes: Annotated[dict[Name, PurposeBody], "purposes and their tree"] = field(default_factory=dict)
    categories: Annotated[
        dict[Name, Word],
        "further categories of data, below known ones",
    ] = field(default_factory=dict)
    roles: Annotated[
        dict[Name, Literal["controller", "processor", "joint"]],
        "our role on a surface",
    ] = field(default_factory=dict)


class Informs(Body, frozen=True, kw_only=True):
    """Published text that promises nothing."""

    about: Annotated[Word | None, "what it is about"] = None
    text: Annotated[bool, "says again that it is text only"] = True
