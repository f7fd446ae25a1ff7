"""After a move nothing is otherwise: clause board, decisions, receipts, objections, erasures, queued letters, staff."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.clauses.vendor import BEGIN, TENANT, Person, Vendor, example
from tests.moving.conftest import Left
from tests.moving.house import (
    ONCE,
    PHRASE,
    STAFF_PHRASE,
    begin,
    board,
    bring,
    config_at,
    decisions,
    export,
    hashes,
    one_by_one,
)
from tests.postgres import Server
from tests.residue import find, spellings
from troth.cli.setting import demonstration_config, postbox
from troth.errors import NotFound, StartRefused, TrothError, Unproven
from troth.evidence.compare import Databases
from troth.evidence.verify import verify_folder
from troth.store import Write
from troth.store.tables import sessions
from troth.store.tables.moving import LAST
from troth.use import totp
from troth.web.running import Running

TREE = {f"{name}.jsonl" for name in LAST}
WRAPPED = {"epochs.jsonl", "secrets.jsonl"}


class Moved(Vendor):
    """The same vendor in another place, with a postbox of its own."""

    def __init__(self, left: Left, folder: Path, box: object, system: Running) -> None:
        self.folder, self.box, self.system = folder, box, system  # type: ignore[assignment]  # as postbox() gives it
        self.clock = system.clock  # type: ignore[assignment]  # a clock that stands
        self._http = []


@contextmanager
def moved(left: Left, folder: Path, urls: tuple[str, str] = ("", "")) -> Iterator[Moved]:
    """Moved in and running."""
    with postbox() as box:
        config = config_at(folder, box.port, urls)
        assert bring(left.final, config) > 0
        place = Moved(left, folder, box, begin(config))
        try:
            yield place
        finally:
            place.close()


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, left: Left, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    """The system where it moved to: on each of the two stores."""
    urls = ("", "")
    if request.param == "postgresql":
        servers: list[Server] = [request.getfixturevalue(name) for name in ("postgres_data", "postgres_keys")]
        urls = (servers[0].new_database(), servers[1].new_database())
    with moved(left, tmp_path_factory.mktemp("place") / "new", urls) as found:
        yield found


def test_the_board_says_the_same_of_every_clause(left: Left, place: Moved) -> None:
    assert board(place.system) == left.board


def test_every_declared_use_may_take_of_the_same_people(left: Left, place: Moved) -> None:
    found = decisions(place.system)
    assert found == left.decisions
    assert any(isinstance(each[1], int) and each[1] > 0 for each in found.values())


def test_every_person_is_decided_about_as_before_one_by_one(left: Left, place: Moved, tmp_path: Path) -> None:
    shutil.copytree(left.old, tmp_path / "old")
    with opened_again(tmp_path / "old") as old:
        before = one_by_one(old)
    assert one_by_one(place.system) == before
    assert any(isinstance(value, dict) for value in before.values())


@contextmanager
def opened_again(folder: Path) -> Iterator[Running]:
    """The old system, taken back, to be asked (a copy of it: nothing goes on from it)."""
    from troth.vault import open_vault
    from troth.vault.moving.leaving import take_back
    from troth.world import SetClock, SystemRandomness

    config = demonstration_config(folder, 0, 9)
    store, _ = open_vault(config, SetClock(BEGIN), SystemRandomness(), moved_away=True)
    take_back(store)
    store.close()
    system = begin(config)
    try:
        yield system
    finally:
        system.close()


def test_the_evidence_holds_and_every_old_receipt_with_it(left: Left, place: Moved) -> None:
    place.system.store.publish()
    databases = Databases(place.system.store.read, place.system.store.read_keys)
    assert len(left.lived.receipts) > 3
    old = (left.old / "evidence" / "checkpoint").read_bytes()
    report = verify_folder(
        place.folder / "evidence", receipts=left.lived.receipts, witnesses=[("old", old)], databases=databases
    )
    assert [fault.message for fault in report.faults()] == []
    assert not [intent for intent in report.open if intent.kind == "moved.away"]
    kinds = [
        body.split(b'"kind":"')[1].split(b'"')[0] for kind in ("moved.away", "moved.in") for body in place.entries(kind)
    ]
    assert kinds == [b"moved.away", b"moved.in"]


def test_who_objected_who_set_their_data_aside_and_who_was_erased_stay_so(left: Left, place: Moved) -> None:
    lived, system = left.lived, place.system
    assert system.vault.find(TENANT, "email", lived.cid.email) is None
    assert not system.store.read(lambda c: system.vault.exists(c, TENANT, lived.sids["cid"]))
    with pytest.raises(NotFound):
        system.vault.opening(TENANT, lived.sids["cid"])
    assert system.vault.suppressed(TENANT, "email", lived.cid.email, "newsletter")
    assert system.vault.suppressed(TENANT, "email", lived.ben.email, "marketing")
    assert system.restrictions.of(TENANT, lived.sids["fay"]) is not None
    assert system.holds.of(TENANT, lived.sids["fay"]) is not None
    assert place.issues(lived.sids["ben"], lived.ben.email) == place.issues(lived.sids["fay"], lived.fay.email) == 0
    assert place.issues(lived.sids["ann"], lived.ann.email) == 1


def test_a_letter_that_waited_is_sent_once_by_the_new_system_and_its_link_works(left: Left, place: Moved) -> None:
    letters = place.letters(left.lived.dot.email)
    assert len(letters) == 1
    place.confirm(left.lived.dot.email)
    assert place.system.vault.find(TENANT, "email", left.lived.dot.email) is not None
    assert len(place.letters(left.lived.dot.email)) == 1


def test_a_link_in_a_letter_from_before_still_unsubscribes(left: Left, place: Moved) -> None:
    assert place.system.objections.unsubscribe(left.lived.unsubscribe, "unsubscribe") is not None
    assert place.system.vault.suppressed(TENANT, "email", left.lived.ann.email, "newsletter")


def test_staff_sign_in_with_what_they_have_and_nobody_is_signed_in(left: Left, place: Moved) -> None:
    system = place.system
    assert system.store.read(lambda c: c.execute(select(func.count()).select_from(sessions)).scalar_one()) == 0
    code = totp.code(left.lived.secret, totp.step_at(system.clock.now()))
    with pytest.raises(Unproven):  # a code works once, also across a move
        system.sign_in.sign_in_by_password("oda", STAFF_PHRASE, code, "a cookie of the new house")
    place.clock.advance(totp.STEP_MS)
    code = totp.code(left.lived.secret, totp.step_at(system.clock.now()))
    assert system.sign_in.sign_in_by_password("oda", STAFF_PHRASE, code, "a cookie of the new house").name == "oda"


def test_products_ask_with_their_keys_and_what_was_done_once_is_not_done_again(left: Left, place: Moved) -> None:
    assert place.system.products.prove(left.lived.key).name == "desktop"
    assert place.system.store.write(Write(lambda tx: b"another answer", key=ONCE)) == b"the first answer"


def test_somebody_new_comes_and_goes_numbers_go_on_and_the_epoch_is_rolled(left: Left, place: Moved) -> None:
    sid = place.join("newsletter", Person())
    place.system.retention.run()
    assert place.system.erasures.erase(TENANT, sid).state == "gone"
    rolled = place.system.epochs.roll()
    assert rolled is not None
    assert rolled.destroyed is not None
    assert place.system.access.copy(TENANT, left.lived.sids["eve"]).records[0].values["email"] == left.lived.eve.email


# --- the old place, the folder in between ---


def test_the_old_system_refuses_to_start_and_says_why(left: Left, tmp_path: Path) -> None:
    shutil.copytree(left.old, tmp_path / "old")
    with pytest.raises(StartRefused, match=r"moved away on 2026-03-02.*take-back"):
        begin(demonstration_config(tmp_path / "old", 0, 9))


def test_taken_back_it_goes_on_and_the_log_tells_of_it(left: Left, tmp_path: Path) -> None:
    shutil.copytree(left.old, tmp_path / "old")
    with opened_again(tmp_path / "old") as system:
        system.store.publish()
        report = verify_folder(tmp_path / "old" / "evidence")
        assert report.ok
        assert report.kinds["moved.back"] == 1


def test_no_value_of_anybody_stands_in_the_export_in_plain(left: Left) -> None:
    policy = example()
    assert find(left.final, {marker for marker in left.lived.markers if marker not in policy}) == []
    assert find(left.final, {PHRASE}) == []


def test_the_search_would_have_found_one(left: Left, out: Path) -> None:
    with (out / "jobs.jsonl").open("a") as file:
        file.write(left.lived.ann.email)
    assert find(out, {left.lived.ann.email})
    assert spellings({PHRASE})


def test_the_export_is_its_owners_alone(left: Left) -> None:
    assert {oct(path.stat().st_mode & 0o777) for path in left.final.rglob("*") if path.is_file()} == {"0o600"}
    assert {oct(p.stat().st_mode & 0o777) for p in (left.final, *left.final.rglob("*")) if p.is_dir()} == {"0o700"}


def test_the_exported_log_verifies_by_itself(left: Left) -> None:
    assert verify_folder(left.final / "evidence").ok


def test_no_key_of_the_old_root_and_none_of_the_new_root_stands_in_the_export(left: Left) -> None:
    root = (left.old / "keys" / "root.key").read_text().split()[-2]
    assert find(left.final, {bytes.fromhex(root)}) == []


# --- laws ---


def test_an_export_of_an_import_of_an_export_is_that_export(left: Left, tmp_path: Path) -> None:
    config = config_at(tmp_path / "new")
    bring(left.final, config)
    system = begin(config)
    try:
        again = export(system, tmp_path / "again", final=False)
    finally:
        system.close()
    first, second = hashes(left.manifest), hashes(again)
    heartbeats = {"runs.jsonl", "jobs.jsonl"}  # a start beats and looks for what is due
    assert {name for name in first if first[name] != second[name]} <= TREE | WRAPPED | heartbeats
    old, new = (left.final / "ledger.jsonl").read_bytes(), (tmp_path / "again" / "ledger.jsonl").read_bytes()
    assert new.startswith(old)
    assert b'"kind":"moved.in"' in new[len(old) :]
    assert len((tmp_path / "again" / "secrets.jsonl").read_bytes()) == len((left.final / "secrets.jsonl").read_bytes())


@pytest.mark.postgres
def test_from_postgresql_back_to_sqlite_nothing_is_otherwise(
    left: Left, tmp_path: Path, postgres_data: Server, postgres_keys: Server
) -> None:
    with moved(left, tmp_path / "pg", (postgres_data.new_database(), postgres_keys.new_database())) as there:
        seen, decided = board(there.system), decisions(there.system)
        export(there.system, tmp_path / "out")
    config = config_at(tmp_path / "back")
    assert bring(tmp_path / "out", config) > 0
    back = begin(config)
    try:
        assert board(back) == seen == left.board
        assert decisions(back) == decided == left.decisions
        back.store.publish()
        assert verify_folder(config.folder / "evidence", receipts=left.lived.receipts).ok
    finally:
        back.close()


def test_a_copy_of_a_system_that_goes_on_is_not_gone_on_from(left: Left, tmp_path: Path) -> None:
    with pytest.raises(TrothError, match="copy"):
        bring(left.copy, config_at(tmp_path / "new"))
    assert not (tmp_path / "new" / "data").exists()
