"""What every request goes through: routes, headers, limits, origins, errors that tell no more than they should."""

from __future__ import annotations

import logging
import re
from typing import Any

import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tests.web import vendor
from tests.web.conftest import Open
from tests.web.gallery import SAMPLES
from tests.web.vendor import Standing
from tests.web.visitor import Visitor
from troth.errors import Busy, Denied, TooMany, TrothError, Unavailable, Unknown
from troth.web import cookies
from troth.web.app import build
from troth.web.bodies import json_answer, read_declared, read_form, read_json
from troth.web.pages import see_other
from troth.web.routes import Caller, Group, Limit, Route, RouteTable
from troth.web.security import client_address, content_policy, origin_of
from troth.web.static import FOLDER

MARKER = "zq9-marker-ann.lee@example.org"


class Note(msgspec.Struct, forbid_unknown_fields=True):
    """A body with a shape."""

    title: str
    count: int = 0


async def echo(request: Request, system: Standing) -> Response:
    note = await read_json(request, Note)
    return json_answer(note)


async def declared(request: Request, system: Standing) -> Response:
    schema = {
        "type": "object",
        "required": ["name", "email"],
        "additionalProperties": False,
        "properties": {"name": {"type": "string"}, "email": {"type": "string", "format": "email"}},
    }
    return json_answer(await read_declared(request, schema))


async def form(request: Request, system: Standing) -> Response:
    return json_answer((await read_form(request)).single())


async def away(request: Request, system: Standing) -> Response:
    return see_other(request, request.query_params["to"])


async def broken(request: Request, system: Standing) -> Response:
    raise RuntimeError(f"could not store {MARKER}")


def refusing(error: TrothError) -> Any:
    async def handler(request: Request, system: Standing) -> Response:
        raise error

    return handler


async def person(request: Request, system: Standing, detail: str) -> Caller:
    return Caller("person", b"\1" * 16, "subject", csrf="right-token")


GROUP: Group[Standing] = Group(
    "tests",
    [
        Route("POST", "/echo", echo, "scope.closed-list", kind="api", request=Note, response=Note),
        Route("POST", "/declared", declared, "scope.closed-list", kind="api", request={"type": "object"}),
        Route("POST", "/form", form, "consent.at-submission", body=1000),
        Route("POST", "/limited", form, "consent.at-submission", limit=Limit(3, 60)),
        Route("POST", "/anywhere", form, "rights.unsubscribe", cross_site=True),
        Route("POST", "/mine", form, "rights.access", "person"),
        Route("GET", "/mine", form, "rights.access", "person"),
        Route("GET", "/items/{id}", away, "scope.readable"),
        Route("GET", "/away", away, "scope.readable"),
        Route("GET", "/broken", broken, "scope.readable"),
        Route("POST", "/api/broken", broken, "scope.readable", kind="api"),
        Route("GET", "/denied", refusing(Denied("no", clause="share.legal", gaps=("operators:2",))), "share.legal"),
        Route("GET", "/busy", refusing(Busy("full")), "scope.readable"),
        Route("GET", "/slow", refusing(TooMany("slow", retry_after=7)), "scope.readable"),
        Route("GET", "/unknown", refusing(Unknown("who knows")), "scope.readable"),
        Route("GET", "/unavailable", refusing(Unavailable("closed")), "scope.readable"),
    ],
    {"person": person},
)


# --- routes ---


def test_a_path_that_is_none_and_a_method_that_is_none(visit: Open) -> None:
    visitor = visit(GROUP)
    missing = visitor.get("/nothing-here")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
    wrong = visitor.request("DELETE", "/mine")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD, POST")
    assert visitor.request("BREW", "/echo").status_code == 405


def test_head_is_get_without_its_body(visit: Open) -> None:
    visitor = visit(GROUP)
    full, bare = visitor.get("/health"), visitor.request("HEAD", "/health")
    assert bare.status_code == 200
    assert bare.content == b""
    assert bare.headers["content-length"] == full.headers["content-length"]


def test_two_groups_cannot_claim_one_address() -> None:
    with pytest.raises(ValueError, match="two routes claim GET /away"):
        RouteTable([*GROUP.routes, Route("GET", "/away", away, "scope.readable")])


