"""For each clause that passes: what an operator would do to break it, and that the board names it.

Untouched, the system passes; tampered with, the clause turns FAIL (or the tampering is refused at the start).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest
from sqlalchemy import select

from tests.clauses.conftest import Open, row
from tests.clauses.tampering import Proxy, behind, swap
from troth.errors import StartRefused
from troth.evidence import clauses as checks
from troth.evidence.board import badge
from troth.policy.choices import Choices
from troth.policy.model import Grant, State
from troth.store import Write
from troth.store.ledger import EntryDraft
from troth.store.tables import credentials
from troth.web.running import Running
from troth.world import DAY_MS, SetClock

PASSING = (
    "changes.effective-date",
    "changes.date-at-top",
    "changes.publish",
    "scope.readable",
    "scope.services",
    "scope.closed-list",
    "scope.compliance",
    "scope.accessible",
    "consent.at-submission",
    "consent.refusal",
    "consent.withdraw",
    "collect.newsletter",
    "collect.registration",
    "collect.navigation",
    "collect.ip-location",
    "purpose.account",
    "purpose.analytics",
    "purpose.provide",
    "purpose.basis",
    "personal.definition",
    "share.nothing-else",
    "protect.password",
    "protect.password-change",
    "protect.password-sharing",
    "protect.storage",
    "protect.transit",
    "rights.erase",
    "rights.restrict",
    "rights.access",
    "rights.portability",
    "rights.rectify",
    "rights.object-marketing",
    "rights.automated",
    "rights.unsubscribe",
    "rights.proof",
    "retain.while-used",
    "retain.periods",
    "cookies.optional",
    "cookies.no-personal",
    "cookies.definition",
    "cookies.table",
    "cookies.returning-visit",
    "controller.identity",
    "scope.third-party",
    "collect.cookies",
    "consent.gpc",
    "cookies.refuse",
    "links.third-party",
    "links.leaving",
)

Sabotage = Callable[[Running, Path], None]


def page_says(old: str, new: str, where: str = "") -> Sabotage:
    """Somebody edits pages on their way out."""

    def do(system: Running, folder: Path) -> None:
        Proxy(system, swap(old, new, where=where))

    return do


def header(name: str, value: str | None) -> Sabotage:
    """Somebody adds a header to every answer, or takes one away."""

    def do(system: Running, folder: Path) -> None:
        key = name.lower().encode()

        def edit(found: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
            if value is None:
                return [(k, v) for k, v in found if k.lower() != key]
            return [*found, (key, value.encode())]

        Proxy(system, headers=edit)

    return do


def header_says(name: str, value: str) -> Sabotage:
    """Somebody gives every answer another header in place of ours."""

    def do(system: Running, folder: Path) -> None:
        key = name.encode()
        Proxy(system, headers=lambda found: [*((k, v) for k, v in found if k.lower() != key), (key, value.encode())])

    return do


def site_says(**changed: object) -> Sabotage:
    """Somebody edits what the front knows of the policy."""

    def do(system: Running, folder: Path) -> None:
        site = msgspec.structs.replace(system.hosting.site(), **changed)
        system.hosting.site = lambda: site  # type: ignore[method-assign]  # that is the sabotage
        for front in system.hosting.fronts.values():
            front._source = lambda: site

    return do


def everybody_agreed(system: Running, folder: Path) -> None:
    """A filter that takes everybody for somebody who agreed."""
    change = patch("troth.web.language.agreed", lambda *_, **__: True)
    change.start()
    system.undo.append(change.stop)  # type: ignore[attr-defined]  # see test_the_board_names_what_was_broken


def deaf(system: Running, folder: Path) -> None:
    """A front that does not hear the signal."""
    real = Choices.read
    change = patch.object(Choices, "read", lambda self, value, signal=None: real(self, value, None))
    change.start()
    system.undo.append(change.stop)  # type: ignore[attr-defined]  # see test_the_board_names_what_was_broken


def data(statement: str, *values: object) -> Sabotage:
    """Somebody edits the data's rows with a shell."""

    def do(system: Running, folder: Path) -> None:
        assert behind(folder, statement, *values), "the sabotage changed nothing"

    return do


