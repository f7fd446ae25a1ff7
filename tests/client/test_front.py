"""The front of a site, in the words of its visitor: what is asked, what a no leaves, what passes and what does not."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.client.shop import policy, site_file
from troth.client.website import ASGI, WSGI, Front
from troth.client.website.front import Asking, Visit
from troth.policy.content import consent_policy
from troth.policy.site import Site, from_json, site_of, to_json

SITE = site_of(policy())
YES, NO = SITE.choices.value(SITE.choices.purposes), SITE.choices.value(())
VIDEOS = SITE.choices.value({"comfort"})
RANDOM = "q7Zb2kXw9LmN4pRt6vYc1A"


class Vendor:
    """A vendor's application: answers ``body`` with ``headers``, as WSGI and as ASGI, in two pieces."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: list[tuple[str, str]] = [("Content-Type", "text/html; charset=utf-8")]
        self.body = "<!doctype html><html><head><title>Shop</title></head><body><h1>Shop</h1></body></html>"
        self.seen: list[dict[str, str]] = []

    def wsgi(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        self.seen.append({k: v for k, v in environ.items() if k.startswith("HTTP_")})
        body = self.body.encode()
        start(f"{self.status} X", [*self.headers, ("Content-Length", str(len(body)))])
        return [body[:20], body[20:]]

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append({f"HTTP_{n.decode().upper().replace('-', '_')}": v.decode() for n, v in scope["headers"]})
        body = self.body.encode()
        headers = [(n.encode(), v.encode()) for n, v in [*self.headers, ("Content-Length", str(len(body)))]]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body[:20], "more_body": True})
        await send({"type": "http.response.body", "body": body[20:]})


class Visitor:
    """Somebody at the site, over WSGI or ASGI."""

    def __init__(self, vendor: Vendor, file: Path, kind: str) -> None:
        self.front = (ASGI(vendor.asgi, file) if kind == "asgi" else WSGI(vendor.wsgi, file)).front
        transport: Any
        if kind == "asgi":
            application = ASGI(vendor.asgi, file)
            self.front, transport = application.front, httpx.ASGITransport(application)
        else:
            wsgi = WSGI(vendor.wsgi, file)
            self.front, transport = wsgi.front, httpx.WSGITransport(wsgi)
        self.transport = transport

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        base = "http://www.example.com"
        if isinstance(self.transport, httpx.WSGITransport):
            with httpx.Client(transport=self.transport, base_url=base) as client:
                return client.request(method, path, **more)

        async def once() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, base_url=base) as client:
                return await client.request(method, path, **more)

        return asyncio.run(once())

    def get(self, path: str = "/", choice: str = "", **headers: str) -> httpx.Response:
        cookies = {"Cookie": f"troth_choice={choice}"} if choice else {}
        return self.ask("GET", path, headers={"Accept": "text/html"} | cookies | headers)

    def answer(self, answer: str, granted: Iterable[str] = (), back: str = "/", **headers: str) -> httpx.Response:
        data = {"answer": answer, "granted": list(granted), "back": back}
        return self.ask("POST", "/troth/choices", data=data, headers={"Sec-Fetch-Site": "same-origin"} | headers)


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture(params=["asgi", "wsgi"])
def visitor(request: pytest.FixtureRequest, vendor: Vendor, tmp_path: Path) -> Visitor:
    return Visitor(vendor, site_file(tmp_path), request.param)


def set_cookies(answer: httpx.Response) -> list[str]:
    return answer.headers.get_list("set-cookie")


# --- the first visit, and answers ---


def test_who_has_not_chosen_is_asked_and_nothing_of_others_is_let_in(visitor: Visitor) -> None:
    page = visitor.get()
    assert 'class="troth-banner"' in page.text
    assert page.text.index("<section") < page.text.index("<h1>Shop") < page.text.index("<nav")
    assert page.text.index("<style>") < page.text.index("<form"), "it is drawn without waiting for another file"
    assert page.headers["content-security-policy"] == SITE.strictest
    assert "videos.example.net" not in SITE.strictest
    assert "frame-src 'self' blob: https://pay.example.net" in SITE.strictest
    assert page.headers["cache-control"] == "private, no-cache"
    assert page.headers["vary"] == "Cookie, Sec-GPC"
    assert set_cookies(page) == []