def test_a_scope_that_nothing_proves_stops_the_start(system: Standing) -> None:
    open_door: Group[Standing] = Group("open", [Route("GET", "/staff", away, "scope.readable", "operator:x")])
    with pytest.raises(ValueError, match="nothing proves a caller"):
        build(system, [open_door])


def test_a_guarded_route_takes_no_forms_from_elsewhere(system: Standing) -> None:
    with pytest.raises(ValueError, match="forms from other sites"):
        RouteTable([Route("POST", "/x", form, "rights.access", "person", cross_site=True)])


# --- headers ---


@pytest.mark.parametrize("path", ["/gallery/home", "/health", "/nothing", "/broken", "/static/nothing.css"])
def test_every_answer_is_protected(visit: Open, path: str) -> None:
    headers = visit(GROUP).page(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert "strict-transport-security" not in headers, "promised in plain it would mean nothing"
    assert "server" not in headers


def test_a_handler_cannot_weaken_them(visit: Open) -> None:
    async def weak(request: Request, system: Standing) -> Response:
        return Response(
            headers={"referrer-policy": "unsafe-url", "x-frame-options": "ALLOW", "cache-control": "max-age=5"}
        )

    headers = visit(Group("weak", [Route("GET", "/weak", weak, "scope.readable")])).get("/weak").headers
    assert headers.get_list("referrer-policy") == ["same-origin"]
    assert headers.get_list("x-frame-options") == ["DENY"]
    assert headers.get_list("cache-control") == ["max-age=5"], "caching is the page's to say"


def test_over_tls_browsers_are_told_to_stay_there(system: Standing, visit: Open) -> None:
    system.config = msgspec.structs.replace(system.config, trusted_proxies=("127.0.0.1",))
    answer = visit(GROUP).get("/health", headers={"x-forwarded-proto": "https"})
    assert answer.headers["strict-transport-security"].startswith("max-age=63072000")


def test_a_stranger_cannot_claim_tls(visit: Open) -> None:
    answer = visit(GROUP).get("/health", headers={"x-forwarded-proto": "https"})
    assert "strict-transport-security" not in answer.headers


def test_personal_pages_are_never_stored_and_public_ones_checked(visit: Open) -> None:
    visitor = visit(GROUP)
    assert visitor.get("/mine").headers["cache-control"] == "no-store"
    assert visitor.get("/gallery/home").headers["cache-control"] == "no-cache"
    assert visitor.get("/nothing").headers["cache-control"] == "no-store"


def test_a_page_of_ours_with_a_script_has_a_nonce_of_its_own() -> None:
    assert "script-src 'nonce-abc'" in content_policy("abc")
    assert "script-src" not in content_policy()


# --- forms from elsewhere ---


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_a_form_from_another_site_is_refused(visit: Open, site: str) -> None:
    answer = visit(GROUP).post("/form", {"a": "1"}, headers={"sec-fetch-site": site})
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/cross-site")


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_a_form_from_our_own_page_is_taken(visit: Open, site: str) -> None:
    assert visit(GROUP).post("/form", {"a": "1"}, headers={"sec-fetch-site": site}).json() == {"a": "1"}


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://testserver", 200),
        ("http://testserver:80", 200),
        ("https://testserver", 403),
        ("http://testserver.evil.example", 403),
        ("http://testserver:81", 403),
        ("null", 403),
        ("", 403),
        ("http://[::1", 403),
    ],
)
def test_an_older_browser_is_known_by_its_origin(visit: Open, origin: str, status: int) -> None:
    assert visit(GROUP).post("/form", {"a": "1"}, headers={"origin": origin}).status_code == status


def test_a_mail_provider_may_unsubscribe_without_either(visit: Open) -> None:
    visitor = visit(GROUP)
    one_click = {"List-Unsubscribe": "One-Click"}
    assert visitor.post("/anywhere", one_click, headers={"sec-fetch-site": "cross-site"}).status_code == 200
    parts = [("List-Unsubscribe", (None, "One-Click"))]
    answer = visitor.request("POST", "/anywhere", files=parts)
    assert answer.json() == one_click


@pytest.mark.parametrize("form_sent", [{}, {"csrf_token": ""}, {"csrf_token": "wrong-token"}])
def test_a_signed_in_form_needs_its_sessions_token(visit: Open, form_sent: dict[str, str]) -> None:
    visitor = visit(GROUP)
    assert visitor.post("/mine", form_sent, headers={"sec-fetch-site": "same-origin"}).status_code == 403
    assert visitor.post("/mine", {"csrf_token": "right-token"}).status_code == 200
    header = {"x-csrf-token": "right-token"}
    assert visitor.post("/mine", {"csrf_token": "wrong"}, headers=header).status_code == 200


def test_a_sessions_token_does_not_help_a_form_from_elsewhere(visit: Open) -> None:
    answer = visit(GROUP).post("/mine", {"csrf_token": "right-token"}, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example/", "evil", "javascript:alert(1)"])
def test_nothing_redirects_elsewhere(visit: Open, to: str) -> None:
    assert visit(GROUP).get("/away", params={"to": to}).status_code == 500


def test_a_redirect_keeps_the_chosen_language(visit: Open) -> None:
    visitor = visit(GROUP)
    assert visitor.get("/away?to=/sent&lang=ar").headers["location"] == "/sent?lang=ar"
    assert visitor.get("/away?to=/sent&lang=xx").headers["location"] == "/sent"


# --- bodies ---


def test_a_body_that_is_too_large_is_refused_before_it_is_read(visit: Open) -> None:
    visitor = visit(GROUP)
    assert visitor.post("/form", {"a": "x" * 2000}).status_code == 413

    async def drip() -> Any:
        for _ in range(50):
            yield b"a" * 100

    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert visitor.request("POST", "/form", content=drip(), headers=headers).status_code == 413


@pytest.mark.parametrize(
    ("body", "status", "gap"),
    [
        (b'{"title": "x"}', 200, ""),
        (b'{"title": 5}', 422, "/title: Expected `str`, got `int`"),
        (b'{"count": 1}', 422, "/: Object missing required field `title`"),
        (b'{"title": "x", "extra": 1}', 422, "/: Object contains unknown field `extra`"),
        (b'{"title": "x"', 422, "/: is not valid JSON"),
        (b"", 422, "/: is not valid JSON"),
        (b'{"title": "\xff"}', 422, "/: is not valid JSON"),
        (b"[" * 5000, 422, "/: Expected `object`, got `array`"),
    ],
)
def test_json_of_the_wrong_shape_names_the_place(visit: Open, body: bytes, status: int, gap: str) -> None:
    answer = visit(GROUP).request("POST", "/echo", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    if gap:
        assert gap in answer.json()["gaps"][0]


def test_a_declared_schema_names_every_fault_at_once_and_no_value(visit: Open) -> None:
    answer = visit(GROUP).request("POST", "/declared", json={"email": MARKER + " x", "phone": "1", "name": 5})
    assert answer.status_code == 422
    assert len(answer.json()["gaps"]) == 3
    assert MARKER not in answer.text


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", ""])
def test_another_kind_of_body_is_not_read(visit: Open, kind: str) -> None:
    visitor = visit(GROUP)
    assert visitor.request("POST", "/echo", content=b"{}", headers={"content-type": kind}).status_code == 415
    assert visitor.request("POST", "/form", content=b"a=1", headers={"content-type": kind}).status_code == 415


@pytest.mark.parametrize("body", [b"a=%ff%fe", b"a=\xff", b"a=%00", b"&".join([b"a=1"] * 300)])
def test_a_form_that_is_not_text_is_refused(visit: Open, body: bytes) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert visit(GROUP).request("POST", "/anywhere", content=body, headers=headers).status_code == 422


def test_a_field_sent_twice_is_not_guessed_at(visit: Open) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = visit(GROUP).request("POST", "/form", content=b"a=1&a=2", headers=headers)
    assert answer.json()["gaps"] == ["/a: was sent more than once"]


def test_json_that_goes_too_deep_is_refused(visit: Open) -> None:
    headers = {"content-type": "application/json"}
    answer = visit(GROUP).request("POST", "/declared", content=b"[" * 50_000, headers=headers)
    assert answer.json()["gaps"] == ["/: is not valid JSON"]


@pytest.mark.parametrize("host", ["[", "a b", "x:99999999", "", "é", "evil.example"])
def test_a_host_that_is_none_breaks_nothing(visit: Open, host: str) -> None:
    visitor = visit(GROUP)
    headers = {"host": host.encode("latin-1"), "accept": "text/html"}
    assert visitor.get("/gallery/home?lang=ar", headers=headers).status_code == 200
    sent = visitor.post("/form", {"a": "1"}, headers={"host": host.encode("latin-1"), "origin": "http://x.example"})
    assert sent.status_code == 403


def test_a_file_is_not_taken(visit: Open) -> None:
    answer = visit(GROUP).request("POST", "/form", files=[("a", ("a.txt", b"x"))])
    assert answer.status_code == 422
    broken_parts = {"content-type": "multipart/form-data; boundary=x"}
    assert visit(GROUP).request("POST", "/form", content=b"nonsense", headers=broken_parts).status_code == 422


# --- rates ---


def test_who_asks_too_often_waits_and_others_do_not(system: Standing, visit: Open) -> None:
    visitor = visit(GROUP, address="192.0.2.1")
    assert [visitor.post("/limited").status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = visitor.post("/limited")
    assert refused.headers["retry-after"] == "20"
    system.clock.advance(20_000)
    assert visitor.post("/limited").status_code == 200
    assert visitor.post("/limited").status_code == 429


def test_one_network_counts_as_one(system: Standing) -> None:
    app = build(system, [GROUP])
    statuses = []
    for last in range(4):
        with Visitor(app, address=f"2001:db8::{last}") as visitor:
            statuses.append(visitor.post("/limited").status_code)
    with Visitor(app, address="2001:db8:1::1") as other:
        statuses.append(other.post("/limited").status_code)
    assert statuses == [200, 200, 200, 429, 200]


def test_no_address_is_kept(system: Standing) -> None:
    app = build(system, [GROUP])
    with Visitor(app, address="192.0.2.77") as visitor:
        visitor.post("/limited")
    key = next(iter(app.rates.arrivals))
    assert b"192.0.2.77" not in key
    system.clock.advance(3_600_000)
    assert app.rates.key("/limited", "192.0.2.77") != key
    assert app.rates.arrivals == {}, "what was counted in the last hour is forgotten"


def test_what_a_limit_of_a_day_counted_is_kept_while_it_slows_anybody_down(system: Standing) -> None:
    rates, twice_a_day = build(system, [GROUP]).rates, Limit(2, 86_400)
    rates.hit("a code", "somebody", twice_a_day)
    rates.hit("a code", "somebody", twice_a_day)
    system.clock.advance(11 * 3_600_000)
    with pytest.raises(TooMany):
        rates.hit("a code", "somebody", twice_a_day)
    system.clock.advance(13 * 3_600_000)
    rates.key("/limited", "192.0.2.77")
    assert rates.lasting == {}


# --- errors ---


def test_a_fault_of_ours_tells_a_number_and_nothing_else(visit: Open, caplog: pytest.LogCaptureFixture) -> None:
    visitor = visit(GROUP)
    with caplog.at_level(logging.DEBUG):
        program = visitor.get("/broken")
        person_sees = visitor.page("/broken")
    assert program.status_code == person_sees.status_code == 500
    number = program.json()["incident"]
    assert re.fullmatch(r"[0-9a-f]{8}", number)
    assert f"incident {number}: RuntimeError at " in caplog.text
    assert "test_shell.py" in caplog.text
    for text in (program.text, person_sees.text, caplog.text):
        assert MARKER not in text
    assert "Traceback" not in program.text + person_sees.text


def test_a_refusal_names_its_clause_to_programs_and_to_people(visit: Open) -> None:
    visitor = visit(GROUP)
    told = visitor.get("/denied")
    assert told.headers["content-type"] == "application/problem+json"
    assert told.json() == {
        "type": "/problems/denied",
        "title": "The policy does not permit this",
        "status": 403,
        "detail": "no",
        "clause": "share.legal",
        "gaps": ["operators:2"],
    }
    shown = visitor.page("/denied")
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert 'href="/policy/clauses/share.legal"' in shown.text


def test_an_interface_answers_in_json_whoever_asks(visit: Open) -> None:
    answer = visit(GROUP).request("POST", "/api/broken", headers={"accept": "text/html"})
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "status", "wait"), [("/busy", 503, "1"), ("/slow", 429, "7"), ("/unknown", 503, None)]
)
def test_who_may_try_again_is_told_when(visit: Open, path: str, status: int, wait: str | None) -> None:
    answer = visit(GROUP).get(path)
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, wait)


