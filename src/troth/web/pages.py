"""Pages for people: Jinja2 templates, always escaped, words from the catalogue, no script needed.

``page(request, "name.html", **context)`` is all that a handler calls. Every template also finds: ``t(key, **values)``
(a text), ``href(path)`` (a link that keeps the chosen language), ``site`` (``Site``), ``visit`` (``Visit``),
``date(ms)``, ``moment(ms)``, ``ago(ms)``, ``label(field_name, category)``, ``named(kind, id)``,
``nonce()`` (asking for it allows the page one script of our own), ``now`` (UTC milliseconds), ``inline(file)`` and
``csrf()`` (the hidden field of a signed-in caller's form, empty for anybody else).

The templates and what they are given (types in ``troth.web.views``):

- ``home.html``: ``cards: Sequence[Card]`` (what one can do here).
- ``policy.html``: ``body: Markup`` (the rendered prose), ``versions: Sequence[VersionView]``, ``prose_language: str``.
- ``versions.html``: ``versions``. ``clause.html``: ``clause: ClauseView``.
- ``form.html``: ``form: FormView`` (made by ``forms.form_view`` from the policy's own declaration).
- ``check-mail.html``: ``title_key``, ``text_key``, both optional; never the address.
- ``confirm.html``: ``action``, ``title_key``, ``text_key``, ``submit_key``, ``hidden: dict[str, str]``,
  ``danger: bool``.
- ``done.html``: ``title_key``, ``text_key``, ``values: dict`` for the text, ``links: Sequence[Card]``.
- ``privacy/request.html``: ``action``, ``errors: Sequence[FieldError]`` (ask for the link to one's own centre).
- ``privacy/home.html``: ``person: PersonView`` (everything held, purposes, keeping, recipients, consents, requests).
- ``privacy/copy.html``: ``person`` (the copy to keep: no link, no form).
- ``privacy/object.html``: ``action``, ``purposes: Sequence[Choice]``. ``privacy/erase.html``: ``action``,
  ``plan: Sequence[PlannedLine]``, ``consequences: Sequence[str]`` (catalogue keys). ``privacy/receipts.html``:
  ``receipts: Sequence[ReceiptView]``.
- ``account/sign-in.html``: ``errors``, ``address``, ``again``. ``account/home.html``: ``since_ms``, ``can_set``,
  ``has_account``, ``ask_old``, ``sessions: Sequence[SessionView]``, ``looks: Sequence[LookView]``,
  ``done`` (a catalogue key or ""), ``errors``, ``outlook: Outlook``, ``closable``.
- ``privacy/correct.html``: ``cards`` or ``correct: CorrectView``, ``errors``. ``account/address.html``: ``action``,
  ``address``, ``waits: (asked, until) | None``, ``errors``. ``account/close.html``: ``action``, ``outlook: Outlook``,
  ``follows: Sequence[FollowsView]``, ``letter: bool``, ``errors``.
- ``account/delegates.html``: ``given`` and ``held: Sequence[DelegateView]``, ``scopes``, ``lasts``, ``typed``,
  ``errors``, ``done``. ``account/delegate.html``: ``correct: CorrectView``, ``held`` (label, value), ``whose``,
  ``acts: bool``, ``action``, ``until_ms``, ``errors``, ``done``.
- ``evidence/board.html``: ``board: BoardView``. ``evidence/verify.html``: ``log`` with ``origin``, ``key``,
  ``fingerprint``, ``size``.
- ``error.html``: ``problem: Problem``, ``text_key``, ``gaps: Sequence[ShownGap]``.
- ``console/…``: see ``troth.web.console``.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from troth.config import Place
from troth.notice.controllers import controller, in_name_of
from troth.policy.choices import site_asks
from troth.policy.model import CompiledPolicy
from troth.policy.writing import direction
from troth.web import language
from troth.web.catalogue import Catalogue
from troth.web.routes import Caller
from troth.web.security import CSRF_FIELD, content_policy
from troth.web.static import Static
from troth.web.system import System

TEMPLATES = Path(__file__).parent / "templates"
HTML = "text/html; charset=utf-8"
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


@dataclass(frozen=True)
class Site:
    """What the furniture of every page says."""

    name: str
    contact: str
    country: str
    version: str
    effective: str
    language: str
    demonstration: bool
    checkpoint: str
    processor: str = ""  # who runs the system for a tenant, where the page speaks for one
    asks: bool = False  # whether there are choices to make


class Visit:
    """One request as the pages see it. Everything is computed when first asked for."""

    def __init__(self, request: Request, pages: Pages, system: System, *, tls: bool) -> None:
        self.request = request
        self.pages = pages
        self.system = system
        self.tls = tls
        self.caller: Caller | None = None
        self.nonce = ""
        self._language = ""

    @cached_property
    def place(self) -> Place:
        """In whose name this is answered: of the host that the request came to."""
        return self.system.config.place(self.request.headers.get("host", ""))

    @property
    def policy(self) -> CompiledPolicy:
        """The version in force, in the name of whoever answers here."""
        who = self.place.controller
        return in_name_of(self.system.policy, None if who is None else controller(who))

    @property
    def asked(self) -> str:
        """The language in ``?lang=``, if it is one we speak; links keep it."""
        asked = self.request.query_params.get("lang", "")
        return asked if asked in self.pages.catalogue.languages else ""

    @property
    def language(self) -> str:
        """The language this page is in."""
        if not self._language:
            self._language = self.pages.catalogue.negotiate(
                self.asked or language.remembered(self.request, self.system.policy, tls=self.tls) or None,
                self.request.headers.get("accept-language", ""),
                self.system.policy.language,
            )
        return self._language

    @property
    def direction(self) -> str:
        """``ltr`` or ``rtl``."""
        return direction(self.language)

    @property
    def path(self) -> str:
        """The page's own path."""
        return str(self.request.scope["path"])

    def new_nonce(self) -> str:
        """The nonce of this answer's one script; once asked for, the page's policy carries it."""
        if not self.nonce:
            self.nonce = base64.b64encode(self.system.randomness.bytes(16)).decode()
        return self.nonce

    def href(self, path: str) -> str:
        """``path`` with the chosen language kept; addresses elsewhere stay as they are."""
        if not self.asked or not path.startswith("/"):
            return path
        return with_query(path, lang=self.asked)

    def in_language(self, language: str) -> str:
        """The same page in another language."""
        return with_query(self.path, lang=language)

    def site(self) -> Site:
        """The furniture's facts."""
        policy, config = self.policy, self.system.config
        return Site(
            name=policy.controller.name,
            contact=policy.controller.contact,
            country=policy.controller.country,
            version=policy.version,
            effective=policy.effective,
            language=policy.language,
            demonstration=config.demonstration,
            checkpoint=self.system.checkpoint,
            processor=self.system.policy.controller.name if self.place.controller else "",
            asks=bool(site_asks(policy)),
        )