def keys(statement: str, *values: object) -> Sabotage:
    """Somebody edits the key store's rows with a shell."""

    def do(system: Running, folder: Path) -> None:
        assert behind(folder, statement, *values, keys=True), "the sabotage changed nothing"

    return do


def schema(statement: str) -> Sabotage:
    """Somebody adds a place for data that no clause knows."""

    def do(system: Running, folder: Path) -> None:
        behind(folder, statement)

    return do


def plain_copy(system: Running, folder: Path) -> None:
    """A debug log with an address in plain."""
    (folder / "debug.log").write_text("sent to ben.okonkwo-strand@example.org")


def open_keys(system: Running, folder: Path) -> None:
    """The root key made readable for others."""
    (folder / "keys" / "root.key").chmod(0o644)


def key_back(system: Running, folder: Path) -> None:
    """An erased person's key, kept aside and put back."""
    sid = system.store.read(lambda c: c.exec_driver_sql("SELECT sid FROM erasures").scalar())
    sql = (
        "INSERT INTO data_keys (tenant, sid, class, bucket, compartment, generation, wrapped, created_ms) "
        "SELECT tenant, ?, class, bucket, compartment, generation, wrapped, created_ms FROM data_keys LIMIT 1"
    )
    assert behind(folder, sql, sid, keys=True)


def row_back(system: Running, folder: Path) -> None:
    """An erased person's row, kept aside and put back."""
    sql = (
        "INSERT INTO subjects (tenant, sid, state_id, mode, generation, created_ms, last_use_ms) "
        "SELECT tenant, (SELECT sid FROM erasures), state_id, mode, generation, created_ms, last_use_ms "
        "FROM subjects LIMIT 1"
    )
    assert behind(folder, sql)


def grant_back(system: Running, folder: Path) -> None:
    """A withdrawn consent that goes on granting."""
    sid = system.vault.find("main", "email", "ben.okonkwo-strand@example.org")
    assert sid
    system.objections.object("main", sid, "newsletter")
    meaning = system.policy.purposes["newsletter"].meaning

    def widen(state: State) -> State:
        return State(state.mode, state.bound, state.grants | {Grant("newsletter", "email", meaning)}, frozenset())

    system.store.write(Write(lambda tx: system.vault.change_state(tx, "main", sid, widen)))


def sent_anyway(system: Running, folder: Path) -> None:
    """A newsletter recorded as sent after the person objected."""
    sid = system.vault.find("main", "email", "ben.okonkwo-strand@example.org")
    assert sid
    system.objections.object("main", sid, "marketing")
    sql = (
        "INSERT INTO messages (id, tenant, sid, template, purpose, state, queued_ms, ended_ms) "
        "VALUES (?, 'main', ?, 'newsletter.issue', 'newsletter', 'sent', ?, ?)"
    )
    later = system.store.now() + 1000
    assert behind(folder, sql, secrets.token_bytes(16), sid, later, later)


def set_aside(system: Running) -> bytes:
    """Ben's data, set aside."""
    sid = system.vault.find("main", "email", "ben.okonkwo-strand@example.org")
    assert sid
    system.restrictions.restrict("main", sid, "accuracy")
    return sid


def opened_again(system: Running, folder: Path) -> None:
    """Data that was set aside is open to the gate."""
    set_aside(system)
    assert behind(folder, "UPDATE subjects SET mode = 'live' WHERE mode = 'restricted'")


def closed_for_ever(system: Running, folder: Path) -> None:
    """Somebody is closed to every use, and no restriction says why."""
    set_aside(system)
    assert behind(folder, "DELETE FROM restrictions WHERE ended_ms IS NULL")


def unguarded(system: Running, folder: Path) -> None:
    """A restore would forget the restriction."""
    set_aside(system)
    assert behind(folder, "DELETE FROM guards WHERE kind = 'restricted'", keys=True)


def written_to_all_the_same(system: Running, folder: Path) -> None:
    """A newsletter sent to somebody whose data is set aside."""
    sid = set_aside(system)
    later = system.store.now() + 1
    sql = (
        "INSERT INTO messages (id, tenant, sid, template, purpose, state, queued_ms, ended_ms) "
        "VALUES (randomblob(16), 'main', ?, 'newsletter.issue', 'newsletter', 'sent', ?, ?)"
    )
    assert behind(folder, sql, sid, later, later)
    assert behind(folder, "UPDATE restrictions SET since_ms = since_ms - 10000 WHERE ended_ms IS NULL")
    assert behind(folder, "UPDATE messages SET ended_ms = ended_ms - 5000 WHERE sid = ?", sid)