# --- health and counts ---


def test_health_says_what_is_wrong(system: Standing, visit: Open) -> None:
    visitor = visit(GROUP)
    assert visitor.get("/health").json()["status"] == "ok"
    system.wrong = ("retention.late",)
    sick = visitor.get("/health")
    assert (sick.status_code, sick.json()["faults"]) == (503, ["retention.late"])


def test_counts_are_for_this_machine_and_name_no_person(visit: Open) -> None:
    visitor = visit(GROUP)
    visitor.get(f"/items/{MARKER}?to=/")
    visitor.get(f"/nothing/{MARKER}")
    visitor.request(MARKER[:3], "/nothing")
    text = visitor.get("/metrics").text
    assert 'troth_http_requests_total{method="GET",route="/items/{id}",status="303"} 1.0' in text
    assert 'route="none"' in text
    assert "zq9" not in text
    assert visit(GROUP, address="192.0.2.1").get("/metrics").status_code == 404
    assert visitor.get("/metrics", headers={"x-forwarded-for": "192.0.2.1"}).status_code == 404


# --- addresses ---


@pytest.mark.parametrize(
    ("trusted", "forwarded", "seen"),
    [
        ((), "203.0.113.9", "127.0.0.1"),
        (("127.0.0.1",), "203.0.113.9", "203.0.113.9"),
        (("127.0.0.1",), "1.2.3.4, 203.0.113.9", "203.0.113.9"),
        (("127.0.0.1", "203.0.113.9"), "1.2.3.4, 203.0.113.9", "1.2.3.4"),
        (("127.0.0.1",), "", "127.0.0.1"),
    ],
)
def test_only_a_declared_proxy_is_believed(trusted: tuple[str, ...], forwarded: str, seen: str) -> None:
    scope = {
        "type": "http",
        "client": ("127.0.0.1", 1),
        "headers": [(b"x-forwarded-for", forwarded.encode())] if forwarded else [],
    }
    assert client_address(Request(scope), trusted) == seen


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("HTTP://Example.org/path", "http://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("http://[::1]:8420/x", "http://[::1]:8420"),
        ("http://x:99999999", ""),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    assert origin_of(url) == origin


# --- static files ---


def test_styles_come_under_a_name_that_changes_with_them(visit: Open) -> None:
    visitor = visit()
    page = visitor.page("/gallery/home").text
    found = re.search(r'href="(/static/troth\.[0-9a-f]{12}\.css)"', page)
    assert found is not None
    style = visitor.get(found[1])
    assert style.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert visitor.get("/static/troth.css").status_code == 404
    assert visitor.get("/static/..%2f..%2fapp.py").status_code == 404


def test_styles_fetch_nothing_and_pages_hold_no_style_of_their_own(visit: Open) -> None:
    for file in FOLDER.glob("*.css"):
        assert not re.search(r"@import|url\(|https?:", file.read_text("utf-8"))
    for name in ("home", "newsletter", "board", "privacy-home"):
        page = visit().page(f"/gallery/{name}").text
        assert not re.search(r"<style|\sstyle=|<script|\son\w+=", page), name
        assert not re.search(r'(?:src|href)="(?:https?:)?//', page), name


# --- languages ---


def test_arabic_runs_from_right_to_left_and_stays_chosen(visit: Open) -> None:
    visitor = visit()
    page = visitor.page("/gallery/home?lang=ar")
    assert '<html lang="ar" dir="rtl">' in page.text
    assert page.headers["content-language"] == "ar"
    assert 'href="/policy?lang=ar"' in page.text
    by_header = visitor.page("/gallery/home", **{"accept-language": "ar"})
    assert '<html lang="ar" dir="rtl">' in by_header.text
    assert 'href="/policy"' in by_header.text
    assert by_header.headers["vary"] == "Accept-Language"


def test_a_demonstration_says_so_on_every_page(system: Standing, visit: Open) -> None:
    system.config = msgspec.structs.replace(system.config, demonstration=True)
    visitor = visit()
    for path in ("/gallery/home", "/gallery/newsletter", "/nothing"):
        assert "A demonstration." in visitor.page(path).text


# --- cookies ---


def setting(value: str, **about: Any) -> Any:
    """A handler that sets a cookie in whatever way it likes."""

    async def handler(request: Request, system: Standing) -> Response:
        response = RedirectResponse("/", 303)
        name = about.pop("key", "troth_session")
        minted = cookies.mint(request, system.randomness) if value == "minted" else value
        response.set_cookie(name, minted, **{"httponly": True, "max_age": 60, **about})
        return response

    return Group("cookies", [Route("GET", "/set", handler, "collect.cookies")])


def test_a_declared_cookie_with_a_minted_value_leaves(visit: Open) -> None:
    answer = visit(setting("minted")).get("/set")
    assert re.match(r"troth_session=[A-Za-z0-9_-]{43};", answer.headers["set-cookie"])


@pytest.mark.parametrize(
    "about",
    [
        {"key": "_ga"},
        {"httponly": False},
        {"max_age": 86_400 * 365},
        {"domain": "example.org"},
        {"key": "__Host-troth_session"},
    ],
)
def test_a_cookie_that_the_policy_does_not_carry_is_stripped(
    visit: Open, about: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    visitor = visit(setting("minted", **about))
    assert "set-cookie" not in visitor.get("/set").headers
    assert "a cookie was stripped" in caplog.text
    assert "troth_cookies_stripped_total 1.0" in visitor.get("/metrics").text


@pytest.mark.parametrize(
    "value",
    [
        "ann.lee@example.org",
        "YW5uLmxlZUBleGFtcGxlLm9yZw",
        "8c9f9ef7b0a8f1fdbd6ea7ec2f8d2f60d10ab0e01e3ac1e3cf5c7cb2a7f5ab8e",
        "192.0.2.1",
        "eyJpZCI6NDJ9eyJpZCI6NDJ9eyJpZCI6NDJ9eyJpZCI6",
        "x" * 43,
    ],
)
def test_a_value_that_is_not_random_is_stripped_however_it_is_dressed(visit: Open, value: str) -> None:
    assert "set-cookie" not in visit(setting(value)).get("/set").headers


@pytest.mark.parametrize(("value", "leaves"), [("refused", True), ("accepted", True), ("refused-42", False)])
def test_a_choice_is_one_of_the_declared_words(visit: Open, value: str, leaves: bool) -> None:
    answer = visit(setting(value, key="choice")).get("/set")
    assert ("set-cookie" in answer.headers) is leaves


def test_over_tls_a_cookie_is_bound_to_this_host(system: Standing, visit: Open) -> None:
    system.config = msgspec.structs.replace(system.config, trusted_proxies=("127.0.0.1",))

    async def handler(request: Request, system: Standing) -> Response:
        response = Response()
        token = cookies.mint(request, system.randomness)
        cookies.put(response, system.policy, "troth_session", token, tls=request.state.visit.tls, seconds=10**9)
        return response

    visitor = visit(Group("tls", [Route("GET", "/set", handler, "collect.cookies")]))
    over_tls = visitor.get("/set", headers={"x-forwarded-proto": "https"}).headers["set-cookie"]
    assert over_tls.startswith("__Host-troth_session=")
    assert "Secure" in over_tls
    assert "Max-Age=1800" in over_tls, "cut to the declared life"
    assert visitor.get("/set").headers["set-cookie"].startswith("troth_session=")


def test_a_cookie_that_no_clause_declares_is_refused_by_name(visit: Open) -> None:
    async def handler(request: Request, system: Standing) -> Response:
        response = Response()
        cookies.put(response, system.policy, "tracker", cookies.mint(request, system.randomness), tls=False)
        return response

    answer = visit(Group("more", [Route("GET", "/set", handler, "collect.cookies")])).get("/set")
    assert (answer.status_code, answer.json()["clause"]) == (422, "collect.cookies")


def test_no_page_sets_a_cookie_by_itself(visit: Open) -> None:
    visitor = visit()
    for name in SAMPLES:
        assert "set-cookie" not in visitor.page(f"/gallery/{name}").headers


def test_the_site_says_who_is_responsible_on_every_page(visit: Open) -> None:
    visitor = visit()
    for name in SAMPLES:
        page = visitor.page(f"/gallery/{name}").text
        assert vendor.POLICY.controller.contact in page
        assert vendor.POLICY.controller.name in page
