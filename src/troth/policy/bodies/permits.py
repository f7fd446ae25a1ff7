"""The bodies of ``permits``: collection points, uses, ways out, cookies, consents."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import field

from troth.policy.bodies.parts import Between, Body, ChoiceValue, FlagValue, Guard, Name, OutputForm, RandomValue, Word
from troth.policy.model import Basis, Duration, Mode, Position


class FieldBody(Body, frozen=True, kw_only=True):
    """A place on a form or API that carries a category of data."""

    category: Annotated[Name, "what the field says about the person, from the tree of categories"]
    required: Annotated[bool, "whether the form is refused without it"] = False
    identifier: Annotated[bool, "whether a person is found by it (e-mail address, reference of a product)"] = False
    choices: Annotated[tuple[Word, ...], "the only answers it takes"] = ()
    max_length: Annotated[int, Between(1, 1_000_000), "the longest answer, in characters"] = 200
    stored: Annotated[
        Literal["raw", "keyed", "truncated", "country", "dropped"],
        "what remains of it: the value itself, a keyed hash, a shortened value, only the country, nothing",
    ] = "raw"


class UseBody(Body, frozen=True, kw_only=True):
    """One line of the record of processing activities: these fields, for this purpose, on this basis."""

    purpose: Annotated[Name, "what it is done for, from the tree of purposes"]
    basis: Annotated[Basis | None, "the legal basis (GDPR Art. 6); a person's powers follow from it"] = None
    fields: Annotated[tuple[Name, ...], "the fields it may use; all fields of the point where it is left out"] = ()
    keep: Annotated[Name | None, "the retention class, declared by a `keep`"] = None
    as_: Annotated[OutputForm, "the form in which data comes out"] = "identified"
    channel: Annotated[Name | None, "the channel, where the use is a message"] = None
    needs: Annotated[tuple[Guard, ...], "guards: rows that must be there at the moment of use"] = ()
    survives: Annotated[
        tuple[Mode, ...], "modes in which the use goes on: `restricted`, `child`, `erasing` (rights, legal claims)"
    ] = ()
    carries_over: Annotated[bool, "whether it also applies to data collected under earlier versions"] = False


class StandingUse(UseBody, frozen=True, kw_only=True):
    """A use of data that other clauses collect. Says what it touches by `points`, `fields` or `categories`."""

    points: Annotated[tuple[Name, ...], "the collection points whose data it may use"] = ()
    categories: Annotated[tuple[Name, ...], "the categories it may use, wherever they were collected"] = ()


class ConsentTo(Body, frozen=True, kw_only=True):
    """What a yes covers."""

    purpose: Annotated[Name, "the purpose"]
    channel: Annotated[Name | None, "the channel, such as `email`"] = None
    categories: Annotated[tuple[Name, ...], "the categories of data; those of the uses where it is left out"] = ()


class ConsentBody(Body, frozen=True, kw_only=True):
    """A consent that may be asked: in these words and no others, with a box that starts empty."""

    to: Annotated[ConsentTo, "what a yes covers"]
    ask: Annotated[Word, "the exact words of the question"]
    id: Annotated[Name | None, "its name; the purpose, and the channel if any, where it is left out"] = None
    confirm: Annotated[Literal["single", "double"], "`double`: a second yes from the address itself"] = "single"
    lasts: Annotated[Duration | None, "after which it must be asked anew"] = None
    withdraw: Annotated[Word, "where it is taken back"] = Word("/privacy", Position(0, 0))
    asked: Annotated[
        Literal["form", "site"], "`site`: a choice of the browser's, asked by the banner and kept in the choice flag"
    ] = "form"
    loses: Annotated[tuple[Word, ...], "what somebody who refuses does without; shown beside the choice"] = ()


class CollectBody(Body, frozen=True, kw_only=True):
    """A collection point: the fields of one form and API, and all that may be done with them."""

    point: Annotated[Name, "the name of the point; the form, the API and every record carry it"]
    fields: Annotated[dict[Name, FieldBody], "the fields in the order of the form"]
    uses: Annotated[tuple[UseBody, ...], "what they may be used for; without a use a field may not be asked"] = ()
    surfaces: Annotated[tuple[Name, ...], "where the point may stand; all surfaces where it is left out"] = ()
    consent: Annotated[ConsentBody | None, "the consent asked here"] = None
    confirm: Annotated[
        Literal["single", "double"] | None, "`double`: nothing is done with the data before the address confirmed"
    ] = None


class ShareBody(Body, frozen=True, kw_only=True):
    """A way out: a class of recipients and what it may receive. Names and contracts live in the register."""

    to: Annotated[Name, "the class of recipients, such as `processors`"]
    purpose: Annotated[Name, "what for"]
    role: Annotated[
        Literal["processor", "controller", "third_party", "authority", "public"], "what the recipient is in law"
    ] = "third_party"
    basis: Annotated[Basis | None, "the legal basis; not needed for a processor or for a summary"] = None
    points: Annotated[tuple[Name, ...], "the collection points whose data may go"] = ()
    fields: Annotated[tuple[Name, ...], "the fields that may go"] = ()
    categories: Annotated[tuple[Name, ...], "the categories that may go"] = ()
    countries: Annotated[tuple[Word, ...], "where recipients may be (ISO 3166 codes, `EEA`, `any`)"] = ()
    as_: Annotated[OutputForm, "the form in which data goes out"] = "identified"
    needs: Annotated[tuple[Guard, ...], "guards, such as `contract.live`, `order`, `review.live`"] = ()
    survives: Annotated[tuple[Mode, ...], "modes in which this way stays open"] = ()
    carries_over: Annotated[bool, "whether it also applies to data collected under earlier versions"] = False


Load: TypeAlias = Literal["script", "style", "image", "font", "media", "frame", "connect", "worker", "form"]


class CookieBody(Body, frozen=True, kw_only=True):
    """A cookie, or anything else that a page leaves in a browser to find again."""

    purpose: Annotated[Name, "what it is for"]
    lasts: Annotated[Duration | None, "how long it lives; with the browser's session where it is left out"] = None
    essential: Annotated[bool, "whether what the visitor asked for cannot be done without it"] = False
    party: Annotated[Literal["first", "third"], "who reads it"] = "first"
    value: Annotated[RandomValue | ChoiceValue | FlagValue | None, "what it may hold"] = None


class EmbedBody(Body, frozen=True, kw_only=True):
    """What pages load from a place of somebody else's. Nothing is loaded from a place that is not declared."""

    purpose: Annotated[Name, "what it is for"]
    loads: Annotated[tuple[Load, ...], "the kinds of thing that may come from there"]
    essential: Annotated[bool, "whether what the visitor asked for cannot be done without it"] = False
    title: Annotated[Word | None, "what people call it"] = None
    policy: Annotated[Word | None, "the address of their own privacy policy"] = None


class Permits(Body, frozen=True, kw_only=True):
    """Makes a use possible. Nothing is possible by silence."""

    collect: Annotated[CollectBody | None, "a collection point"] = None
    use: Annotated[tuple[StandingUse, ...], "uses of data that other clauses collect"] = ()
    share: Annotated[tuple[ShareBody, ...], "ways out"] = ()
    cookie: Annotated[dict[Word, CookieBody], "cookies by name"] = field(default_factory=dict)
    embed: Annotated[dict[Word, EmbedBody], "what pages load from others, by origin"] = field(default_factory=dict)
    consent: Annotated[ConsentBody | None, "a consent that may be asked apart from a form"] = None