def ended_untold(system: Running, folder: Path) -> None:
    """A restriction that an operator ended without a letter."""
    assert behind(folder, "UPDATE restrictions SET ended_by = 'operator'") or set_aside(system)
    behind(folder, "UPDATE restrictions SET ended_by = 'operator', ended_ms = since_ms + 1")


def mailed_before_confirming(system: Running, folder: Path) -> None:
    """A newsletter sent to somebody who was only asked."""
    assert behind(folder, "UPDATE subjects SET mode = 'pending'")
    sql = (
        "INSERT INTO messages (id, tenant, sid, template, purpose, state, queued_ms) "
        "SELECT randomblob(16), tenant, sid, 'newsletter.issue', 'newsletter', 'sent', created_ms FROM subjects"
    )
    assert behind(folder, sql)


def forged_access(system: Running, folder: Path) -> None:
    """The proofs struck from the ledger: copies were handed to whoever asked."""
    assert behind(folder, "DELETE FROM ledger WHERE kind = 'rights.proven'")


def known_and_alive(system: Running, folder: Path) -> None:
    """A password that became known, with its entry, and nothing that follows from it."""
    password = select(credentials.c.eid).where(credentials.c.kind == "password")
    setting = bytes(system.store.read(lambda connection: connection.execute(password).scalar_one()))
    draft = EntryDraft("account.password-known", "protect.password-change", "password.change", refers=setting)
    system.store.write(Write(lambda tx: tx.append(msgspec.structs.replace(draft, facts={"by": "list"}))))


def centre_open(system: Running, folder: Path) -> None:
    """The privacy centre answers without a session."""
    Proxy(system, status=lambda path, found: 200 if path.startswith("/privacy/data") else found)


def takes_anything(system: Running, folder: Path) -> None:
    """The door's refusal switched off."""
    patched = patch("troth.collect.intake.clean", lambda point, values: ({"email": "x@example.org"}, ()))
    patched.start()
    system.undo.append(patched.stop)  # type: ignore[attr-defined]  # set by the test below


def reads_for_anything(system: Running, folder: Path) -> None:
    """The gate's refusal switched off."""
    system.gate.open = lambda *a, **k: type("Open", (), {"read": lambda *_: "data"})()  # type: ignore[method-assign]  # the sabotage


def gives_to_anybody(system: Running, folder: Path) -> None:
    """The way out left open."""
    system.disclosures.release = lambda *a, **k: None  # type: ignore[method-assign, assignment]  # the sabotage


def lets_cookies_through(system: Running, folder: Path) -> None:
    """The cookie filter switched off."""
    patched = patch("troth.web.cookies.refused", lambda *a, **k: "")
    patched.start()
    system.undo.append(patched.stop)  # type: ignore[attr-defined]  # set by the test below


def another_basis(system: Running, folder: Path) -> None:
    """A version in force whose uses rest on nothing."""
    policy = system.policy
    uses = tuple(msgspec.structs.replace(use, basis="because") for use in policy.uses)
    broken = msgspec.structs.replace(policy, uses=uses)
    system.versions.current = lambda tenant="": broken  # type: ignore[method-assign]  # the sabotage
    system.versions.in_force = lambda at_ms: broken  # type: ignore[method-assign]  # the sabotage


def public_address(system: Running, folder: Path) -> None:
    """Served on every address without TLS."""
    system.config = msgspec.structs.replace(system.config, host="0.0.0.0")


def late(system: Running, folder: Path) -> None:
    """The scheduler switched off for two days."""
    assert behind(folder, "UPDATE runs SET at_ms = at_ms - ? WHERE kind = 'retention'", 2 * DAY_MS)


def check_removed(system: Running, folder: Path) -> None:
    """A check deleted, so that its clause could not turn red any more."""
    patched = patch.dict(checks.CHECKS)
    patched.start()
    del checks.CHECKS["vault.sealed"]
    system.undo.append(patched.stop)  # type: ignore[attr-defined]  # set by the test below


