"""``POST /c``: where pages say that they were visited. A bare ASGI callable in front of the framework.

Answered 204 once the visit is durable, and 204 as well where it is not counted, so that no page can tell. In this
order: size, form, origin, host; then what ends it without a trace (a program, a page fetched ahead); then the rate, and
the members, of which each must be declared; then the browser's choice. The address of the caller lives in this
function: it becomes a country and a keyed hash and is kept by nothing. Clauses: ``collect.navigation``,
``collect.ip-location``, ``cookies.returning-visit``, ``consent.gpc``. Mechanisms: ``count.visits``,
``count.address``, ``count.returning``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from troth.client.website import jar
from troth.collect.country import Locations, country_of
from troth.collect.visits.agents import device_of, is_bot
from troth.collect.visits.counting import Visit
from troth.collect.visits.rules import Rules
from troth.collect.visits.visits import Visits
from troth.errors import BadRequest, CrossSite, Denied, Invalid, NotAllowed, TrothError, Undeclared, Unsupported
from troth.policy import cutting
from troth.policy.choices import VISITOR, Choice, choices
from troth.policy.site import named
from troth.rights.visitors import Visitors
from troth.web import cookies, problems, security
from troth.web.rates import Rates, network
from troth.web.routes import Limit
from troth.web.system import System

PATH = "/c"
MOST = 2_048  # bytes of a message: a path, a host and two names
FORMS = (b"text/plain", b"application/json")  # what sendBeacon and fetch send without asking first
RATE = Limit(600, 60)  # one address, which may be an office's
BEGINNING = Limit(60, 60)  # browsers that agree: each is given keys of its own
AHEAD = (b"prefetch", b"prerender")
NO_CONTENT = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))

Told = tuple[int, list[tuple[bytes, bytes]], bytes]  # status, headers, body
Answer = Callable[[int, list[tuple[bytes, bytes]], bytes], None]

log = logging.getLogger("troth.web")
_decode = msgspec.json.Decoder(dict[str, str]).decode


class Counted(System, Protocol):
    """What the collector needs of the running system."""

    @property
    def visits(self) -> Visits:
        """Where visits are counted."""
        ...

    @property
    def visitors(self) -> Visitors:
        """Who agreed, and their rights."""
        ...

    @property
    def locations(self) -> Locations | None:
        """The operator's file of locations."""
        ...


