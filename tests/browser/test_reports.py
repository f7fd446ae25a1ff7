"""What a browser says it stopped reaches the front: over TLS by the Reporting API, over http in the older form."""

from __future__ import annotations

import base64
import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from playwright.sync_api import Browser
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.browser.conftest import FLAGS
from tests.client.shop import policy
from tests.web.test_serve import certificate
from troth.client.website import ASGI
from troth.client.website.reports import Hint
from troth.config import Config
from troth.policy.site import site_of
from troth.web.serve import listen, server

pytestmark = pytest.mark.browser

SITE = site_of(policy())
PAGE = "<!doctype html><html><body><h1>Shop</h1><img src='https://ads.example.net/p.png?id=ann' alt=''></body></html>"


class Shop:
    """A site behind the front. ``forms``: the content types in which reports came."""

    def __init__(self) -> None:
        self.forms: list[str] = []
        self.came = threading.Event()

        async def page(request: Request) -> Response:
            return HTMLResponse(PAGE)

        self.front = ASGI(Starlette(routes=[Route("/shop", page)]), lambda: SITE)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One scope; a report is taken note of once the front has read it."""
        await self.front(scope, receive, send)
        if scope.get("path") == "/troth/report":
            self.forms.append(dict(scope["headers"])[b"content-type"].decode())
            self.came.set()


@contextmanager
def served(application: Callable[..., Any], config: Config) -> Iterator[int]:
    """The application on a free port; the port."""
    bound = listen(config)
    running = server(application, config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not running.started:
        thread.join(0.01)
        assert thread.is_alive(), "the server did not start"
    yield bound.getsockname()[1]
    running.should_exit = True
    thread.join(20)
    bound.close()


def pin(file: Path) -> str:
    """The key of a certificate, as a browser is told to trust it."""
    key = x509.load_pem_x509_certificate(file.read_bytes()).public_key()
    found = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(found).digest()).decode()


@pytest.mark.parametrize(
    ("scheme", "form"), [("https", "application/reports+json"), ("http", "application/csp-report")]
)
def test_what_was_stopped_is_reported_in_the_form_that_the_connection_allows(
    browser: Browser, tmp_path: Path, scheme: str, form: str
) -> None:
    tls, _ = certificate(tmp_path)
    own = {"tls_certificate": "tls.pem", "tls_key": "tls.key"} if scheme == "https" else {}
    shop = Shop()
    flags = [*FLAGS, "--short-reporting-delay", f"--ignore-certificate-errors-spki-list={pin(tls)}"]
    with served(shop, Config(data_folder=str(tmp_path), host="127.0.0.1", port=0, **own)) as port:  # type: ignore[arg-type]  # texts, by what stands above
        context = browser.browser_type.launch_persistent_context(
            str(tmp_path / "profile"), executable_path=shutil.which("chromium"), args=flags
        )
        context.new_page().goto(f"{scheme}://localhost:{port}/shop?email=ann@example.org")
        assert shop.came.wait(30), "no report came"
        context.close()
    assert set(shop.forms) == {form}
    (hint,) = shop.front.front.hints.counts
    assert hint == Hint(SITE.version, hint.day, "/shop", "img-src", "https://ads.example.net", "enforce")
