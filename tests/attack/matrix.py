"""The access matrix: every route, for every caller, asked about what is somebody else's and about what is nobody's.

The routes come from the route table, the interface's members from its OpenAPI document; what may be is a table here.
A route, a name in an address, a form or a member that the tables do not know is a fault: whoever adds an endpoint says
here who may come, and what in it names somebody's thing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.attack.asking import Answer, Asking
from tests.attack.world import STAFF, Caller, World, counting
from troth.web.openapi import document
from troth.web.routes import Route

MAY: dict[str, tuple[str, ...]] = {
    "person": ("link", "password"),
    "person:fresh": ("link",),
    "person:strong": ("link",),  # who has a second factor is asked for it besides: tests/clauses/test_account_*
    "person:proven": ("link",),  # and so here; nor does a product or a provider let in: tests/clauses/test_address.py
    "product:subjects": ("product",),
    "product:decisions": ("product",),
    "product:suppressions": ("tool",),
    "product": ("product", "tool"),
    "product:rights": ("product",),
    "operator": STAFF,
    "operator:approvals.give": ("officer", "administrator"),
    "operator:operators.read": ("officer", "administrator", "auditor"),
    "operator:subjects.find": ("support", "officer"),
    "operator:requests.read": ("support", "officer"),
    "operator:requests.handle": ("officer",),
    "operator:points.read": ("officer", "administrator", "auditor"),
    "operator:visits.read": ("officer", "administrator", "auditor"),
    "operator:imports.read": ("officer", "administrator"),
    "operator:imports.undo": ("officer",),
    "operator:operators.manage": ("administrator",),
    "operator:campaigns.send": ("officer",),
}
"""Which callers each scope lets in. Nobody else gets any further than the refusal."""

SCOPES: dict[str, tuple[str, ...]] = {
    "public": (
        *("GET /static/{name}", "GET /favicon.ico", "GET /health", "GET /metrics", "GET /api/v1/openapi.json"),
        *("GET /", "GET /forms/{point}", "POST /forms/{point}", "GET /sent"),
        *("GET /confirm/{token}", "POST /confirm/{token}"),
        *("GET /policy", "GET /policy.md", "GET /policy/versions", "GET /policy/versions/{version}"),
        *("GET /policy/clauses/{clause}", "GET /evidence", "GET /evidence/verify", "GET /evidence/verify.py"),
        *("GET /evidence/{name}", "GET /privacy", "POST /privacy", "GET /privacy/sent"),
        *("GET /privacy/open/{token}", "POST /privacy/open/{token}"),
        *("GET /unsubscribe/{token}", "POST /unsubscribe/{token}"),
        *("GET /account/sign-in", "POST /account/sign-in"),
        *("POST /account/sign-in/passkey", "POST /account/sign-in/code", "GET /privacy/certificate/{order}"),
        *("GET /account/address/confirm/{token}", "POST /account/address/confirm/{token}"),
        *("GET /account/address/stop/{token}", "POST /account/address/stop/{token}"),
        *("GET /privacy/handover/{token}", "GET /privacy/handover", "POST /privacy/handover"),
        *("POST /privacy/handover/open", "GET /api/v1/policy", "GET /api/v1/points/{point}"),
        *("POST /api/v1/submissions", "POST /api/v1/rights/links", "GET /api/v1/board"),
        *("GET /console/sign-in", "POST /console/sign-in", "POST /console/sign-in/passkey"),
        *("GET /console/invitation/{token}", "POST /console/invitation/{token}"),
        "POST /console/invitation/{token}/passkey",
        *("GET /policy/automated", "GET /account/openid", "GET /account/openid/return"),
        *("GET /t.js", "GET /privacy/visits", "GET /privacy/visits.json", "POST /privacy/visits/end"),
    ),
    "person": (
        *("POST /privacy/leave", "GET /privacy/data", "GET /privacy/copy.{ending}", "GET /privacy/object"),
        *("POST /privacy/object", "POST /privacy/withdraw/{purpose}", "GET /privacy/receipts"),
        *("GET /receipts/{entry}", "GET /consent/receipts/{record}"),
        *("GET /account", "POST /account/password", "POST /account/password/remove"),
        *("POST /account/password/reminder", "GET /privacy/automated"),
        *("POST /account/sessions/end", "POST /account/sessions/others"),
        *("GET /privacy/restrict", "POST /privacy/restrict", "POST /privacy/restrict/lift"),
        *("POST /privacy/restrict/keep", "GET /privacy/correct", "GET /privacy/correct/{point}"),
        *("POST /privacy/correct/{point}", "GET /account/address/sent", "POST /account/return"),
        *("GET /account/second-factor", "POST /account/second-factor/code", "POST /account/second-factor/keep"),
        *("GET /account/delegates", "POST /account/delegates/end"),
    ),
    "person:fresh": (
        *("GET /privacy/erase", "POST /privacy/erase"),
        *("GET /account/passkeys", "POST /account/passkeys", "POST /account/passkeys/rename"),
        *("POST /account/passkeys/remove", "POST /account/second-factor", "POST /account/second-factor/codes"),
        *("POST /account/second-factor/remove", "POST /account/second-factor/lost"),
    ),
    "person:strong": (
        *("GET /account/close", "POST /account/close", "POST /account/delegates/accept"),
        *("GET /account/delegates/{delegate}/{point}", "POST /account/delegates/{delegate}/{point}"),
    ),
    "person:proven": ("GET /account/address", "POST /account/address", "POST /account/delegates"),
    "product:subjects": ("PUT /api/v1/subjects/{reference}", "POST /api/v1/activity"),
    "product:decisions": ("POST /api/v1/decisions",),
    "product:suppressions": ("POST /api/v1/suppressions/check",),
    "product:rights": ("POST /api/v1/rights/requests", "GET /api/v1/rights/requests/{request}"),
    "operator": (
        *("POST /console/sign-out", "GET /console", "GET /console/approvals"),
        *("POST /console/approvals/{id}/refuse", "GET /console/account", "POST /console/account/password"),
        *("POST /console/account/passkey", "POST /console/account/sessions"),
        *("GET /console/sessions", "POST /console/sessions/end", "GET /console/websites"),
    ),
    "operator:approvals.give": ("POST /console/approvals/{id}/give",),
    "operator:operators.read": ("GET /console/operators",),
    "operator:requests.read": (
        *("GET /console/requests", "GET /console/requests/{id}"),
        *("GET /console/erasures", "GET /console/erasures/{id}", "GET /console/holds"),
    ),
    "operator:requests.handle": (
        *("POST /console/requests", "POST /console/requests/{id}/prove", "POST /console/requests/{id}/extend"),
        *("POST /console/requests/{id}/refuse", "POST /console/requests/{id}/fulfil"),
        *("POST /console/holds", "POST /console/holds/{id}/lift"),
    ),
    "operator:points.read": ("GET /console/points", "GET /console/tools"),
    "operator:visits.read": ("GET /console/visits", "GET /console/visits.csv", "GET /api/v1/visits"),
    "operator:imports.read": ("GET /console/imports",),
    "operator:imports.undo": ("POST /console/imports/{id}/undo",),
    "operator:subjects.find": (
        *("GET /console/people", "POST /console/people"),
        *("POST /console/people/link", "POST /console/people/sessions"),
    ),
    "operator:campaigns.send": (
        *("GET /console/campaigns", "POST /console/campaigns", "GET /console/campaigns/{id}"),
        *("POST /console/campaigns/{id}/write", "POST /console/campaigns/{id}/test"),
        *("POST /console/campaigns/{id}/begin", "POST /console/campaigns/{id}/pause"),
        *("POST /console/campaigns/{id}/resume", "POST /console/campaigns/{id}/stop"),
    ),
    "operator:operators.manage": (
        *("POST /console/operators", "POST /console/operators/{id}/invite", "POST /console/operators/{id}/end"),
    ),
}
"""Which scope each route must have: read here, never from the route itself."""

SCOPE_OF = {route: scope for scope, routes in SCOPES.items() for route in routes}
SHUT = {"person": (303, "/privacy"), "operator": (401, "unproven"), "product": (401, "unproven")}
STALE = (303, "/account/sign-in?again=1")  # a person who is in, where a fresh proof is asked for
ROLE = (403, "forbidden")

WITHIN = frozenset(
    {("operator:subjects.find", "email"), ("operator:requests.handle", "email"), ("product:suppressions", "email")}
)
"""What a scope is there to find among its own tenant's people; among another tenant's it is asked for like the rest."""

NAMES: dict[tuple[str, str], str] = {
    ("/static/{name}", "name"): "no-such-file",
    ("/forms/{point}", "point"): "newsletter",
    ("/policy/versions/{version}", "version"): "2026-01-15",
    ("/policy/clauses/{clause}", "clause"): "rights.erase",
    ("/evidence/{name}", "name"): "checkpoint",
    ("/privacy/copy.{ending}", "ending"): "json",
    ("/privacy/withdraw/{purpose}", "purpose"): "no-such-purpose",
    ("/privacy/correct/{point}", "point"): "registration",
    ("/account/delegates/{delegate}/{point}", "point"): "registration",
    ("/api/v1/points/{point}", "point"): "newsletter",
}
"""What stands in addresses and is nobody's: names that the policy or we publish."""