class Flag:
    """The cookie of one version that holds a choice, and what each of its values means."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.choices = choices(rules.policy)
        self.known = {value: self.choices.read(value) for value in self.choices.values()}

    def read(self, sent: str, signal: str, *, tls: bool) -> Choice:
        """What a browser chose, by its cookies and its signal."""
        value = jar.sent_value(sent, self.choices.cookie, tls=tls) if sent else None
        return self.known.get(value or "") or self.choices.read(value, signal)


class Collector:
    """Answers ``/c`` and hands everything else on."""

    def __init__(self, system: Counted, inner: ASGIApp, count: Callable[[int], None]) -> None:
        self.system = system
        self.inner = inner
        self.count = count  # is told the status of each answer, for the metrics
        self.rates = Rates(system.clock, system.randomness)
        self.tasks: set[asyncio.Task[None]] = set()  # steps under way: a loop holds its tasks but weakly
        self._flag: Flag | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI scope."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self.inner(scope, receive, send)
            return
        told: asyncio.Future[Told] = asyncio.get_running_loop().create_future()

        def answer(*about: Any) -> None:
            if not told.done():  # whoever waited may have gone
                told.set_result(about)

        try:
            body = await read(receive)
        except TrothError as error:
            self.end(answer, None, error)
        else:
            self.prompt(scope, body, answer)
        status, headers, said = await told
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": said})

    def prompt(self, scope: Scope, body: bytes, answer: Answer) -> None:
        """Count one message. ``answer`` is called once: when the visit is durable, or is not counted."""
        try:
            heard = self.hear(scope, body)
            if isinstance(heard, Visit):
                self.system.visits.put(heard, partial(self.end, answer, None))
                return
        except Exception as fault:
            self.end(answer, None, fault)
            return
        if heard is None:
            self.end(answer, None, None)
            return
        task = asyncio.get_running_loop().create_task(self.wait(heard, answer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def wait(self, heard: Coroutine[Any, Any, bytes | None], answer: Answer) -> None:
        """What takes more than a visit: a yes for the first time, or one taken back."""
        fresh, fault = None, None
        try:
            fresh = await heard
        except Exception as problem:
            fault = problem
        self.end(answer, fresh, fault)

    def end(self, answer: Answer, fresh: bytes | None, fault: BaseException | None) -> None:
        """Answer: 204, with the cookie that a browser is to keep if it has just agreed to one; or the refusal."""
        headers = [*NO_CONTENT]
        status, body = 204, b""
        if isinstance(fault, TrothError):
            status, body = refused(fault, headers)
        elif fault is not None:  # the rim, as in the shell: an incident without a personal value
            status, body = refused(problems.record(fault), headers)
        elif fresh is not None:
            headers.append((b"set-cookie", fresh))
        self.count(status)
        answer(status, headers, body)

    def hear(self, scope: Scope, body: bytes) -> Visit | Coroutine[Any, Any, bytes | None] | None:
        """What one message comes to: a visit, or nothing, or steps that end with a cookie or none."""
        if scope["method"] != "POST":
            raise NotAllowed("this address takes POST and nothing else", methods=("POST",))
        headers: dict[bytes, bytes] = dict(scope["headers"])
        check_form(headers)
        host = headers.get(b"host", b"").decode("latin-1").lower()
        check_origin(headers, host)
        rules = self.system.visits.rules()
        name = named(host)
        surface = rules.surfaces.get(name) if rules else None
        if rules is None or surface is None:
            raise Denied(
                "this host belongs to no surface of the policy, so no visit is counted on it",
                clause="scope.services",
                gaps=("surface",),
            )
        agent = headers.get(b"user-agent", b"").decode("latin-1")
        if is_bot(agent) or ahead(headers):
            return None
        config = self.system.config
        peer = scope["client"][0] if scope.get("client") else ""
        forwarded = headers.get(b"x-forwarded-for", b"").decode("latin-1")
        address = security.address_behind(peer, forwarded, config.trusted_proxies)
        net = network(address)
        self.rates.hit(PATH, net, RATE)
        said = message(body, rules)
        tls = scope["scheme"] == "https" or (
            peer in config.trusted_proxies and headers.get(b"x-forwarded-proto") == b"https"
        )
        sent = headers.get(b"cookie", b"").decode("latin-1")
        signal = headers.get(b"sec-gpc", b"").decode("latin-1")
        choice = self.flag(rules).read(sent, signal, tls=tls)
        token = jar.sent_value(sent, VISITOR, tls=tls) if sent else None
        return self.counted(rules, surface, net, address, agent, said, token, choice, name, headers, tls=tls)

    def counted(
        self,
        rules: Rules,
        surface: str,
        net: str,
        address: str,
        agent: str,
        said: dict[str, str],
        token: str | None,
        choice: Choice,
        host: str,
        headers: dict[bytes, bytes],
        *,
        tls: bool,
    ) -> Visit | Coroutine[Any, Any, bytes | None] | None:
        """Count a message in the tiers that the policy and this browser's choice leave open."""
        visits = self.system.visits
        agreed = rules.ask is not None and rules.ask.purpose in choice.granted
        summed = rules.count is not None and surface in rules.count.surfaces
        if choice.decided and not agreed:  # a refusal, or the signal: neither tier
            if choice.by_signal or not token:
                return None
            return self.withdrawn(token, tls=tls)
        if headers.get(b"sec-gpc") == b"1":
            summed = False  # a later yes lets itself be followed; nothing else is done on the signal's day

        def visit(sid: bytes | None) -> Visit | None:
            if not summed and sid is None:
                return None
            now = visits.store.now()  # not before a consent that was recorded just now
            who = b""
            if summed:
                who = visits.who(now, surface, net, agent)
            elif rules.count is None and sid is not None:
                who = visits.who(now, surface, "", sid.hex())  # only those who agreed are counted at all
            referrer = cutting.host(said.get("referrer", ""))
            return Visit(
                now,
                surface,
                who,
                sid,
                said["page"],
                "" if referrer == host else referrer,
                cutting.label(said.get("campaign", "")),
                said.get("event", ""),
                country_of(self.system.locations, address) if self.system.locations is not None else "",
                device_of(agent),
            )

        if agreed and rules.view is not None and surface in rules.view.surfaces:
            if token:
                return visit(visits.sid_of(token))
            fresh = self.cookie(rules, token := cookies.token(self.system.randomness), tls=tls)
            if fresh is not None:
                self.rates.hit(f"{PATH} begin", net, BEGINNING)
                return self.begun(surface, token, language(headers), visit, fresh)
        return visit(None)

    async def begun(
        self, surface: str, token: str, language: str, visit: Callable[[bytes | None], Visit | None], fresh: bytes
    ) -> bytes:
        """A browser's first visit after its yes; returns the cookie that it is to keep."""
        first = visit(await self.system.visits.begin(surface, token, language))
        if first is not None:
            await self.system.visits.take(first)
        return fresh

    async def withdrawn(self, token: str, *, tls: bool) -> bytes:
        """The yes was taken back; returns what makes the browser forget its cookie."""
        await run_in_threadpool(self.system.visitors.withdraw, token)
        return jar.make(VISITOR, "", seconds=0, tls=tls).encode()

    def flag(self, rules: Rules) -> Flag:
        """The flag of the version in force."""
        if self._flag is None or self._flag.rules is not rules:
            self._flag = Flag(rules)
        return self._flag

    def cookie(self, rules: Rules, token: str, *, tls: bool) -> bytes | None:
        """The Set-Cookie of a visitor, if the policy declares one, as the cookie filter lets it pass."""
        rule = rules.policy.cookies.get(VISITOR)
        if rule is None or rule.lasts is None:
            return None
        header = jar.make(VISITOR, token, seconds=cookies.life_seconds(rule), tls=tls)
        fault = cookies.refused(header, rules.policy, {token}, tls=tls)
        if fault:
            log.error("the visitor's cookie was not set: %s", fault)
            return None
        return header.encode()


async def read(receive: Receive) -> bytes:
    """The body, no longer than it may be."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MOST:
            raise security.too_large()
    return body


def check_form(headers: dict[bytes, bytes]) -> None:
    """A message comes in one of the forms that are read."""
    form = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if form not in FORMS:
        raise Unsupported("a visit is said as text/plain or application/json")


def check_origin(headers: dict[bytes, bytes], host: str) -> None:
    """Only a page of this very host says that it was visited: elsewhere the choice of its visitor is not to be seen."""
    site = headers.get(b"sec-fetch-site")
    origin = headers.get(b"origin", b"").decode("latin-1").lower()
    if site not in (None, b"same-origin") or origin.partition("://")[2] != host or not host:
        raise CrossSite("a visit is said by the page that was visited, to the host that it came from")


def message(body: bytes, rules: Rules) -> dict[str, str]:
    """The members of a message, cut. ``Undeclared`` names the clause that would have to declare another one."""
    try:
        said = _decode(body)
    except msgspec.ValidationError:
        raise Invalid("a visit is an object whose members are texts", clause=rules.clause) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadRequest("the message is no JSON") from None
    if not rules.said.issuperset(said):
        raise Undeclared(
            f"members of the message are not declared: declare them in clause {rules.clause}, or do not send them",
            clause=rules.clause,
            gaps=tuple(f"field:{name[:64]}" for name in sorted(set(said) - rules.said)[:5]),
        )
    page = cutting.path(said.get("page", ""))
    if not page:
        raise Invalid("a visit names its page", clause=rules.clause, gaps=("/page: required",))
    said["page"] = page
    if said.get("event"):
        said["event"] = cutting.event(said["event"])
        if not said["event"]:
            raise Invalid("an event has a name of plain words", clause=rules.clause, gaps=("/event: text",))
    return said


def ahead(headers: dict[bytes, bytes]) -> bool:
    """Whether nobody looks at the page yet: a browser fetches or draws it in advance."""
    purpose = headers.get(b"sec-purpose") or headers.get(b"purpose")
    return purpose is not None and any(word in purpose.lower() for word in AHEAD)


def language(headers: dict[bytes, bytes]) -> str:
    """The language that the browser asks for first, for the record of the consent."""
    first = headers.get(b"accept-language", b"").decode("latin-1").partition(",")[0].partition(";")[0].strip()
    return first[:8] if first.replace("-", "").isalnum() else "en"


def refused(error: TrothError, headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    """A refusal as problem+json: its status and body; its headers are added."""
    headers.append((b"content-type", problems.PROBLEM.encode()))
    headers += [(name.encode(), value.encode()) for name, value in problems.extra_headers(error).items()]
    return error.status, msgspec.json.encode(problems.problem(error))
