"""What stands around a verb, and the front matter."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import field

from troth.policy.bodies.parts import Body, Name, Pattern, Word
from troth.policy.bodies.permits import Permits
from troth.policy.bodies.requires import Requires
from troth.policy.bodies.rules import Asserts, Defines, Forbids, Informs
from troth.policy.model import Duration

VERBS: dict[str, type[Body]] = {
    "permits": Permits,
    "requires": Requires,
    "never": Forbids,
    "asserts": Asserts,
    "define": Defines,
    "informs": Informs,
}


class ClauseEnvelope(Body, frozen=True, kw_only=True):
    """What stands around the verb."""

    id: Annotated[Name, "the clause's id; the page, the code, the tests and the ledger spell it the same"]
    words: Annotated[tuple[Word, ...], "the words it makes executable, where that is not all of the prose above"] = ()
    permits: Annotated[Any, "makes a use possible"] = None
    requires: Annotated[Any, "an obligation"] = None
    never: Annotated[Any, "a prohibition"] = None
    asserts: Annotated[Any, "a theorem"] = None
    define: Annotated[Any, "a definition"] = None
    informs: Annotated[Any, "text only"] = None
    by: Annotated[tuple[Name, ...], "the mechanisms that keep it, where they are not those of its bodies"] = ()
    was: Annotated[tuple[Name, ...], "ids it had in earlier versions"] = ()
    not_enforced: Annotated[Word | None, "why no mechanism keeps it yet; what it permits stays closed"] = None
    supplement: Annotated[Word | None, "why no sentence of the prose stands for it; it is printed in an annex"] = None
    silence: Annotated[
        dict[Word, Word],
        "lints that are not to speak here, each with the reason",
    ] = field(default_factory=dict)


class ControllerBody(Body, frozen=True, kw_only=True):
    """Who is responsible (GDPR Art. 13(1)(a))."""

    name: Annotated[Word, "the name"]
    contact: Annotated[Word, "the address for privacy matters"]
    country: Annotated[
        Word, Pattern(r"[A-Z]{2}", "a country as two capital letters (ISO 3166)"), "the country as ISO 3166 code"
    ]
    address: Annotated[Word | None, "the postal address"] = None


_DATE = Pattern(r"\d{4}-\d{2}-\d{2}", "a date as YYYY-MM-DD")


class FrontMatter(Body, frozen=True, kw_only=True):
    """The settings at the head of the file. Clauses refer to them and never repeat them."""

    policy: Annotated[Name, "the name of the policy"]
    version: Annotated[Word, Pattern(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}", "letters, digits, dots"), "its identity"]
    effective: Annotated[Word, _DATE, "the day from which it binds, 00:00 UTC"]
    controller: Annotated[ControllerBody, "who is responsible"]
    language: Annotated[
        Word, Pattern(r"[a-z]{2,3}(-[A-Za-z0-9]+)*", "a language tag such as en"), "the language it is written in"
    ]
    surfaces: Annotated[tuple[Name, ...], "where it applies: `site:www`, `product:desktop`, `service:managed`"]
    notice_period: Annotated[Duration, "how long before a reduction of rights everybody is told"]
    affiliates: Annotated[tuple[Word, ...], "companies that it binds as well"] = ()
    historical: Annotated[bool, "an old text: missing bases and periods are warnings"] = False
    silence: Annotated[
        dict[Word, Word],
        "lints that are not to speak in this policy, each with the reason",
    ] = field(default_factory=dict)