def with_query(path: str, **values: str) -> str:
    """``path`` with these query parameters set."""
    parts = urlsplit(path)
    query = {**dict(parse_qsl(parts.query)), **values}
    return parts._replace(query=urlencode(query)).geturl()


class Pages:
    """The templates and the catalogue, compiled once."""

    def __init__(self, catalogue: Catalogue, static: Static, folders: Sequence[Path] = ()) -> None:
        """``folders`` are searched before ours, so that a vendor can lay its own templates over them."""
        self.catalogue = catalogue
        self.environment = Environment(
            loader=FileSystemLoader([*folders, TEMPLATES]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self.environment.globals["asset"] = static.address
        self.environment.globals["inline"] = static.inline

    def render(self, visit: Visit, name: str, context: Mapping[str, Any]) -> str:
        """The page as HTML."""
        language, now = visit.language, visit.system.clock.now()
        words = Words(self.catalogue, language)
        caller = visit.caller
        return self.environment.get_template(name).render(
            {
                "t": words,
                "label": words.label,
                "named": words.named,
                "date": words.date,
                "moment": words.moment,
                "ago": lambda ms: words.ago(ms, now),
                "href": visit.href,
                "nonce": visit.new_nonce,
                "csrf": lambda: csrf_field(caller),
                "visit": visit,
                "now": now,
                "site": visit.site(),
                "languages": self.catalogue.languages,
                **context,
            }
        )


def csrf_field(caller: Caller | None) -> Markup:
    """The hidden field that a signed-in caller's form must carry."""
    if caller is None or not caller.csrf:
        return Markup("")
    return Markup('<input type="hidden" name="{}" value="{}">').format(CSRF_FIELD, caller.csrf)


class Words:
    """The catalogue in one language; called as ``t(key, **values)`` in templates."""

    def __init__(self, catalogue: Catalogue, language: str) -> None:
        self.catalogue = catalogue
        self.language = language

    def __call__(self, key: str, /, **values: object) -> Markup:
        """The text, escaped, its values too."""
        return self.catalogue.html(self.language, key, **values)

    def label(self, name: str, category: str = "") -> str:
        """What a declared field is called: by its name, else by its category, else its name made readable."""
        for key in (f"field.{name}", f"category.{category}"):
            if self.catalogue.has(key):
                return self.catalogue.text(self.language, key)
        return name.replace("_", " ").replace(".", " ").strip().capitalize()

    def named(self, kind: str, name: str) -> str:
        """What a declared thing is called (``purpose.account``); its id made readable where the catalogue is silent."""
        key = f"{kind}.{name}"
        if self.catalogue.has(key):
            return self.catalogue.text(self.language, key)
        return name.replace("_", " ").replace("-", " ").strip().capitalize()

    def listed(self, parts: Sequence[str]) -> str:
        """The parts in a row, with this language's comma."""
        return self.catalogue.text(self.language, "list.comma").join(parts)

    def date(self, when: int | str) -> Markup:
        """A day, from UTC milliseconds or an ISO date, as a ``<time>``."""
        day = dt.date.fromisoformat(when) if isinstance(when, str) else instant(when).date()
        return Markup('<time datetime="{}">{}</time>').format(day.isoformat(), self._day(day))

    def moment(self, ms: int) -> Markup:
        """A day and a time of day (UTC), as a ``<time>``."""
        at = instant(ms)
        shown = self.catalogue.text(
            self.language, "date.moment", day=self._day(at.date()), time=at.strftime("%H:%M:%S")
        )
        return Markup('<time datetime="{}">{}</time>').format(at.strftime("%Y-%m-%dT%H:%M:%SZ"), shown)

    def ago(self, ms: int, now: int) -> Markup:
        """How long ago, in the largest whole unit, as a ``<time>`` that also holds the exact moment."""
        passed = max(0, now - ms)
        if passed < MINUTE:
            words = self.catalogue.text(self.language, "date.now")
        else:
            unit, size = next(
                (unit, size) for unit, size in (("days", DAY), ("hours", HOUR), ("minutes", MINUTE)) if passed >= size
            )
            words = self.catalogue.text(self.language, f"date.ago.{unit}", count=passed // size)
        exact = instant(ms).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(exact, words)

    def _day(self, day: dt.date) -> str:
        month = self.catalogue.text(self.language, f"date.month.{day.month}")
        return self.catalogue.text(self.language, "date.day", day=day.day, month=month, year=day.year)


def instant(ms: int) -> dt.datetime:
    """UTC milliseconds as an aware datetime."""
    return dt.datetime.fromtimestamp(ms / 1000, tz=dt.UTC)


def page(request: Request, name: str, /, *, status: int = 200, **context: Any) -> Response:
    """Render ``templates/<name>`` in the caller's language. ``context`` is what the module's docstring lists."""
    visit: Visit = request.state.visit
    html = visit.pages.render(visit, name, context)
    headers = {"content-language": visit.language, "vary": "Accept-Language"}
    if visit.nonce:
        headers["content-security-policy"] = content_policy(visit.nonce)
    return Response(html, status, headers, HTML)


def see_other(request: Request, path: str) -> Response:
    """303 to ``path`` on this site, keeping the chosen language: the answer to a form that did its work."""
    visit: Visit = request.state.visit
    if not path.startswith("/") or path.startswith("//"):
        raise ValueError("only paths of this site: nothing redirects elsewhere")
    return Response(status_code=303, headers={"location": visit.href(path)})


def text(request: Request, key: str, /, **values: object) -> str:
    """A catalogue text in the caller's language, in plain characters."""
    visit: Visit = request.state.visit
    return visit.pages.catalogue.text(visit.language, key, **values)
