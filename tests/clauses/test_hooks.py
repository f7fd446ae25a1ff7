"""Tools that are kept hear of people's rights: signed, by a reference alone, until they say that they know."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from tests.clauses.conftest import row
from tests.clauses.test_register_at_the_console import join, signed_in
from tests.clauses.vendor import TENANT, Browser, Person, Vendor, example
from troth.cli.postbox import Postbox
from troth.cli.setting import demonstration_config, postbox
from troth.config import Hook, read_config
from troth.errors import StartRefused
from troth.evidence.checks.keeping import data_files, holds_any
from troth.store import Write
from troth.use import hooks
from troth.use.hooks import CLAUSES, DEADLINE_MS, FIRST_REST_MS, HOOK_JOB, LONGEST_REST_MS, Waiting
from troth.web.control import perform
from troth.web.running import Running, start


@dataclass
class Tool:
    """A newsletter tool's own HTTP server."""

    port: int = 0
    status: int = 204
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    silent: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Tool:
        tool = self

        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                tool.heard.append(({name.lower(): value for name, value in self.headers.items()}, body))
                if tool.silent.is_set():
                    tool.over.wait(30)
                    return
                self.send_response(tool.status)
                if tool.status in (301, 307):
                    self.send_header("location", f"http://127.0.0.1:{tool.port}/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *about: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Answering)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *about: object) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def told(self) -> list[tuple[str, str]]:
        """What happened, and to whom, as often as it was heard."""
        said = [json.loads(body) for _, body in self.heard]
        return [(each["type"], each["data"]["reference"]) for each in said]


class Telling(Vendor):
    """A vendor who keeps a newsletter tool."""

    tool = Hook("http://127.0.0.1:1/", "Newsletter tool")

    def _start(self) -> Running:
        config = demonstration_config(self.folder, 0, self.box.port)
        return start(msgspec.structs.replace(config, hooks={"newsletter-tool": self.tool}), clock=self.clock)


@pytest.fixture
def box() -> Iterator[Postbox]:
    with postbox() as found:
        yield found


@pytest.fixture
def tool() -> Iterator[Tool]:
    with Tool() as made:
        yield made


@pytest.fixture
def vendor(tmp_path: Path, box: Postbox, tool: Tool, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    monkeypatch.setattr(Telling, "tool", Hook(f"http://127.0.0.1:{tool.port}/hooks", "Newsletter tool"))
    made = Telling(tmp_path / "vendor", box, example())
    yield made
    made.close()


def known(vendor: Vendor, reference: str = "customer-4711") -> bytes:
    """Somebody whom a product has made known."""
    product, _ = vendor.system.products.create(TENANT, "Newsletter tool", scopes=["subjects", "suppressions"])
    vendor.system.products.register(product, reference)
    sid = vendor.system.products.find(TENANT, reference)
    assert sid is not None
    return sid


def verified(vendor: Vendor, headers: dict[str, str], body: bytes) -> bool:
    """As a tool checks it, by the secret that the operator was shown."""
    secret = str(perform(vendor.system, {"do": "hook.secret", "name": "newsletter-tool"})["secret"])
    key = base64.b64decode(secret.removeprefix("whsec_"))
    assert secret.startswith("whsec_")
    assert 24 <= len(key) <= 64
    content = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    mac = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    fresh = abs(int(headers["webhook-timestamp"]) - vendor.clock.now() // 1000) < 300
    return headers["webhook-signature"] == f"v1,{mac}" and fresh


def test_each_right_is_told_signed_and_by_the_reference_alone(vendor: Vendor, tool: Tool) -> None:
    sid = known(vendor)
    vendor.system.objections.object(TENANT, sid, "marketing")
    vendor.system.restrictions.restrict(TENANT, sid, "accuracy")
    vendor.system.restrictions.lift(TENANT, sid)
    vendor.system.erasures.erase(TENANT, sid)
    vendor.system.work()
    assert tool.told == [
        (event, "customer-4711")
        for event in ("objection.made", "restriction.changed", "restriction.changed", "erasure.ordered")
    ]
    for headers, body in tool.heard:
        assert verified(vendor, headers, body)
        assert not verified(vendor, headers, body.replace(b"4711", b"4712"))
        assert set(json.loads(body)) == {"type", "timestamp", "data"}
        assert set(json.loads(body)["data"]) == {"reference"}
    assert len({headers["webhook-id"] for headers, _ in tool.heard}) == 4
    made = [json.loads(body) for body in vendor.entries("disclosure.made")]
    intended = {json.loads(body)["eid"] for body in vendor.entries("disclosure.intended")}
    assert {each["refers"] for each in made} == intended
    assert {each["clause"] for each in made} == {"rights.object-marketing", "rights.restrict", "rights.erase"}
    assert vendor.system.hooks.waiting(TENANT) == []
    assert vendor.rows("SELECT count(*) FROM jobs WHERE kind = 'use.hook'") == [(0,)]
    marker = {b"customer-4711"}
    assert not [file for file in data_files(vendor.system.inspector.inspection()) if holds_any(file, marker)]
    assert row(vendor.system, "share.nothing-else").status == "PASS"  # a product of ours is no stranger


def test_a_consent_that_is_given_or_withdrawn_is_told(
    vendor: Vendor, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(vendor)
    monkeypatch.setattr(vendor.system.products, "reference_of", lambda tenant, sid: "customer-1")  # they are one person
    sid = vendor.join("newsletter", Person())
    vendor.system.objections.object(TENANT, sid, "newsletter")
    vendor.system.work()
    assert [event for event, _ in tool.told] == ["consent.changed", "objection.made", "consent.changed"]
    assert len({headers["webhook-id"] for headers, _ in tool.heard}) == 3


def test_of_whom_no_product_knows_and_by_an_address_nothing_is_told(vendor: Vendor, tool: Tool) -> None:
    vendor.system.objections.object(TENANT, vendor.join("newsletter", Person()), "marketing")
    vendor.system.work()
    assert vendor.system.hooks.waiting(TENANT) == []
    ann = Person()
    vendor.system.objections.object(TENANT, known(vendor, ann.email), "marketing")
    vendor.system.work()
    assert tool.heard == []
    (refused,) = (json.loads(body) for body in vendor.entries("disclosure.refused"))
    assert refused["facts"]["gaps"] == ["reference:address"]
    assert len(vendor.system.hooks.waiting(TENANT)) == 1  # it stays in sight


@pytest.mark.parametrize("status", [500, 404, 410, 301])
def test_what_is_not_acknowledged_comes_again_with_the_same_id_and_after_longer_and_longer(
    vendor: Vendor, tool: Tool, status: int
) -> None:
    tool.status = status
    sid = known(vendor)
    vendor.system.objections.object(TENANT, sid, "marketing")
    vendor.system.restrictions.restrict(TENANT, sid, "accuracy")
    vendor.system.work()
    assert len(tool.heard) == 1  # one is enough to see that it does not answer
    pause, heard = FIRST_REST_MS, 1
    while pause < LONGEST_REST_MS:
        vendor.clock.advance(pause - 1)
        vendor.system.work()
        assert len(tool.heard) == heard
        vendor.clock.advance(1)
        vendor.system.work()
        heard += 1
        assert len(tool.heard) == heard
        pause *= 2
    tool.status = 200
    while vendor.system.hooks.waiting(TENANT):
        vendor.clock.advance(LONGEST_REST_MS)
        vendor.system.work()
        assert verified(vendor, *tool.heard[-1])
        assert len(tool.heard) <= heard + 2
    ids = [headers["webhook-id"] for headers, _ in tool.heard]
    assert len(set(ids)) == 2


def test_a_tool_that_hangs_or_is_dead_keeps_nothing_else_waiting_and_hears_of_it_when_it_is_back(
    vendor: Vendor, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "SECONDS", 0.2)
    tool.silent.set()
    sid = known(vendor)
    vendor.system.objections.object(TENANT, sid, "marketing")
    vendor.system.work()
    assert len(tool.heard) == 1
    assert len(vendor.entries("disclosure.unknown")) == 1  # nobody knows what it has heard
    with Tool() as other:  # the port is taken away: nobody listens
        tool.__exit__()
        vendor.clock.advance(FIRST_REST_MS)
        vendor.system.work()
        assert len(vendor.entries("disclosure.unknown")) == 2
        assert other.heard == []
    vendor.again()  # and we die too: it is not forgotten
    with Tool(port=tool.port) as back:
        vendor.clock.advance(LONGEST_REST_MS)
        vendor.system.work()
        assert back.told == [("objection.made", "customer-4711")]
        assert back.heard[0][0]["webhook-id"] == tool.heard[0][0]["webhook-id"]
    assert vendor.system.hooks.waiting(TENANT) == []


def again(vendor: Vendor) -> Browser:
    """A browser of somebody who joined later."""
    staff = vendor.system.operators.all()
    boss = next(one for one in staff if one.role == "administrator")
    _, cookie = join(vendor, vendor.system.operators.invite("auditor", "auditor", boss))
    browser = vendor.browser()
    browser.cookies["troth_console"] = cookie
    return browser


def test_past_the_deadline_the_clause_fails_and_staff_see_what_waits(vendor: Vendor, tool: Tool) -> None:
    tool.status = 500
    sid = known(vendor)
    vendor.system.objections.object(TENANT, sid, "marketing")
    vendor.system.work()
    assert row(vendor.system, "rights.object-marketing").status != "FAIL"
    officer = signed_in(vendor, "officer")
    page = officer.open("/console/tools").body.decode()
    assert "newsletter-tool" in page
    assert "overdue" not in page.partition("<main")[2]
    vendor.clock.advance(DEADLINE_MS + 1)
    found = row(vendor.system, "rights.object-marketing")
    assert found.status == "FAIL"
    assert "hooks: 1, hours since the oldest: 72" in found.reason
    auditor = again(vendor)  # the officer's session is over
    main = auditor.open("/console/tools").body.decode().partition("<main")[2]
    assert "overdue" in main
    assert "customer-4711" not in main
    tool.status = 204
    vendor.system.work()
    assert row(vendor.system, "rights.object-marketing").status != "FAIL"
    assert "acknowledged everything" in auditor.open("/console/tools").body.decode()


@pytest.mark.parametrize("event", sorted(CLAUSES))
def test_what_no_tool_acknowledged_in_time_fails_its_own_clause_and_no_other(vendor: Vendor, event: str) -> None:
    due = Waiting(TENANT, "newsletter-tool", event, bytes(16), vendor.clock.now() - DEADLINE_MS)
    vendor.system.store.write(Write(lambda tx: tx.enqueue(HOOK_JOB, due.ref, run_ms=tx.now + DEADLINE_MS)))
    standing = {each.clause: each.status for each in vendor.system.inspector.now().rows}
    assert not {clause for clause in CLAUSES.values() if standing[clause] == "FAIL"}
    vendor.clock.advance(1)
    standing = {each.clause: each.status for each in vendor.system.inspector.now().rows}
    assert {clause for clause in CLAUSES.values() if standing[clause] == "FAIL"} == {CLAUSES[event]}


def test_nobody_is_told_who_is_not_declared(
    tmp_path: Path, box: Postbox, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Telling, "tool", Hook(f"http://127.0.0.1:{tool.port}/hooks", "Data broker"))
    vendor = Telling(tmp_path / "vendor", box, example())
    try:
        vendor.system.objections.object(TENANT, known(vendor), "marketing")
        vendor.system.work()
        assert tool.heard == []
        (refused,) = (json.loads(body) for body in vendor.entries("disclosure.refused"))
        assert (refused["clause"], refused["facts"]["gaps"]) == ("share.nothing-else", ["recipient:undeclared"])
    finally:
        vendor.close()


@pytest.mark.parametrize(
    "settings",
    [
        '[hooks.tool]\nurl = "https://x.example.org/"\n',
        '[hooks."A tool"]\nurl = "https://x.example.org/"\nproduct = "Newsletter tool"\n',
        '[hooks.tool]\nurl = "https://x.example.org/"\nproduct = "Newsletter tool"\ntenant = "nobody"\n',
        '[hooks.tool]\nurl = "https://x.example.org/"\nproduct = "Newsletter tool"\nevents = ["everything"]\n',
    ],
)
def test_a_tool_that_is_named_wrongly_is_refused_at_the_start(tmp_path: Path, settings: str) -> None:
    (tmp_path / "troth.toml").write_text(settings, "utf-8")
    with pytest.raises(StartRefused):
        read_config(tmp_path, {})


def test_a_product_that_has_ended_is_told_no_more_and_it_shows(vendor: Vendor, tool: Tool) -> None:
    sid = known(vendor)
    product = vendor.system.products.named(TENANT, "Newsletter tool")
    assert product is not None
    vendor.system.products.end(product.id)
    vendor.system.objections.object(TENANT, sid, "marketing")
    vendor.system.work()
    assert tool.heard == []
    assert len(vendor.entries("disclosure.refused")) == len(vendor.system.hooks.waiting(TENANT)) == 1


def test_a_tool_that_is_kept_no_more_is_not_told_and_that_is_on_record(vendor: Vendor, tool: Tool) -> None:
    tool.status = 500
    vendor.system.objections.object(TENANT, known(vendor), "marketing")
    vendor.system.work()
    vendor.system.hooks.tools = {}
    vendor.clock.advance(LONGEST_REST_MS)
    vendor.system.work()
    assert (len(tool.heard), vendor.system.hooks.waiting(TENANT)) == (1, [])
    assert len(vendor.entries("disclosure.refused")) == 1


def test_nothing_is_told_over_an_open_line(tmp_path: Path, box: Postbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Telling, "tool", Hook("http://tool.example.com/hooks", "Newsletter tool"))
    with pytest.raises(StartRefused):
        Telling(tmp_path / "vendor", box, example())