def test_a_no_leaves_one_cookie_the_same_for_everybody(visitor: Visitor) -> None:
    one, other = visitor.answer("none"), visitor.answer("none", **{"Accept-Language": "ar"})
    assert one.status_code == 303
    assert set_cookies(one) == set_cookies(other)
    assert set_cookies(one) == [f"troth_choice={NO}; Path=/; Max-Age={SITE.choices.seconds}; HttpOnly; SameSite=Lax"]
    assert NO in SITE.cookies["troth_choice"].choices
    page = visitor.get(choice=NO)
    assert "troth-banner" not in page.text
    assert "Privacy choices" in page.text


@pytest.mark.parametrize("how", ["of its own", "ended before"])
def test_over_tls_the_answer_is_bound_to_the_host(vendor: Vendor, tmp_path: Path, how: str) -> None:
    front = Front(site_file(tmp_path), tls=how == "ended before")

    def visit(cookie: str) -> Visit:
        headers = {"cookie": cookie}
        own = how == "of its own"
        return front.visit(Asking("GET", "/", "", "www.example.com", own, lambda name: headers.get(name, "")))

    assert visit(f"__Host-troth_choice={YES}").choice.granted == {"comfort", "analytics"}
    assert visit(f"troth_choice={YES}").choice.granted == frozenset(), "a sibling host could have planted it"
    asking = Asking("POST", "/troth/choices", "", "www.example.com", how == "of its own", lambda name: "")
    reply = front.visit(asking).own(b"answer=none")
    assert reply is not None
    (cookie,) = (value for name, value in reply.headers if name == "set-cookie")
    assert cookie.startswith(f"__Host-troth_choice={NO}; Path=/;")
    assert "; Secure; HttpOnly" in cookie


def test_a_yes_lives_as_long_as_a_no_and_lets_in_what_it_says(visitor: Visitor) -> None:
    (flag,) = set_cookies(visitor.answer("all"))
    assert flag == set_cookies(visitor.answer("none"))[0].replace(NO, YES)
    page = visitor.get(choice=YES)
    assert "frame-src 'self' blob: https://videos.example.net" in page.headers["content-security-policy"]
    assert "script-src 'self' 'unsafe-inline' 'unsafe-eval';" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"


def test_one_by_one_is_what_was_ticked_and_nothing_else(visitor: Visitor) -> None:
    assert f"troth_choice={VIDEOS};" in set_cookies(visitor.answer("these", ["comfort", "account", "bogus"]))[0]
    assert f"troth_choice={NO};" in set_cookies(visitor.answer("these"))[0]
    assert f"troth_choice={NO};" in set_cookies(visitor.answer("bogus", ["comfort"]))[0]


def test_the_number_that_proves_whose_history_it_is_is_left_to_whoever_keeps_the_history(visitor: Visitor) -> None:
    for choice, granted in (("none", []), ("these", ["comfort"]), ("all", [])):
        answer = visitor.answer(choice, granted, Cookie=f"troth_choice={YES}; troth_visitor={RANDOM}")
        assert "troth_visitor" not in str(set_cookies(answer))


def test_taking_it_back_ends_every_optional_cookie(visitor: Visitor) -> None:
    sent = f"troth_choice={YES}; last_video={RANDOM}; troth_visitor={RANDOM}; sessionid={RANDOM}; _tracker=1"
    back = visitor.answer("none", Cookie=sent)
    gone = {c.partition("=")[0] for c in set_cookies(back) if "Max-Age=0" in c}
    assert gone == {"last_video", "_tracker"}
    assert any("Domain=example.com" in c for c in set_cookies(back)), "also where it was set for the whole domain"
    assert back.headers["clear-site-data"] == '"cache", "storage"'
    assert "clear-site-data" not in visitor.answer("none").headers


def test_the_signal_is_a_no_without_a_question(visitor: Visitor) -> None:
    page = visitor.get(**{"Sec-GPC": "1"})
    assert "troth-banner" not in page.text
    assert "signal is honoured" in page.text
    assert page.headers["content-security-policy"] == SITE.strictest
    assert "troth-banner" in visitor.get(**{"Sec-GPC": "0"}).text
    later = visitor.get(choice=VIDEOS, **{"Sec-GPC": "1"})
    assert "videos.example.net" in later.headers["content-security-policy"], "a later explicit choice wins"
    assert visitor.ask("GET", "/.well-known/gpc.json").json() == {"gpc": True, "lastUpdate": "2026-02-15"}