THINGS: dict[tuple[str, str], str] = {
    ("/confirm/{token}", "token"): "token:confirm",
    ("/privacy/open/{token}", "token"): "token:centre",
    ("/unsubscribe/{token}", "token"): "token:unsubscribe",
    ("/privacy/handover/{token}", "token"): "token:handover",
    ("/console/invitation/{token}", "token"): "token:invitation",
    ("/console/invitation/{token}/passkey", "token"): "token:invitation",
    ("/account/address/confirm/{token}", "token"): "token:address",
    ("/account/address/stop/{token}", "token"): "token:address-stop",
    ("/privacy/certificate/{order}", "order"): "order",
    ("/console/erasures/{id}", "id"): "order",
    ("/console/holds/{id}/lift", "id"): "hold",
    ("/console/requests/{id}", "id"): "request",
    ("/console/requests/{id}/prove", "id"): "request",
    ("/console/requests/{id}/extend", "id"): "request",
    ("/console/requests/{id}/refuse", "id"): "request",
    ("/console/requests/{id}/fulfil", "id"): "request",
    ("/receipts/{entry}", "entry"): "entry",
    ("/account/delegates/{delegate}/{point}", "delegate"): "delegate",
    ("/consent/receipts/{record}", "record"): "record",
    ("/console/approvals/{id}/give", "id"): "approval",
    ("/console/approvals/{id}/refuse", "id"): "approval",
    ("/console/imports/{id}/undo", "id"): "import",
    ("/console/operators/{id}/invite", "id"): "operator",
    ("/console/operators/{id}/end", "id"): "operator",
    ("/api/v1/subjects/{reference}", "reference"): "reference",
    ("/api/v1/rights/requests/{request}", "request"): "request",
    ("/console/campaigns/{id}", "id"): "campaign",
    ("/console/campaigns/{id}/write", "id"): "campaign",
    ("/console/campaigns/{id}/test", "id"): "campaign",
    ("/console/campaigns/{id}/begin", "id"): "campaign",
    ("/console/campaigns/{id}/pause", "id"): "campaign",
    ("/console/campaigns/{id}/resume", "id"): "campaign",
    ("/console/campaigns/{id}/stop", "id"): "campaign",
}
"""What stands in addresses and names somebody's thing."""

