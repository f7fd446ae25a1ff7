"""The generated front in a real nginx: every answer of the vendor's server carries the header, Troth there or not."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest

from bench.nginx import free_port, running
from tests.client.shop import policy
from tests.web.test_serve import certificate
from troth.client.website import WSGI
from troth.policy.nginx import nginx_conf
from troth.policy.site import site_of

SITE = site_of(policy())
YES, NO = SITE.choices.value(SITE.choices.purposes), SITE.choices.value(())

VENDOR = """
server {
    listen 127.0.0.1:PORT;
    root FOLDER;
    default_type text/html;
    location /return { return 200 "<html><body>returned</body></html>"; }
    location /own {
        add_header X-Own yes;
        add_header Cache-Control "public, max-age=600";
        add_header Content-Security-Policy "img-src 'none'";
        return 200 "<html><body>own</body></html>";
    }
    location /telling { add_header Referrer-Policy unsafe-url; return 200 "<html><body>telling</body></html>"; }
    location /silent { add_header Referrer-Policy no-referrer; return 200 "<html><body>silent</body></html>"; }
    location /broken { proxy_pass http://127.0.0.1:1; }
    location /moved { return 301 /; }
}
"""


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@dataclass
class Nginx:
    """nginx before a vendor's server; ``stop_troth`` ends Troth and leaves the rest."""

    url: str
    troth: Any

    def get(self, path: str = "/", flag: str = "", **headers: str) -> httpx.Response:
        sent = {"Host": "www.example.com", "Accept": "text/html"} | headers
        if flag:
            sent["Cookie"] = f"a=1; troth_choice={flag}"
        return httpx.get(self.url + path, headers=sent)


@pytest.fixture(scope="module")
def nginx(there: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "index.html").write_text("<!doctype html><html><body><h1>Shop</h1></body></html>")
    (folder / "script.js").write_text("var x = 1;")

    def nothing(environ: Any, start: Any) -> list[bytes]:
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"nothing"]

    troth = make_server("127.0.0.1", 0, WSGI(nothing, lambda: SITE), handler_class=Quiet)
    thread = threading.Thread(target=troth.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    outer, inner = free_port(), free_port()
    text = nginx_conf(
        SITE,
        vendor=f"127.0.0.1:{inner}",
        troth=f"127.0.0.1:{troth.server_port}",
        listen=f"127.0.0.1:{outer}",
        names=(),
    )
    vendor = VENDOR.replace("PORT", str(inner)).replace("FOLDER", str(folder))
    with running(folder, "front", text + vendor, ("127.0.0.1", outer)):
        yield Nginx(f"http://127.0.0.1:{outer}", troth)
    troth.shutdown()
    troth.server_close()
    thread.join(10)


def test_over_http_nothing_silences_the_reports(nginx: Nginx) -> None:
    answer = nginx.get("/")
    assert "report-uri /troth/report" in answer.headers["content-security-policy"]
    assert "report-to" not in answer.headers["content-security-policy"]
    assert "reporting-endpoints" not in answer.headers


def test_over_tls_pages_say_where_to_report_and_nothing_else_does(there: None, tmp_path: Path) -> None:
    tls, key = certificate(tmp_path)
    outer, inner = free_port(), free_port()
    (tmp_path / "index.html").write_text("<html><body>Shop</body></html>")
    (tmp_path / "script.js").write_text("var x = 1;")
    front = nginx_conf(
        SITE, vendor=f"127.0.0.1:{inner}", troth="127.0.0.1:1", listen=f"127.0.0.1:{outer} ssl", names=()
    )
    sites = f"ssl_certificate {tls}; ssl_certificate_key {key};\n{front}"
    sites += VENDOR.replace("PORT", str(inner)).replace("FOLDER", str(tmp_path))
    with running(tmp_path, "front", sites, ("127.0.0.1", outer)):
        trusted = ssl.create_default_context(cafile=str(tls))
        page, script = (httpx.get(f"https://localhost:{outer}{path}", verify=trusted) for path in ("/", "/script.js"))
    assert page.headers["content-security-policy"] == f"{SITE.strictest}; report-to troth"
    assert page.headers["reporting-endpoints"] == 'troth="/troth/report"'
    assert script.headers["content-security-policy"] == SITE.strictest
    assert "reporting-endpoints" not in script.headers


EVERY = ["/", "/none", "/return", "/own", "/broken", "/moved"]
LEADING = [*((path, "same-origin") for path in (*EVERY, "/script.js", "/telling")), ("/silent", "no-referrer")]


@pytest.mark.parametrize(("path", "said"), LEADING)
def test_no_link_says_elsewhere_which_page_it_was_clicked_on(nginx: Nginx, path: str, said: str) -> None:
    assert nginx.get(path).headers.get_list("referrer-policy") == [said]


@pytest.mark.parametrize("path", EVERY)
def test_every_answer_carries_the_strictest_policy_before_a_choice(nginx: Nginx, path: str) -> None:
    for flag in ("", NO, "garbage", YES + "1", "x" * 500):
        answer = nginx.get(path, flag)
        assert SITE.strictest in answer.headers.get_list("content-security-policy")
        assert answer.headers.get_list("cache-control") == ["private, no-cache"]
        assert answer.headers["vary"] == "Cookie, Sec-GPC"


@pytest.mark.parametrize("path", EVERY)
def test_a_yes_has_its_header_and_is_kept_by_nobody(nginx: Nginx, path: str) -> None:
    answer = nginx.get(path, YES)
    assert SITE.headers["11"] in answer.headers.get_list("content-security-policy")
    assert answer.headers.get_list("cache-control") == ["no-store"]


def test_a_page_is_never_answered_from_a_validator_and_a_script_is(nginx: Nginx) -> None:
    page = nginx.get("/")
    assert "etag" not in page.headers
    assert "last-modified" not in page.headers
    assert nginx.get("/", **{"If-Modified-Since": "Fri, 31 Dec 9999 23:59:59 GMT"}).status_code == 200
    script = nginx.get("/script.js", YES, Accept="*/*")
    assert script.headers["content-security-policy"] == SITE.strictest
    again = nginx.get("/script.js", YES, Accept="*/*", **{"If-None-Match": script.headers["etag"]})
    assert again.status_code == 304
    assert again.headers["content-security-policy"] == SITE.strictest


def test_the_question_stands_after_the_page_and_its_answer_is_taken(nginx: Nginx) -> None:
    page = nginx.get("/?x=1")
    assert page.text.index("<h1>Shop") < page.text.index("troth-banner") < page.text.index("troth-link")
    assert 'name="back" value="/?x=1"' in page.text
    assert "troth-banner" not in nginx.get("/", NO).text
    assert "troth-banner" not in nginx.get("/", **{"Sec-GPC": "1"}).text
    answer = httpx.post(
        f"{nginx.url}/troth/choices",
        data={"answer": "none", "back": "/?x=1"},
        headers={"Host": "www.example.com", "Sec-Fetch-Site": "same-origin"},
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/?x=1")
    assert f"troth_choice={NO};" in answer.headers["set-cookie"]
    assert httpx.get(f"{nginx.url}/troth/choices.css").status_code == 200
    assert nginx.get("/.well-known/gpc.json").json()["gpc"] is True, "the promise is published by who keeps it"
    assert nginx.get("/.well-known/gpc.json.bak").status_code == 404
    assert "troth-banner" not in nginx.get("/script.js", Accept="*/*").text


def test_with_troth_stopped_pages_are_served_under_the_strictest_policy(nginx: Nginx) -> None:
    nginx.troth.shutdown()
    nginx.troth.server_close()
    for path, status in (("/", 200), ("/return", 200), ("/own", 200), ("/none", 404), ("/broken", 502)):
        answer = nginx.get(path)
        assert answer.status_code == status
        assert SITE.strictest in answer.headers.get_list("content-security-policy")
    assert nginx.get("/").text.rstrip().endswith("<h1>Shop</h1></body></html>")
    assert SITE.headers["11"] in nginx.get("/", YES).headers.get_list("content-security-policy")