@pytest.mark.parametrize("garbage", ["1", "x" * 9000, "00000000-11", f"{YES}1", f"{YES[:-1]}2", '"', "%00"])
def test_garbage_is_nothing_chosen(visitor: Visitor, garbage: str) -> None:
    page = visitor.get(choice=garbage)
    assert "troth-banner" in page.text
    assert page.headers["content-security-policy"] == SITE.strictest


def test_nobody_answers_for_somebody(visitor: Visitor) -> None:
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "", "Origin": "https://elsewhere.example.net"},
        {"Sec-Fetch-Site": "", "Origin": "null"},
        {"Sec-Fetch-Site": "", "Origin": "http://["},
    ):
        answer = visitor.answer("all", **headers)
        assert (answer.status_code, set_cookies(answer)) == (403, [])
        assert visitor.answer("none", **headers).status_code == 303, "a no is taken from anywhere"


@pytest.mark.parametrize("referer", ["http://[", "http://[x]/", "http://www.example.com\x00/", "//"])
def test_where_somebody_comes_from_can_be_garbage(visitor: Visitor, referer: str) -> None:
    page = visitor.get("/troth/choices", Referer=referer)
    assert page.status_code == 200
    assert 'name="back" value="/"' in page.text


@pytest.mark.parametrize(
    ("back", "leads"),
    [
        ("/shop?x=1", "/shop?x=1"),
        ("//elsewhere.example.net", "/"),
        ("/\\elsewhere", "/"),
        ("https://elsewhere.example.net/", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x=1", "/"),
        ("", "/"),
    ],
)
def test_nobody_is_led_away(visitor: Visitor, back: str, leads: str) -> None:
    assert visitor.answer("none", back=back).headers["location"] == leads


def test_the_way_back_is_written_so_that_nothing_of_it_runs(visitor: Visitor) -> None:
    page = visitor.ask("GET", '/"><script>x</script>', params={"q": '"><b>'}, headers={"Accept": "text/html"})
    assert "<script>x" not in page.text
    assert "<b>" not in page.text


def test_the_page_of_choices_shows_everything_and_works_without_scripts(visitor: Visitor) -> None:
    page = visitor.get("/troth/choices", choice=VIDEOS)
    assert re.search(r'value="comfort" checked', page.text)
    assert not re.search(r'value="analytics" checked', page.text)
    for name, life in (("last_video", "30 days"), ("troth_choice", "6 months"), ("sessionid", "14 days")):
        assert re.search(rf"<td>{name}</td><td>\w+</td><td>{life}</td>", page.text)
    assert "Example Videos" in page.text
    assert "<script" not in page.text
    arabic = visitor.get("/troth/choices", **{"Accept-Language": "ar-EG, en;q=0.5"})
    assert 'lang="ar" dir="rtl"' in arabic.text


# --- the application's answers ---


@pytest.mark.parametrize(
    "header",
    [
        f"_tracker={RANDOM}; Path=/",
        f"last_video={RANDOM}; Path=/",  # declared, and not agreed to
        "sessionid=YW5uQGV4YW1wbGUub3Jn=; Path=/",
        "sessionid=ann@example.org; Path=/",
        'sessionid={"name":"Ann"}; Path=/',
        "sessionid=short; Path=/",
        "theme=Ann; Path=/",
        "=x; Path=/",
        "troth_choice=ffffffff-11; Path=/",
    ],
)
def test_what_is_not_declared_or_not_agreed_to_is_stripped(vendor: Vendor, visitor: Visitor, header: str) -> None:
    vendor.headers.append(("Set-Cookie", header))
    assert set_cookies(visitor.get()) == []
    assert visitor.front.stripped.total() == 1
    assert RANDOM not in repr(visitor.front.stripped)


@pytest.mark.parametrize(
    ("header", "leaves"),
    [
        (f"sessionid={RANDOM}; Path=/; HttpOnly", f"sessionid={RANDOM}; Path=/; HttpOnly"),
        (f"__Host-sessionid={RANDOM}; Path=/; Secure; Partitioned", None),
        (
            f"sessionid={RANDOM}; expires=Fri, 31 Dec 9999 23:59:59 GMT; Max-Age=99999999; Path=/",
            f"sessionid={RANDOM}; Path=/; Max-Age=1209600",
        ),
        (f"sessionid={RANDOM}; Max-Age=60", f"sessionid={RANDOM}; Max-Age=60"),
        (f"sessionid={RANDOM}; expires=Fri, 31 Dec 9999 23:59:59 GMT", f"sessionid={RANDOM}; Max-Age=1209600"),
        ("theme=large", None),
        ("_tracker=; Max-Age=0", None),
        ('sessionid=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0', None),
        (f"last_video={RANDOM}; Path=/", None),
    ],
)
def test_what_is_declared_passes_and_lives_no_longer_than_declared(
    vendor: Vendor, visitor: Visitor, header: str, leaves: str | None
) -> None:
    vendor.headers.append(("Set-Cookie", header))
    assert set_cookies(visitor.get(choice=VIDEOS)) == [leaves or header]


def test_the_vendors_own_caching_does_not_undo_a_withdrawal(vendor: Vendor, visitor: Visitor) -> None:
    vendor.headers += [("Cache-Control", "public, max-age=600"), ("ETag", '"x"'), ("Last-Modified", "x"), ("Age", "9")]
    page = visitor.get(choice=YES, **{"If-None-Match": '"x"', "Accept-Encoding": "gzip", "Range": "bytes=0-5"})
    assert page.headers.get_list("cache-control") == ["no-store"]
    assert not {"etag", "last-modified", "age", "content-length"} & set(page.headers)
    assert not {"HTTP_IF_NONE_MATCH", "HTTP_ACCEPT_ENCODING", "HTTP_RANGE"} & set(vendor.seen[-1])


def test_the_vendors_own_content_policy_stands_beside_ours(vendor: Vendor, visitor: Visitor) -> None:
    vendor.headers.append(("Content-Security-Policy", "img-src 'none'"))
    assert visitor.get().headers.get_list("content-security-policy") == ["img-src 'none'", SITE.strictest]


def test_a_worker_or_a_picture_was_granted_nothing_and_may_be_cached(vendor: Vendor, visitor: Visitor) -> None:
    vendor.headers = [("Content-Type", "text/javascript"), ("Cache-Control", "public, max-age=600"), ("ETag", '"x"')]
    script = visitor.get("/worker.js", choice=YES)
    assert script.text == vendor.body
    assert script.headers["content-security-policy"] == SITE.strictest
    assert (script.headers["cache-control"], script.headers["etag"]) == ("public, max-age=600", '"x"')


def test_what_makes_browsers_report_to_others_is_taken_out(vendor: Vendor, visitor: Visitor) -> None:
    vendor.headers += [("NEL", '{"report_to":"x"}'), ("Report-To", "{}"), ("Reporting-Endpoints", 'x="https://r/"')]
    assert not {"nel", "report-to", "reporting-endpoints"} & set(visitor.get().headers)


@pytest.mark.parametrize("path", ["/", "/new/"], ids=["enforced", "watched"])
def test_only_a_page_over_tls_says_report_to_for_elsewhere_it_would_silence_the_other(
    path: str, tmp_path: Path
) -> None:
    front = Front(site_file(tmp_path))

    def sent(tls: bool, kind: str) -> str:
        visit = front.visit(Asking("GET", path, "", "www.example.com", tls, lambda name: ""))
        found, _ = visit.headers([("content-type", kind), ("reporting-endpoints", 'theirs="https://r.example.net/"')])
        return "; ".join(f"{name}: {value}" for name, value in found if "security" in name or value.startswith("troth"))

    for tls, kind in ((False, "text/html"), (False, "text/javascript"), (True, "text/javascript")):
        assert "report-uri /troth/report" in sent(tls, kind)
        assert "report-to" not in sent(tls, kind)
        assert "reporting-endpoints" not in sent(tls, kind)
    over = sent(True, "text/html; charset=utf-8")
    assert "report-uri /troth/report; report-to troth; reporting-endpoints: troth=" in over


def test_a_watched_path_is_told_about_and_left_alone(vendor: Vendor, visitor: Visitor) -> None:
    vendor.headers += [("Set-Cookie", "_tracker=1"), ("Cache-Control", "public")]
    page = visitor.get("/new/page")
    assert page.text == vendor.body
    assert page.headers["content-security-policy-report-only"] == SITE.strictest
    assert "content-security-policy" not in page.headers
    assert (set_cookies(page), page.headers["cache-control"]) == (["_tracker=1"], "public")
    assert "content-security-policy" in visitor.get("/newer").headers


def test_all_that_a_page_had_stopped_may_be_reported_in_one_body(visitor: Visitor) -> None:
    def report(number: int) -> dict[str, Any]:
        said = {
            "documentURL": "http://www.example.com/shop",
            "effectiveDirective": "img-src",
            "blockedURL": f"https://ads{number}.example.net/",
            "originalPolicy": SITE.strictest,
        }
        return {"type": "csp-violation", "url": said["documentURL"], "user_agent": "x" * 120, "body": said}

    body = json.dumps([report(number) for number in range(40)])
    assert len(body) > 30_000
    assert visitor.ask("POST", "/troth/report", content=body).status_code == 204
    assert len(visitor.front.hints.counts) == 40
    visitor.ask("POST", "/troth/report", content=body * 20)
    assert (len(visitor.front.hints.counts), visitor.front.hints.refused) == (40, 0), "longer ones are not read"


# --- the site file ---


def test_without_a_site_file_pages_are_served_and_nothing_of_others_is_loaded(vendor: Vendor, tmp_path: Path) -> None:
    vendor.headers.append(("Set-Cookie", f"anything={RANDOM}"))
    (tmp_path / "broken.json").write_text('{"form": 1, "headers": {"": "default-src *"}}')
    for name in ("none.json", "broken.json"):
        page = Visitor(vendor, tmp_path / name, "wsgi").get(choice=YES)
        assert page.text == vendor.body
        assert page.headers["content-security-policy"] == consent_policy((), frozenset())
        assert len(set_cookies(page)) == 1, "who is signed in stays so"


def test_the_site_file_is_read_again_when_it_changes(vendor: Vendor, tmp_path: Path) -> None:
    file, now = site_file(tmp_path), [0.0]
    front = WSGI(vendor.wsgi, file, clock=lambda: now[0]).front
    assert front.site.version == "2026-01-15"
    other = policy("https://films.example.net")
    file.write_bytes(to_json(site_of(other)))
    now[0] += 1
    assert "films" not in str(front.site.headers)
    now[0] += 2
    assert "films" in str(front.site.headers)
    file.write_text("{}")
    now[0] += 2
    assert front.site.policy == ""
    file.unlink()
    now[0] += 2
    assert front.site.policy == ""


def test_a_site_file_says_the_same_when_it_is_read() -> None:
    assert from_json(to_json(SITE)) == SITE


def test_a_site_file_that_lacks_a_header_is_none() -> None:
    fields = {name: getattr(SITE, name) for name in SITE.__struct_fields__}
    wrongs: list[dict[str, Any]] = [{"form": 2}, {"headers": {}}, {"headers": {"00": "x", "11": "x"}}]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="site file"):
            from_json(to_json(Site(**(fields | wrong))))


def test_every_choice_has_its_header_and_strict_dynamic_is_never_written() -> None:
    assert sorted(SITE.headers) == ["00", "01", "10", "11"]
    assert len(set(SITE.headers.values())) == 2, "nothing is loaded from others for counting"
    for header in SITE.headers.values():
        assert "strict-dynamic" not in header
        assert "object-src 'none'" in header
        assert not {"*", "https:", "http:"} & set(re.split(r"[ ;]+", header))


def test_a_body_is_read_no_further_than_an_answer_is_long(vendor: Vendor, tmp_path: Path) -> None:
    class Endless(io.BytesIO):
        def read(self, most: int | None = -1) -> bytes:
            assert most is not None
            assert 0 <= most < 20_000
            return b"x" * most

    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/troth/choices",
        "CONTENT_LENGTH": str(10**12),
        "wsgi.input": Endless(),
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "www.example.com",
    }
    told: list[str] = []
    list(WSGI(vendor.wsgi, site_file(tmp_path))(environ, lambda status, headers: told.append(status)))  # type: ignore[arg-type, return-value]  # a start_response that writes nothing
    assert told == ["413 Content Too Large"] or told == ["413 Request Entity Too Large"]
