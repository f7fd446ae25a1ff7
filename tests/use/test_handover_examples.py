"""What the examples sign is taken: each of them hands a person over to a real system."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clauses.handing import Portal, portal_of, somebody
from tests.clauses.vendor import Vendor, vendor_at
from troth.client import handover_token

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ACCOUNT = "1"  # the first account of an empty table


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    """A vendor on the machine's own time, by which the examples sign."""
    with vendor_at(tmp_path_factory.mktemp("examples") / "vendor") as found:
        yield found


@pytest.fixture(scope="module")
def portal(vendor: Vendor) -> Portal:
    """The product, with its first account told of."""
    made = portal_of(vendor)
    made.account(ACCOUNT)
    return made


@pytest.fixture
def environment(portal: Portal, tmp_path: Path) -> dict[str, str]:
    """What the examples are told."""
    key = tmp_path / "handover.pem"
    key.write_text(portal.key)
    told = {"TROTH_URL": portal.url, "TROTH_PRODUCT": portal.product.id.hex(), "TROTH_HANDOVER_KEY": str(key)}
    return {**os.environ, **told}


def leads_in(vendor: Vendor, portal: Portal, location: str) -> bool:
    """Whether who follows this redirect sees the account's own centre after one button."""
    assert location.startswith(portal.url + "/privacy/handover/")
    vendor.clock.now_ms = time.time_ns() // 1_000_000
    browser = somebody(vendor)
    assert browser.open(location).status == 200
    browser.send("/privacy/handover/open")
    return browser.address == "/privacy/data" and browser.answer.status == 200


DJANGO = """
import django
from django.conf import settings
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}, ROOT_URLCONF="urls",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware"],
    SECRET_KEY="of a test", USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", LOGIN_URL="/login",
    ALLOWED_HOSTS=["testserver"],
)
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
import sys, types
from django.contrib.auth.models import User
from django.test import Client
from django.urls import path
sys.path.insert(0, "examples/django")
from handover import my_privacy
sys.modules["urls"] = types.ModuleType("urls")
sys.modules["urls"].urlpatterns = [path("my-privacy", my_privacy)]
client = Client()
print(client.get("/my-privacy")["Location"])
client.force_login(User.objects.create(username="ann"))
answer = client.get("/my-privacy")
print(answer["Location"], "no-store" in answer["Cache-Control"])
"""


def test_from_django(vendor: Vendor, portal: Portal, environment: dict[str, str]) -> None:
    told = run([sys.executable, "-W", "ignore", "-c", DJANGO], environment).split()
    assert told[0] == "/login?next=/my-privacy"  # who is not signed in there is not handed over
    assert told[2] == "True"
    assert leads_in(vendor, portal, told[1])


EXPRESS = """
const { myPrivacy } = require("./examples/express/handover");
const response = { set(name, value) { this[name] = value; return this; }, redirect(status, to) {
  console.log(status, to, this["Cache-Control"]); } };
myPrivacy({ user: { id: 1 } }, response);
"""


def test_from_express(vendor: Vendor, portal: Portal, environment: dict[str, str]) -> None:
    node = shutil.which("node")
    if node is None:
        missing = "node is not installed: what the Express example signs was not checked (apt-get install nodejs)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    status, location, caching = run([node, "-e", EXPRESS], environment).split()
    assert (status, caching) == ("303", "no-store")
    assert leads_in(vendor, portal, location)


def test_the_one_for_fastapi_compiles_and_calls_what_there_is() -> None:
    tree = ast.parse((EXAMPLES / "fastapi" / "handover.py").read_text("utf-8"))
    compile(tree, "handover.py", "exec")
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "handover_token"]
    assert [len(call.args) for call in calls] == [4]


@pytest.mark.parametrize("path", ["django/handover.py", "fastapi/handover.py", "express/handover.js"])
def test_an_example_is_about_twenty_lines(path: str) -> None:
    lines = [line for line in (EXAMPLES / path).read_text("utf-8").splitlines() if line.strip()]
    assert len(lines) <= 25


def test_the_same_told_is_signed_the_same(portal: Portal) -> None:
    told = (portal.url + "/", portal.key, portal.product.id.hex(), ACCOUNT)
    one, two = (handover_token(*told, now=1_800_000_000.9, nonce="n" * 22) for _ in range(2))
    assert one == two
    assert handover_token(*told) != handover_token(*told)


@pytest.mark.parametrize("key", ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_is_none_is_refused_at_once(key: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        handover_token("https://privacy.example.org", key, "0" * 32, "1")
    assert not key or key not in str(caught.value)


def run(command: list[str], environment: dict[str, str]) -> str:
    """What it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout
