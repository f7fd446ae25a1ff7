"""A static site behind the generated nginx front: looked at, declared, enforced; no page broken."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from wsgiref.simple_server import make_server

import httpx
import pytest
from click.testing import CliRunner

from bench.nginx import free_port, running
from tests.client.test_nginx import Quiet
from tests.policies import FRONT, ROOT
from troth.cli.crawling import crawl
from troth.cli.markup import Markup
from troth.cli.policy import render
from troth.cli.serve import doctor
from troth.client.website import WSGI
from troth.policy.site import Site, from_json

#: All that is configured: a policy, with what ``troth crawl`` finds appended, and who has the site and Troth.
POLICY = """
We ask before a page shows a video, and keep your answer for 6 months.

```yaml clause
id: site.videos
permits:
  cookie:
    troth_choice: {purpose: choices, essential: true, lasts: 6 months, value: {flag: consents}}
  consent: {to: {purpose: comfort}, ask: "Yes, show me videos.", asked: site, loses: [videos]}
```

If your browser sends the signal, we read it as a no.

```yaml clause
id: consent.gpc
requires:
  consent: {signal: Sec-GPC, means: refused}
```

We show things as you like them. Our site:

```yaml clause
id: scope.services
define:
  surfaces:
    site:www: {hosts: [www.example.com, 127.0.0.1], mode: enforce}
  purposes:
    comfort: {means: showing what somebody likes}
```
"""
DECIDED = {"TODO: say in a sentence what these are for.": "They are videos.", "purpose: TODO": "purpose: comfort"}
VIDEO = '<p><iframe src="https://videos.example.net/1" title="A restore"></iframe></p></main>'
STATIC = "server { listen 127.0.0.1:PORT; root FOLDER/www; error_page 404 /404.html; }\n"


@pytest.fixture
def vendor(there: None, tmp_path: Path) -> Iterator[str]:
    """The example vendor's public site with a video in it, served by an nginx that nobody has told of anything."""
    shutil.copytree(ROOT / "examples/vendor/www", tmp_path / "www")
    page = tmp_path / "www/blog/restore-first/index.html"
    page.write_text(page.read_text().replace("</main>", VIDEO))
    port = free_port()
    with running(tmp_path, "vendor", STATIC.replace("PORT", str(port)), ("127.0.0.1", port)):
        yield f"http://127.0.0.1:{port}"


def everything(url: str, flag: str = "") -> dict[str, httpx.Response]:
    """Every page and file of a site that its pages lead to, by path, as a browser with this answer gets them."""
    found: dict[str, httpx.Response] = {}
    waiting = ["/", "/none"]
    while waiting:
        path = waiting.pop()
        if path in found or path.startswith("/troth/"):
            continue
        got = found[path] = httpx.get(url + path, headers={"Accept": "text/html", "Cookie": f"troth_choice={flag}"})
        if "text/html" in got.headers["content-type"]:
            page = Markup(got.text, url + path)
            there = (
                urlsplit(urljoin(url + path, each)) for each in (*page.links, *(o.address.geturl() for o in page.loads))
            )
            waiting += [each.path for each in there if each.netloc == urlsplit(url).netloc]
    return found


def unwritten(text: str) -> str:
    """A page without what the front has written after it."""
    return re.sub(r'<link rel="stylesheet" href="/troth/choices.css">.*', "", text, flags=re.DOTALL).strip()


def test_a_static_site_is_looked_at_declared_and_enforced_and_no_page_breaks(vendor: str, tmp_path: Path) -> None:
    policy, site_file, front = (tmp_path / name for name in ("policy.md", "site.json", "troth.conf"))
    policy.write_text(FRONT + POLICY)
    run(crawl, vendor, "--write", str(policy))
    assert "https://videos.example.net: {purpose: TODO, loads: [frame]}" in policy.read_text()
    for todo, decided in DECIDED.items():
        policy.write_text(policy.read_text().replace(todo, decided))
    run(render, str(policy), "--site", str(site_file))
    site = from_json(site_file.read_bytes())

    def nothing(environ: Any, start: Any) -> list[bytes]:
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"nothing"]

    troth = make_server("127.0.0.1", 0, WSGI(nothing, site_file), handler_class=Quiet)
    thread = threading.Thread(target=troth.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    port = free_port()
    where = {"--vendor": urlsplit(vendor).netloc, "--troth": f"127.0.0.1:{troth.server_port}"}
    options = [part for option in where.items() for part in option]
    run(render, str(policy), "--nginx", str(front), "--listen", f"127.0.0.1:{port}", *options)
    with running(tmp_path, "front", front.read_text(), ("127.0.0.1", port)):
        url = f"http://127.0.0.1:{port}"
        compare(vendor, url, site)
        looked = run(doctor, url)
    troth.shutdown()
    troth.server_close()
    thread.join(10)
    assert "level 2" in looked


def compare(vendor: str, url: str, site: Site) -> None:
    """Every page and file is there as it was, under the header of each answer."""
    bare = everything(vendor)
    assert len(bare) >= 8
    for granted in ((), ("comfort",)):
        behind = everything(url, site.choices.value(granted))
        assert behind.keys() == bare.keys()
        header = site.headers["1" if granted else "0"]
        for path, was in bare.items():
            now, page = behind[path], "text/html" in was.headers["content-type"]
            assert now.status_code == was.status_code, path
            assert (unwritten(now.text) == was.text.strip()) if page else (now.content == was.content), path
            assert now.headers["content-security-policy"] == (header if page else site.strictest)
            assert ("troth-link" in now.text) == (page and was.status_code == 200), "nginx adds nothing to error pages"
    assert "https://videos.example.net" in header
    assert "https://videos.example.net" not in site.strictest


def run(command: Any, *words: str) -> str:
    """What a command says; it must be content."""
    done = CliRunner().invoke(command, list(words))
    assert done.exit_code == 0, done.output
    return str(done.output)


def test_what_is_configured_is_short() -> None:
    declared = [line for line in POLICY.splitlines() if line.strip() and not line.startswith("```")]
    assert len(declared) + len(DECIDED) + len(["troth crawl …", "troth render … --nginx …", "include troth.conf"]) < 30