SIGNED = frozenset({"POST /api/v1/activity"})
"""What takes a signature besides the caller's key: 401 says there that it does not fit."""

SECRETS = frozenset(thing for thing in THINGS.values() if thing.startswith("token:"))
"""Whoever holds one of these may use it: here they are tried where they do not belong."""

FORMS: dict[str, dict[str, str]] = {
    "POST /forms/{point}": {"email": "@email", "name": "Ann Other", "consent": "yes"},
    "POST /confirm/{token}": {},
    "POST /privacy": {"email": "@email"},
    "POST /privacy/open/{token}": {},
    "POST /privacy/leave": {},
    "POST /privacy/object": {},
    "POST /privacy/withdraw/{purpose}": {},
    "POST /privacy/erase": {},
    "POST /privacy/visits/end": {},
    "POST /unsubscribe/{token}": {"List-Unsubscribe": "One-Click"},
    "POST /account/sign-in": {"email": "@email", "password": "a wrong phrase of words"},
    "POST /account/password": {"old": "a wrong phrase of words", "password": "x"},
    "POST /account/password/remove": {"old": "a wrong phrase of words"},
    "POST /account/password/reminder": {"wish": ""},
    "POST /account/sessions/end": {"session": "@session"},
    "POST /account/sessions/others": {},
    "POST /account/sign-in/passkey": {"ceremony": "00", "answer": "{}"},
    "POST /account/sign-in/code": {"ticket": "00", "code": "000000"},
    "POST /account/address": {"email": ""},
    "POST /account/address/confirm/{token}": {},
    "POST /account/address/stop/{token}": {},
    "POST /account/close": {},
    "POST /account/return": {},
    "POST /account/passkeys": {"ceremony": "00", "answer": "{}", "name": "A key"},
    "POST /account/passkeys/rename": {"passkey": "@passkey", "name": "Another name"},
    "POST /account/passkeys/remove": {"passkey": "@passkey"},
    "POST /account/second-factor": {"sealed": "00", "code": "000000"},
    "POST /account/second-factor/codes": {},
    "POST /account/second-factor/code": {"code": "000000"},
    "POST /account/second-factor/lost": {},
    "POST /account/second-factor/keep": {},
    "POST /account/second-factor/remove": {},
    "POST /account/delegates": {"email": "", "name": "", "own": "", "scope": ""},
    "POST /account/delegates/accept": {"delegate": "@delegate"},
    "POST /account/delegates/end": {"delegate": "@delegate"},
    "POST /account/delegates/{delegate}/{point}": {"seen": "00"},
    "POST /privacy/restrict": {"ground": ""},
    "POST /privacy/restrict/lift": {},
    "POST /privacy/restrict/keep": {},
    "POST /privacy/correct/{point}": {"seen": "00"},
    "POST /console/requests": {"kind": "", "road": "", "received": "", "email": "@email"},
    "POST /console/requests/{id}/prove": {"email": "@email", "how": ""},
    "POST /console/requests/{id}/extend": {"reason": ""},
    "POST /console/requests/{id}/refuse": {"reason": ""},
    "POST /console/requests/{id}/fulfil": {"ground": "", "purpose": ""},
    "POST /console/holds": {"email": "@email", "reason": "", "days": "30"},
    "POST /console/holds/{id}/lift": {},
    "POST /privacy/handover": {"token": "no.token"},
    "POST /privacy/handover/open": {"token": "no.token"},
    "POST /console/sign-in": {"name": "nobody-here", "password": "a wrong phrase of words", "code": "000000"},
    "POST /console/sign-in/passkey": {"ceremony": "00", "answer": "{}"},
    "POST /console/sign-out": {},
    "POST /console/invitation/{token}": {"sealed": "00", "password": "x", "code": "000000"},
    "POST /console/invitation/{token}/passkey": {"ceremony": "00", "answer": "{}"},
    "POST /console/approvals/{id}/give": {},
    "POST /console/approvals/{id}/refuse": {},
    "POST /console/operators": {"name": "", "role": ""},
    "POST /console/operators/{id}/invite": {},
    "POST /console/operators/{id}/end": {},
    "POST /console/people": {"kind": "email", "value": "@email", "purpose": "account", "reason": "They asked us to."},
    "POST /console/people/link": {"kind": "email", "value": "@email"},
    "POST /console/people/sessions": {"kind": "email", "value": "@email", "session": "@session"},
    "POST /console/imports/{id}/undo": {"why": "trial", "sure": "yes"},
    "POST /console/sessions/end": {"session": "@staff-session"},
    "POST /console/campaigns": {"template": "newsletter.issue", "subject": "", "source": ""},
    "POST /console/campaigns/{id}/write": {"subject": "", "source": ""},
    "POST /console/campaigns/{id}/test": {"email": "@email"},
    "POST /console/campaigns/{id}/begin": {"due": "no time"},
    "POST /console/campaigns/{id}/pause": {},
    "POST /console/campaigns/{id}/resume": {},
    "POST /console/campaigns/{id}/stop": {},
    "POST /console/account/password": {"old": "a wrong phrase of words", "password": "x"},
    "POST /console/account/passkey": {"ceremony": "00", "answer": "{}"},
    "POST /console/account/sessions": {},
}
"""What each form holds; ``@thing`` is the name of somebody's thing. Values are such that nothing is done."""