SABOTAGE: list[tuple[str, str, Sabotage]] = [
    ("changes.effective-date", "the date moved", data("UPDATE policy_versions SET effective_ms = effective_ms + 1")),
    ("changes.effective-date", "text edited", data("UPDATE policy_versions SET source = replace(source, 'we', 'We')")),
    ("changes.date-at-top", "date removed", page_says("2026-02-15", "", "/policy")),
    ("changes.publish", "another text served", page_says("keep", "sell", "/policy")),
    ("scope.readable", "no link beside the form", page_says('href="/policy', 'href="/elsewhere', "/forms")),
    ("scope.services", "a shadow site", data("UPDATE terms SET surface = 'site:shadow'")),
    ("scope.closed-list", "a shadow table", schema("CREATE TABLE leads (email TEXT)")),
    ("scope.closed-list", "a shadow column", schema("ALTER TABLE subjects ADD COLUMN shoe_size TEXT")),
    ("scope.closed-list", "a field too many", page_says("</form>", '<input name="birthday"></form>', "/forms")),
    ("scope.accessible", "no language", page_says(' lang="en"', "")),
    ("scope.accessible", "labels removed", page_says("<label", "<span", "/forms")),
    ("scope.compliance", "a check deleted", check_removed),
    ("consent.at-submission", "records without a submission", data("UPDATE personal_records SET eid = randomblob(16)")),
    ("consent.at-submission", "ticked in advance", page_says('type="checkbox"', 'type="checkbox" checked', "/forms")),
    ("consent.refusal", "a cookie before sending", header("set-cookie", "draft=1")),
    ("consent.refusal", "scripts may send what is typed", header("content-security-policy", None)),
    ("consent.withdraw", "goes on granting", grant_back),
    ("collect.newsletter", "takes anything", takes_anything),
    ("collect.newsletter", "consent nobody gave", data("UPDATE consent_records SET eid = randomblob(16)")),
    ("collect.newsletter", "mail before confirming", mailed_before_confirming),
    ("collect.registration", "takes anything", takes_anything),
    (
        "collect.navigation",
        "a history nobody agreed to",
        data("UPDATE consent_records SET state = 'Withdrawn' WHERE consent = 'analytics'"),
    ),
    (
        "collect.navigation",
        "visits past the ledger",
        data(
            "UPDATE personal_records SET eid = (SELECT eid FROM ledger WHERE kind = 'policy.published') "
            "WHERE class = 'visits'"
        ),
    ),
    (
        "collect.ip-location",
        "the key of a past day kept",
        keys(
            "INSERT INTO day_keys (kind, day, wrapped) SELECT kind, day - 3, wrapped FROM day_keys "
            "WHERE kind = 'visits'"
        ),
    ),
    (
        "collect.ip-location",
        "an address counted",
        data("UPDATE visit_cells SET value = '203.0.113.9' WHERE dimension = 'referrer'"),
    ),
    (
        "collect.ip-location",
        "a figure of few kept",
        data("INSERT INTO visit_counts (day, cell, views, visitors) SELECT day - 5, cell, 1, 1 FROM visit_counts"),
    ),
    (
        "purpose.analytics",
        "a day left open",
        data("INSERT INTO visit_seen (day, who, cells) SELECT day - 5, who, cells FROM visit_seen"),
    ),
    ("purpose.analytics", "reads for anything", reads_for_anything),
    ("purpose.account", "reads for anything", reads_for_anything),
    (
        "purpose.account",
        "a closed account goes on",
        data(
            "INSERT INTO subject_states (tenant, sid, state, since_ms) "
            "SELECT tenant, sid, 'account.closed', 1 FROM subject_states WHERE state = 'account.active'"
        ),
    ),
    ("purpose.provide", "reads for anything", reads_for_anything),
    ("purpose.basis", "rests on nothing", another_basis),
    ("personal.definition", "a column without category", schema("ALTER TABLE terms ADD COLUMN mood TEXT")),
    ("share.nothing-else", "gives to anybody", gives_to_anybody),
    (
        "protect.password",
        "a password as it was typed",
        data(
            "INSERT INTO operators (id, name, role, state, password, created_ms, tenant) "
            "VALUES (randomblob(16), 'eve', 'auditor', 'active', 'plain words', 1, 'main')"
        ),
    ),
    ("protect.password", "set by somebody else", data("UPDATE credentials SET eid = randomblob(16)")),
    (
        "protect.password",
        "a passkey that nobody added",
        data(
            "INSERT INTO credentials (tenant, sid, kind, since_ms, eid, ct) SELECT tenant, sid, 'passkey.0a0b0c0d', "
            "since_ms, randomblob(16), ct FROM credentials WHERE kind = 'password'"
        ),
    ),
    (
        "protect.password",
        "a second factor that nobody set",
        data(
            "INSERT INTO credentials (tenant, sid, kind, since_ms, eid, ct) SELECT tenant, sid, 'totp', "
            "since_ms, randomblob(16), ct FROM credentials WHERE kind = 'password'"
        ),
    ),
    ("protect.password-change", "a known password goes on opening", known_and_alive),
    (
        "protect.password-sharing",
        "access that nobody gave",
        data(
            "INSERT INTO credentials (tenant, sid, kind, since_ms, eid, ct) SELECT tenant, sid, 'delegate.0a1b2c', "
            "since_ms, randomblob(16), ct FROM credentials WHERE kind = 'password'"
        ),
    ),
    ("protect.storage", "a plain copy in a log", plain_copy),
    ("protect.storage", "keys readable by others", open_keys),
    ("protect.transit", "served without TLS", public_address),
    (
        "rights.proof",
        "a request past its deadline",
        data(
            "INSERT INTO rights_requests (id, tenant, kind, state, received_ms, due_ms) "
            "VALUES (randomblob(16), 'main', 'erasure', 'requested', 1, 2)"
        ),
    ),
    ("rights.proof", "a deadline moved", data("UPDATE rights_requests SET due_ms = received_ms + 9000000000")),
    ("rights.proof", "refused without a word", data("UPDATE rights_requests SET state = 'refused'")),
    ("rights.proof", "put off too late", data("UPDATE rights_requests SET extended_ms = received_ms + 3000000000")),
    ("rights.automated", "one is not listed", page_says('id="rights.link"', "", "/policy/automated")),
    ("rights.automated", "something else was sent", data("UPDATE messages SET template = 'survey.invite'")),
    ("rights.restrict", "opened again", opened_again),
    ("rights.restrict", "closed for ever", closed_for_ever),
    ("rights.restrict", "guards deleted", unguarded),
    ("rights.restrict", "written to all the same", written_to_all_the_same),
    ("rights.restrict", "ended without a letter", ended_untold),
    ("rights.erase", "a key put back", key_back),
    ("rights.erase", "a row put back", row_back),
    ("rights.erase", "the roll of the epoch stands still", data("UPDATE erasures SET destruction = NULL, gone_ms = 1")),
    (
        "rights.erase",
        "an epoch's end is made up",
        data("UPDATE erasures SET destruction = 'hardware', destroyed_ms = 1, epoch = 99"),
    ),
    ("protect.storage", "keys went and their epoch stays", keys("UPDATE buckets SET shed_ms = 1")),
    ("rights.erase", "done is struck from the ledger", data("DELETE FROM ledger WHERE kind = 'erase.done'")),
    (
        "rights.access",
        "a request past its deadline",
        data(
            "INSERT INTO rights_requests (id, tenant, kind, state, received_ms, due_ms) "
            "VALUES (randomblob(16), 'main', 'access', 'accepted', 1, 2)"
        ),
    ),
    (
        "rights.portability",
        "a request past its deadline",
        data(
            "INSERT INTO rights_requests (id, tenant, kind, state, received_ms, due_ms) "
            "VALUES (randomblob(16), 'main', 'access', 'accepted', 1, 2)"
        ),
    ),
    ("rights.rectify", "guards gone", keys("DELETE FROM guards WHERE kind = 'rectified'")),
    ("rights.rectify", "a correction nobody asked for", data("UPDATE corrections SET eid = randomblob(16)")),
    ("rights.object-marketing", "suppressions deleted", keys("DELETE FROM tags WHERE state = 'suppressed'")),
    ("rights.object-marketing", "guards deleted", keys("DELETE FROM guards WHERE kind = 'objected'")),
    ("rights.object-marketing", "sent anyway", sent_anyway),
    ("rights.unsubscribe", "no button", page_says('method="post"', 'method="get"', "/unsubscribe/")),
    ("rights.unsubscribe", "links deleted", data("DELETE FROM links WHERE kind = 'unsubscribe'")),
    ("rights.proof", "copies without proof", forged_access),
    ("rights.proof", "the centre stands open", centre_open),
    ("retain.while-used", "the scheduler is off", late),
    ("retain.while-used", "kept for ever", data("UPDATE subjects SET last_use_ms = 9000000000000")),
    ("retain.periods", "a class without a period", data("UPDATE personal_records SET class = 'forever'")),
    ("cookies.optional", "a cookie on every page", header("set-cookie", "visitor=1")),
    ("cookies.no-personal", "values that tell", lets_cookies_through),
    ("cookies.definition", "undeclared", header("set-cookie", "visitor=1")),
    ("cookies.table", "undeclared", header("set-cookie", "visitor=1")),
    ("cookies.returning-visit", "recognised without a yes", header("set-cookie", "troth_visitor=1")),
    ("scope.third-party", "a page lets others in", header_says("content-security-policy", "default-src *")),
    ("scope.third-party", "a place that is not declared", site_says(headers={"0": "default-src https:"})),
    ("collect.cookies", "undeclared", header("set-cookie", "visitor=1")),
    ("cookies.table", "the yes of one for all", site_says(headers={"0": "img-src *", "1": "img-src *"})),
    ("cookies.table", "optional cookies for everybody", everybody_agreed),
    ("consent.gpc", "asked all the same", deaf),
    ("consent.gpc", "no promise published", page_says('"gpc"', '"no"', "/.well-known")),
    ("cookies.refuse", "no way to refuse", page_says('value="none"', 'value="all"', "/troth/choices")),
    ("cookies.refuse", "a box ticked before", page_says('type="checkbox"', 'type="checkbox" checked', "/troth")),
    ("cookies.refuse", "other words than declared", page_says("remember which language", "follow me", "/troth")),
    ("cookies.refuse", "not asked at all", page_says("troth-banner", "gone", "/")),
    ("links.third-party", "addresses go along", header_says("referrer-policy", "unsafe-url")),
    ("links.leaving", "no mark", page_says("::after", "::none", "/troth/choices.css")),
    ("controller.identity", "nobody to turn to", page_says("privacy@example.com", "", "")),
]


def test_untouched_every_clause_of_the_list_passes(opened: Open) -> None:
    system = opened()
    rows = {r.clause: r for r in system.inspector.now().rows}
    assert {name: rows[name].reason for name in PASSING if rows[name].status != "PASS"} == {}
    assert not [r.clause for r in rows.values() if r.status == "FAIL"]


def test_there_is_a_sabotage_for_each_clause_that_passes() -> None:
    assert {clause for clause, _, _ in SABOTAGE} == set(PASSING)


@pytest.mark.parametrize(("clause", "how", "sabotage"), SABOTAGE, ids=[f"{c}: {how}" for c, how, _ in SABOTAGE])
def test_the_board_names_what_was_broken(clause: str, how: str, sabotage: Sabotage, opened: Open, copy: Path) -> None:
    system = opened()
    system.undo = []  # type: ignore[attr-defined]  # what a sabotage has to put back for other tests
    try:
        sabotage(system, copy)
        found = row(system, clause)
    finally:
        for undo in system.undo:  # type: ignore[attr-defined]  # as above
            undo()
    expected = "NOT EXERCISED" if clause == "scope.compliance" else "FAIL"
    assert found.status == expected, found
    assert not badge(system.inspector.now().rows)


def test_an_edited_version_stops_the_next_start(opened: Open, copy: Path) -> None:
    behind(copy, "UPDATE policy_versions SET source = replace(source, 'thirty', 'ninety') || ' '")
    with pytest.raises(StartRefused):
        opened()


def test_data_that_is_overdue_turns_the_clause_red(opened: Open) -> None:
    system = opened()
    later = SetClock(system.store.now() + 3 * 366 * DAY_MS)
    system.close()
    system = opened(later)
    for what, days in (("not told in time", 0), ("overdue", 60)):  # who is told late is given the time, and then goes
        later.advance(days * DAY_MS)
        found = row(system, "retain.while-used")
        assert found.status == "FAIL"
        assert what in found.reason
        system.retention.run()
        assert row(system, "retain.while-used").status == "PASS"