MEMBERS: dict[str, Any] = {
    "reference": "@reference",
    "email": "@email",
    "addresses": ["@email"],
    "active": False,
    "signed": "no.token",
    "purpose": "account",
    "kind": "access",
    "on_behalf": None,
    "fields": ["email"],
    "channel": None,
    "language": "en",
    "point": "newsletter",
    "surface": "site:www",
    "values": {"name": "Ann Other", "email": "@email"},
    "consents": ["newsletter"],
    "version": None,
    "notice": None,
}
"""The same for the members of the interface's bodies, by their names in the OpenAPI document."""

CHANCE = re.compile(
    r"\d+ [A-Za-z0-9+/]{43}=|[0-9a-f]{32,}|[A-Za-z0-9_-]{43}|nonce=\"[^\"]*\"|\"at\":\d+|data-options=\"[^\"]*\""
)
"""What differs between two answers that are the same: ids, tokens, times, the newest checkpoint."""


def path_of(route: Route[Any]) -> str:
    """The route's address without convertors."""
    return re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)


def told(route: Route[Any]) -> str:
    """The route as the tables name it."""
    return f"{route.method} {path_of(route)}"


def names_in(route: Route[Any]) -> list[str]:
    """The names in its address."""
    return re.findall(r"\{(\w+)\}", path_of(route))


def scope_of(route: Route[Any]) -> str:
    """The scope that it must have."""
    return SCOPE_OF[told(route)]


class Matrix:
    """Asks everything of one world, and says what is not as it must be."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.system = world.vendor.system
        self.shell = self.system.shell
        self.asking = Asking(self.shell)
        made = document(self.system.policy, self.shell.table.routes, title="", url="")
        self.paths: dict[str, Any] = made["paths"]
        self.schemas: dict[str, Any] = made["components"]["schemas"]

    def close(self) -> None:
        """End asking."""
        self.asking.close()

    # --- what is known of the routes ---

    def untold(self) -> Iterator[str]:
        """What the tables do not say about a route that there is, or say about one that there is not."""
        routes = self.shell.table.routes
        forms = {told(route) for route in routes if route.kind != "api" and route.changes}
        places = {(path_of(route), name) for route in routes for name in names_in(route)}
        yield from (f"{route}: who may come?" for route in {told(route) for route in routes} - set(SCOPE_OF))
        yield from (f"{route} is not there" for route in set(SCOPE_OF) - {told(route) for route in routes})
        yield from (f"{path}: what does {name} name?" for path, name in places - {*NAMES, *THINGS})
        yield from (f"{path} has no {name}" for path, name in {*NAMES, *THINGS} - places)
        yield from (f"{form}: what does its form hold?" for form in forms - set(FORMS))
        yield from (f"{form} is no form" for form in set(FORMS) - forms)
        documented = {f"{method.upper()} {path}" for path, methods in self.paths.items() for method in methods}
        interface = {told(route) for route in routes if route.kind == "api"}
        yield from (f"{route} stands in the document or in the table alone" for route in documented ^ interface)

    def body(self, route: Route[Any]) -> dict[str, Any] | None:
        """An interface's body, member by member as the document has it; None where it takes none."""
        operation = self.paths[path_of(route)][route.method.lower()]
        if "requestBody" not in operation:
            return None
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        schema = next((each for each in schema.get("oneOf", [schema]) if each.get("title") != "registration"), schema)
        if "$ref" in schema:
            schema = self.schemas[schema["$ref"].rpartition("/")[2]]
        members = {name: MEMBERS[name] for name in schema["properties"]}  # a KeyError: what does this member name?
        return {name: value for name, value in members.items() if value is not None}

    # --- asking ---

    def ask(
        self, route: Route[Any], caller: Caller, named: Mapping[str, str], *, csrf: bool = True, host: str = ""
    ) -> Answer:
        """The route asked by a caller about the things that ``named`` gives names for."""
        path = path_of(route)
        for name in names_in(route):
            thing = THINGS.get((path_of(route), name))
            path = path.replace("{" + name + "}", named[thing] if thing else NAMES[path_of(route), name])
        about: dict[str, Any] = {"host": host or self.world.host, "headers": dict(caller.headers)}
        if route.kind == "api":
            about["json"] = fill(self.body(route), named)
        elif route.changes:
            about["form"] = fill(FORMS[told(route)], named)
            if caller.csrf and csrf:
                about["form"] |= {"csrf_token": caller.csrf}
        return self.asking.ask(route.method, path, **about)

    def things_of(self, route: Route[Any]) -> set[str]:
        """Somebody's things that the address or the body names."""
        places = [(path_of(route), name) for name in names_in(route)]
        found = {THINGS[place] for place in places if place in THINGS}
        content = self.body(route) if route.kind == "api" else FORMS.get(told(route))
        return found | {text.removeprefix("@") for text in texts(content) if text.startswith("@")}

    # --- what must be ---

    def expected(self, route: Route[Any], caller: Caller) -> tuple[int, str] | None:
        """The refusal that this caller must get; None where they may come."""
        scope = scope_of(route)
        if scope == "public" or caller.name in MAY[scope]:
            return None
        kind = scope.partition(":")[0]
        if caller.name in MAY.get(kind, ()):
            return STALE if kind == "person" else ROLE
        return SHUT[kind]

    def faults(self) -> Iterator[str]:
        """Everything that is not as it must be. Where the tables lack something, nobody is asked anything."""
        lacking = list(self.untold())
        yield from lacking
        if lacking:
            return
        for caller in self.world.callers.values():  # that they were seen is noted once a minute: not below
            for path in ("/account", "/console"):
                self.asking.ask("GET", path, host=self.world.host, headers=caller.headers)
        before = self.world.vendor.everything()
        yield from self.refusals()
        now = self.world.vendor.everything()
        yield from (f"{name} was changed by somebody who was refused" for name in before if before[name] != now[name])
        yield from self.welcomes()
        yield from self.hints()

    def guarded(self) -> Iterator[Route[Any]]:
        """The routes that somebody has to prove themselves for."""
        yield from (route for route in self.shell.table.routes if scope_of(route) != "public")

    def refusals(self) -> Iterator[str]:
        """Whoever may not come: the same refusal, whatever they ask about."""
        theirs, nobodys = self.world.theirs | self.secrets(), self.nobodys()
        for route in self.guarded():
            for caller in self.world.callers.values():
                wanted = self.expected(route, caller)
                if wanted is None:
                    continue
                cell = f"{route.method} {route.path} for {caller}"
                answers = [self.ask(route, caller, named) for named in (theirs, nobodys)]
                for answer in answers:
                    if (answer.status, answer.problem or answer.place) != wanted:
                        yield f"{cell}: {answer.status} {answer.problem or answer.place}, not {wanted}"
                if answers[0].body != answers[1].body:
                    yield f"{cell}: what is somebody's reads otherwise than what is nobody's"
                yield from (f"{cell}: {told}" for told in self.tells(answers[0], theirs, route))

    def welcomes(self) -> Iterator[str]:
        """Whoever may come gets in; and who sends a form without the token of their session does nothing."""
        mine = self.nobodys() | self.world.mine
        for route in self.guarded():
            for caller in self.world.callers.values():
                if self.expected(route, caller) is not None:
                    continue
                cell = f"{route.method} {route.path} for {caller}"
                if scope_of(route).startswith("product"):
                    answer = self.ask(route, caller, mine)
                    if answer.status in (401, 403) and told(route) not in SIGNED:
                        yield f"{cell}: {answer.status} {answer.problem}, and may come"
                elif route.changes:
                    answer = self.ask(route, caller, mine, csrf=False)
                    if answer.problem != "cross-site":
                        yield f"{cell}: without its session's token {answer.status} {answer.problem}"
                elif (answer := self.ask(route, caller, mine)).status != 200:
                    yield f"{cell}: {answer.status} {answer.problem or answer.place}, and may come"

    def hints(self) -> Iterator[str]:
        """Whoever may come, asking about somebody else's things: the answer, and the work, as for nobody's."""
        for route in self.shell.table.routes:
            for thing in sorted(self.things_of(route)):
                if not self.world.apart and (scope_of(route), thing) in WITHIN:
                    continue
                for caller in self.world.callers.values():
                    if scope_of(route) == "public" and caller.name not in ("nobody", "link", "administrator"):
                        continue
                    if self.expected(route, caller) is None:
                        yield from self.compare(route, caller, thing)

    def compare(self, route: Route[Any], caller: Caller, thing: str) -> Iterator[str]:
        """One thing, somebody's and nobody's."""
        nobodys = self.nobodys()
        for name, value in self.foreign(thing):
            cell = f"{route.method} {route.path} for {caller}, {name}"
            answers, work = [], []
            for named in ({**nobodys, thing: value}, nobodys):
                with counting(self.system) as seen:
                    answers.append(self.ask(route, caller, named))
                work.append(seen)
            plain = [shape(answer, of) for answer, of in zip(answers, (value, nobodys[thing]), strict=True)]
            if plain[0] != plain[1]:
                yield f"{cell}: {plain[0]} and for nobody's {plain[1]}"
            if work[0] != work[1]:
                yield f"{cell}: it takes other work ({work[0]}) than nobody's ({work[1]})"
            yield from (f"{cell}: {told}" for told in self.tells(answers[0], {thing: value}, route))

    def foreign(self, thing: str) -> Iterator[tuple[str, str]]:
        """Names of things that this caller has nothing to do with: another's, or a proof of another kind."""
        if thing in SECRETS:
            signed = "token:handover"  # of another form than the others: work that shows the form shows nothing else
            kinds = [k for k in self.world.theirs if k.startswith("token") and (k == signed) == (thing == signed)]
            yield from ((kind, self.world.theirs[kind]) for kind in kinds if kind != thing or self.world.apart)
        else:
            yield thing, self.world.theirs[thing]

    def secrets(self) -> dict[str, str]:
        """A token for every place that takes one: nobody's, where Ben has none of the kind."""
        return {thing: self.world.nobodys("token:centre") for thing in SECRETS if thing not in self.world.theirs}

    def nobodys(self) -> dict[str, str]:
        """A name of every thing that is nothing's."""
        kinds = {*self.world.theirs, *SECRETS}
        return {thing: self.world.nobodys(thing if thing in self.world.theirs else "token:centre") for thing in kinds}

    def tells(self, answer: Answer, named: Mapping[str, str], route: Route[Any]) -> Iterator[str]:
        """What an answer must not hold: anything of Ben's, and in a refusal not even the name it was asked by."""
        asked = set(named.values())
        held = answer.body + " ".join(answer.headers.values())
        if any(marker in held for marker in self.world.markers - asked):
            yield "it tells of somebody else"
        if answer.problem and any(value in held for value in asked):
            yield "the refusal repeats what was asked"


def texts(content: Any) -> Iterator[str]:
    """Every text in a body."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from texts(value)
    elif isinstance(content, list):
        for value in content:
            yield from texts(value)


def fill(content: Any, named: Mapping[str, str]) -> Any:
    """A body with the names put in."""
    if isinstance(content, str):
        return named[content[1:]] if content.startswith("@") else content
    if isinstance(content, Mapping):
        return {name: fill(value, named) for name, value in content.items()}
    return [fill(value, named) for value in content] if isinstance(content, list) else content


def shape(answer: Answer, name: str) -> tuple[int, str, str, str]:
    """An answer without what chance, or the name that was asked by, puts into it."""
    body = CHANCE.sub("·", answer.body.replace(name, "·"))
    return answer.status, answer.problem, answer.place.replace(name, "·"), body
