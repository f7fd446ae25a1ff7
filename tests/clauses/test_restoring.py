"""Restoring a backup of any age: nobody comes back, nothing is forgotten, no letter goes out twice (invariant 14)."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert, text

from tests.clauses.drill import Drill, gone, holds
from tests.clauses.vendor import TENANT, Person, Vendor, vendor_at
from tests.residue import find
from troth.errors import Denied, StartRefused, Unavailable
from troth.policy.model import Stop
from troth.rights import restoration
from troth.rights.restoration import Restoration
from troth.store import Write, restoring, tables
from troth.store import backup as backups
from troth.store.backup import MANIFEST
from troth.store.lock import restore_mark
from troth.store.moving.away import AWAY, draft
from troth.store.publisher import Publisher
from troth.store.transaction import DataTx
from troth.vault import open_vault
from troth.vault.moving.leaving import take_back
from troth.web.backups import restore
from troth.web.running import log_name
from troth.world import DAY_MS, SystemRandomness


@pytest.fixture
def drill(vendor: Vendor, tmp_path: Path) -> Drill:
    return Drill(vendor, tmp_path)


def test_nobody_who_was_erased_or_objected_after_the_backup_comes_back(drill: Drill) -> None:
    vendor = drill.vendor
    ann, ben, cay, dot = Person(), Person(), Person(), Person()
    sids = [vendor.join("newsletter", person) for person in (ann, ben, cay)]
    vendor.letters()
    backup = drill.backup()
    vendor.clock.advance(DAY_MS)
    late = vendor.join("newsletter", dot)
    order = bytes.fromhex(vendor.system.erasures.erase(TENANT, sids[0], actor="system").ordered)
    vendor.system.objections.object(TENANT, sids[1], "marketing")
    vendor.letters()
    vendor.clock.advance(2 * 3_600_000)
    vendor.system.work()
    before = vendor.system.erasures.certificate(order)
    assert before.destruction == "file_best_effort"
    letters = len(vendor.letters())

    done = drill.restore(backup)

    assert (done.erased, done.stopped, done.lost) == (1, 1, 1)
    assert done.until > done.size
    gone(vendor, sids[0], ann)
    state = vendor.system.store.read(lambda c: vendor.system.vault.state_of(c, TENANT, sids[1]))[0]
    assert Stop("marketing") in state.stops
    assert not state.grants
    assert vendor.issues(sids[1], ben.email) == 0
    assert vendor.issues(sids[2], cay.email) == 1
    assert {to for letter in vendor.letters()[letters:] for to in letter.recipients} == {cay.email}
    after = vendor.system.erasures.certificate(order)
    assert (after.state, after.done, after.destroyed_ms, after.destruction) == (
        "gone",
        before.done,
        before.destroyed_ms,
        before.destruction,
    )
    assert len(vendor.entries("erase.done")) == 1
    holds(vendor)
    # what was lost is lost: she may come again, and her keys of before are not swept meanwhile
    vendor.clock.advance(3_600_000)
    vendor.system.work()
    assert vendor.system.vault.look(TENANT, late).keys
    assert vendor.join("newsletter", dot) != late
    assert vendor.issues(vendor.system.vault.find(TENANT, "email", dot.email) or b"", dot.email) == 1
    holds(vendor)


def test_who_was_lost_by_one_restore_is_there_again_after_that_of_a_newer_backup(drill: Drill) -> None:
    vendor = drill.vendor
    ann, ben = Person(), Person()
    old = drill.backup()
    vendor.clock.advance(1000)
    sids = [vendor.join("newsletter", person) for person in (ann, ben)]
    new = drill.backup()
    assert drill.restore(old).lost == 2
    assert vendor.system.vault.find(TENANT, "email", ann.email) is None
    again = vendor.join("newsletter", ben)
    assert drill.restore(new).lost == 1
    assert vendor.system.vault.find(TENANT, "email", ann.email) == sids[0]
    assert again not in sids
    assert vendor.system.vault.find(TENANT, "email", ben.email) == sids[1], "and the address goes back with them"
    holds(vendor)


def test_however_many_people_there_are_a_restore_reads_them_in_pages(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = drill.vendor
    stay = [vendor.join("newsletter", Person()) for _ in range(3)]
    backup = drill.backup()
    vendor.clock.advance(1000)
    for _ in range(3):
        vendor.join("newsletter", Person())
    newer = drill.backup()
    vendor.system.objections.object(TENANT, stay[0], "marketing")
    vendor.system.store.write_keys(lambda ktx: ktx.execute(text("DELETE FROM guards")).rowcount)
    read, most = Restoration._rows, []

    def counted(own: Restoration, statement: Any, values: Any = None) -> Any:
        rows = read(own, statement, values)
        most.append(len(rows))
        return rows

    monkeypatch.setattr(restoration, "PAGE", 2)
    monkeypatch.setattr(Restoration, "_rows", counted)
    done = drill.restore(backup)
    assert (done.lost, done.stopped) == (3, 1)
    assert max(most) <= 2
    assert drill.restore(newer).lost == 0
    assert vendor.key_rows("SELECT count(*) FROM tags WHERE state = 'lost'") == [(0,)]
    holds(vendor)


def test_a_letter_that_waited_is_never_sent_again_and_the_log_says_so(drill: Drill) -> None:
    vendor = drill.vendor
    ann, ben = Person(), Person()
    sid = vendor.join("newsletter", ann)
    vendor.letters()
    vendor.submit("newsletter", ben)  # its letter waits in the queue
    assert vendor.rows("SELECT count(*) FROM messages WHERE state = 'queued'") == [(1,)]
    backup = drill.backup()
    sent = len(vendor.letters())  # it goes out after the backup
    vendor.submit("newsletter", Person())  # and this one neither goes out nor is in the backup
    drill.restore(backup)
    assert len(vendor.letters()) == sent
    assert vendor.rows("SELECT state FROM messages WHERE state IN ('queued', 'sending', 'unknown')") == []
    (told,) = [json.loads(body) for body in vendor.entries("message.unknown")]
    assert "not sent again" in told["facts"]["reason"]
    assert vendor.issues(sid, ann.email) == 1
    holds(vendor)


def test_a_message_of_which_nothing_is_known_is_unknown_in_its_row_too(drill: Drill) -> None:
    vendor = drill.vendor
    vendor.submit("newsletter", Person())
    backup = drill.backup()
    drill.restore(backup)
    assert vendor.rows("SELECT state FROM messages") == [("unknown",)]
    assert vendor.letters() == []
    assert len(vendor.entries("message.unknown")) == 1
    holds(vendor)


def test_sessions_and_single_use_links_end_and_the_way_to_unsubscribe_stays(drill: Drill) -> None:
    vendor = drill.vendor
    ann = Person()
    sid = vendor.join("newsletter", ann)
    vendor.issues(sid, ann.email)
    vendor.centre(ann)
    backup = drill.backup()
    drill.restore(backup)
    assert vendor.count("sessions") == 0
    kinds = {row[0] for row in vendor.rows("SELECT kind FROM links")}
    assert kinds == {"unsubscribe"}
    vendor.system.objections.unsubscribe(vendor.token(ann.email, "/unsubscribe/"), "unsubscribe")
    assert vendor.issues(sid, ann.email) == 0


def test_what_ended_for_products_and_staff_stays_ended(drill: Drill) -> None:
    vendor = drill.vendor
    product, _ = vendor.system.products.create(TENANT, "licence server")
    backup = drill.backup()
    vendor.system.products.end(product.id)
    drill.restore(backup)
    assert [ended is not None for _, ended in vendor.system.products.all(TENANT)] == [True]


def test_staff_who_left_or_were_invited_anew_since_come_in_with_nothing_they_had(drill: Drill) -> None:
    vendor = drill.vendor
    desk = vendor.system.desk(TENANT)
    ids = [SystemRandomness().bytes(16) for _ in range(3)]
    ada, bob, cay = ids
    means = {"role": "administrator", "state": "active", "password": "$argon2id$", "totp": b"t", "totp_step": 1}

    def here(tx: DataTx) -> None:
        for number, one in enumerate(ids):
            of = {"id": one, "name": f"n{number}", "tenant": TENANT, "created_ms": tx.now}
            tx.execute(insert(tables.operators), of | means)

    vendor.system.store.write(Write(here))
    backup = drill.backup()
    desk.operators.end(bob, desk.operators.get(ada))
    desk.operators.invite_again(cay, desk.operators.get(ada))
    drill.restore(backup)
    had = "SELECT state, password, totp, totp_step FROM operators WHERE id = :id"
    assert vendor.rows(had, id=bob) == [("ended", None, None, None)]
    assert vendor.rows(had, id=cay) == [("invited", None, None, None)]
    assert vendor.rows(had, id=ada) == [("active", "$argon2id$", b"t", 1)]


def test_rectified_restricted_and_expired_are_not_as_they_were(drill: Drill) -> None:
    """Invariant 13, and the guards that others write: a value that was corrected is served from no backup."""
    vendor = drill.vendor
    ann, ben = Person(), Person()
    sid, other = vendor.join("newsletter", ann), vendor.join("registration", ben)
    rid = vendor.rows("SELECT rid FROM personal_records WHERE sid = :sid", sid=sid)[0][0]
    assert isinstance(rid, bytes)
    backup = drill.backup()
    assert vendor.system.rectification.correct(TENANT, sid, "newsletter", {"name": "Somebody Else"}).records == 1
    begun = vendor.system.restrictions.restrict(TENANT, other, "claims")
    vendor.system.work()
    done = drill.restore(backup)
    assert (done.blanked, done.stopped) == (1, 1)
    assert vendor.rows("SELECT count(*) FROM personal_records WHERE rid = :rid", rid=rid) == [(0,)]
    assert vendor.system.store.read(lambda c: vendor.system.vault.mode_of(c, TENANT, other)) == "restricted"
    assert vendor.system.restrictions.of(TENANT, other) == begun
    with pytest.raises(Denied):
        vendor.system.gate.open("account").read(TENANT, other, frozenset({"email"}))
    assert vendor.system.restrictions.lift(TENANT, other)  # and it is still the person's to end


def test_what_was_set_aside_and_taken_up_again_since_is_not_set_aside(drill: Drill) -> None:
    vendor = drill.vendor
    sid = vendor.join("registration", Person())
    backup = drill.backup()
    vendor.system.restrictions.restrict(TENANT, sid, "accuracy")
    vendor.system.restrictions.lift(TENANT, sid)
    vendor.system.work()
    assert drill.restore(backup).stopped == 0
    assert vendor.system.restrictions.of(TENANT, sid) is None
    assert vendor.system.gate.open("account").read(TENANT, sid, frozenset({"email"})).values


def test_a_guard_that_a_job_wrote_late_counts_from_its_entry_on(drill: Drill) -> None:
    """The process died between D and K, and the job wrote the guard after that of the lift: rows are no order."""
    vendor = drill.vendor
    ben, cay = vendor.join("registration", Person()), vendor.join("registration", Person())
    own = vendor.system.restrictions
    backup = drill.backup()
    begun = own.restrict(TENANT, ben, "accuracy")
    own.lift(TENANT, ben)
    own.restrict(TENANT, cay, "accuracy")
    own.lift(TENANT, cay)
    own.restrict(TENANT, cay, "claims")
    late = text("UPDATE guards SET id = id + 100 WHERE eid = :eid")
    vendor.system.store.write_keys(lambda ktx: ktx.execute(late, {"eid": begun.entry}).rowcount)
    lifted = text("UPDATE guards SET id = id + 200 WHERE kind = 'unrestricted'")
    vendor.system.store.write_keys(lambda ktx: ktx.execute(lifted).rowcount)
    vendor.system.work()
    drill.restore(backup)
    held = [vendor.system.restrictions.of(TENANT, sid) for sid in (ben, cay)]
    assert [one and one.ground for one in held] == [None, "claims"]


def test_retention_has_run_before_anybody_is_served(drill: Drill) -> None:
    """Invariant 13: what expired meanwhile is not in the restored data."""
    vendor = drill.vendor
    ann = Person()
    sid = vendor.join("newsletter", ann)
    vendor.system.objections.object(TENANT, sid, "newsletter")
    backup = drill.backup()
    vendor.clock.advance(400 * DAY_MS)
    drill.restore(backup)
    gone(vendor, sid, ann)


def test_an_objection_that_only_the_data_knew_of_is_found_by_its_commitment(drill: Drill) -> None:
    """The process died between D and K, and D was lost: the log has the entry, and one secret opens whose it is."""
    vendor = drill.vendor
    ann, ben = Person(), Person()
    sid, other = vendor.join("newsletter", ann), vendor.join("newsletter", ben)
    backup = drill.backup()
    vendor.system.objections.object(TENANT, sid, "marketing")
    vendor.system.store.write_keys(lambda ktx: ktx.execute(text("DELETE FROM guards")).rowcount)
    vendor.system.store.write_keys(lambda ktx: ktx.execute(text("DELETE FROM tags WHERE state='suppressed'")).rowcount)
    done = drill.restore(backup)
    assert done.stopped == 1
    assert vendor.issues(sid, ann.email) == 0
    assert vendor.issues(other, ben.email) == 1
    assert vendor.key_rows("SELECT count(*) FROM guards") == [(1,)]
    assert vendor.system.vault.suppressed(TENANT, "email", ann.email, "marketing")


# --- what is refused ---


def tamper_row(backup: Path) -> None:
    """A byte of the data is changed."""
    file = backup / "data.db"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def tamper_manifest(backup: Path) -> None:
    """The manifest says another hash for it."""
    tamper_row(backup)
    manifest = json.loads((backup / MANIFEST).read_text())
    manifest["files"][0]["sha256"] = hashlib.sha256((backup / "data.db").read_bytes()).hexdigest()
    (backup / MANIFEST).write_text(json.dumps(manifest))


def unfinished(backup: Path) -> None:
    """The manifest, which is written last, is not there."""
    (backup / MANIFEST).unlink()


def cut(backup: Path) -> None:
    """The data is cut off."""
    (backup / "data.db").write_bytes((backup / "data.db").read_bytes()[:-4096])


@pytest.mark.parametrize("spoil", [tamper_row, tamper_manifest, unfinished, cut])
def test_a_backup_that_was_altered_is_refused_and_nothing_is_changed(drill: Drill, spoil: Any) -> None:
    vendor = drill.vendor
    ann = Person()
    sid = vendor.join("newsletter", ann)
    backup = drill.backup()
    spoil(backup)
    size = vendor.count("ledger")
    with pytest.raises(StartRefused):
        drill.restore(backup)
    vendor.system = vendor._start()
    assert vendor.count("ledger") >= size
    assert vendor.system.vault.find(TENANT, "email", ann.email) == sid


def test_a_backup_of_another_installation_is_refused(drill: Drill, tmp_path: Path) -> None:
    with vendor_at(tmp_path / "other") as other:
        other.join("newsletter", Person())
        other.system.backups.take(tmp_path / "theirs")
    with pytest.raises(StartRefused, match="not of this installation"):
        drill.restore(tmp_path / "theirs")
    drill.vendor.system = drill.vendor._start()


@pytest.mark.parametrize("what", ["entries", "hashes", "keys"])
def test_a_log_or_key_store_that_does_not_fit_is_refused(drill: Drill, what: str) -> None:
    """Invariant 15: tiles and key store must hold what was published."""
    vendor = drill.vendor
    vendor.join("newsletter", Person())
    drill.backup()
    old = drill.kept()
    backup = drill.backup()
    vendor.join("newsletter", Person())
    vendor.close()
    if what == "keys":
        for name in ("keys.db", "keys.db-wal", "keys.db-shm"):
            (vendor.folder / "keys" / name).unlink(missing_ok=True)
        shutil.copy(old / "keys" / "keys.db", vendor.folder / "keys" / "keys.db")
    else:
        level = "entries" if what == "entries" else "0"
        for file in (vendor.folder / "evidence" / "tile" / level).rglob("*"):
            if file.is_file():
                content = bytearray(file.read_bytes())
                content[-1] ^= 1
                file.write_bytes(content)
    with pytest.raises(StartRefused, match=r"newest copy|published"):
        restore(vendor.system.config, backup, clock=vendor.clock)
    shutil.rmtree(vendor.folder)
    shutil.copytree(old, vendor.folder)
    vendor.system = vendor._start()


def test_a_key_store_from_which_people_are_missing_is_refused_until_it_is_the_right_one(drill: Drill) -> None:
    vendor = drill.vendor
    sid = vendor.join("newsletter", Person())
    vendor.join("newsletter", Person())
    backup = drill.backup()
    config = vendor.system.config
    old = drill.kept()
    drop = text("DELETE FROM data_keys WHERE sid = :s")
    vendor.system.store.write_keys(lambda ktx: ktx.execute(drop, {"s": sid}).rowcount)
    vendor.close()
    with pytest.raises(StartRefused, match="1 people of the backup have no key"):
        restore(config, backup, clock=vendor.clock)
    with pytest.raises(StartRefused, match="repeat it with troth restore"):
        vendor._start()
    for name in ("keys.db-wal", "keys.db-shm"):
        (vendor.folder / "keys" / name).unlink(missing_ok=True)
    shutil.copy(old / "keys" / "keys.db", vendor.folder / "keys" / "keys.db")
    with pytest.raises(StartRefused):  # its head is older than what was published meanwhile
        vendor._start()
    shutil.rmtree(vendor.folder)
    shutil.copytree(old, vendor.folder)
    vendor.system = vendor._start()


def test_a_system_that_moved_away_is_not_brought_back_by_a_restore(drill: Drill) -> None:
    vendor = drill.vendor
    vendor.join("newsletter", Person())
    backup = drill.backup()
    vendor.system.store.write(Write(lambda tx: tx.append(draft(AWAY, export="ab"))))
    vendor.system.store.publish()
    config = vendor.system.config
    vendor.close()
    data = vendor.folder / "data" / "data.db"
    whole = data.read_bytes()
    data.write_bytes(b"not a database" * 1000)  # its last word stands in the published log as well
    with pytest.raises(StartRefused, match="moved away"):
        restore(config, backup, clock=vendor.clock)
    data.write_bytes(whole)
    assert not restore_mark(vendor.folder).exists(), "nothing was begun"
    store, _ = open_vault(config, vendor.clock, SystemRandomness(), log_name=log_name(config), moved_away=True)
    take_back(store)
    store.close()
    vendor.system = vendor._start()


def test_a_move_that_only_the_data_knew_of_is_not_undone_by_a_restore(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = drill.vendor
    backup = drill.backup()
    config = vendor.system.config
    vendor.system.store.publish()
    with monkeypatch.context() as patch:  # the process dies before it publishes its last word
        patch.setattr(Publisher, "publish", lambda self: 0)
        vendor.system.store.write(Write(lambda tx: tx.append(draft(AWAY, export="ab"))))
        vendor.close()
    with pytest.raises(StartRefused, match="moved away"):
        restore(config, backup, clock=vendor.clock)
    assert not restore_mark(vendor.folder).exists()
    (vendor.folder / "data" / "data.db").unlink()
    restore(config, backup, clock=vendor.clock)
    vendor.system = vendor._start()


def test_a_key_store_older_than_its_second_copy_is_refused_before_anything_is_changed(
    drill: Drill, tmp_path: Path
) -> None:
    vendor = drill.vendor
    vendor.join("newsletter", Person())
    backup = drill.backup()
    copy = tmp_path / "copy"
    copy.mkdir(mode=0o700)
    config = msgspec.structs.replace(vendor.system.config, keys_copy=str(copy))
    vendor.close()
    shutil.copy(vendor.folder / "keys" / "keys.db", copy / "keys.db")
    with sqlite3.connect(copy / "keys.db") as raw:
        raw.execute("UPDATE heads SET counter = counter + 1")
    data = (vendor.folder / "data" / "data.db").read_bytes()
    with pytest.raises(StartRefused, match="older than its second copy"):
        restore(config, backup, clock=vendor.clock)
    assert not restore_mark(vendor.folder).exists()
    assert (vendor.folder / "data" / "data.db").read_bytes() == data
    vendor.system = vendor._start()


def test_a_restore_that_is_broken_off_keeps_the_door_shut_and_is_repeated(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = drill.vendor
    ann, ben = Person(), Person()
    sid, other = vendor.join("newsletter", ann), vendor.join("newsletter", ben)
    backup = drill.backup()
    vendor.system.erasures.erase(TENANT, sid, actor="system")
    config = vendor.system.config
    vendor.close()

    def broken(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    steps: list[tuple[Any, str]] = [(restoring, "carry_on")]
    steps += [
        (Restoration, name) for name in ("_close_doors", "_erase", "_take_away", "_without_key", "_void_mail", "_lost")
    ]
    steps += [(restoring, "unmark")]
    for where, name in steps:
        with monkeypatch.context() as patch:
            patch.setattr(where, name, broken)
            with pytest.raises(KeyboardInterrupt):
                restore(config, backup, clock=vendor.clock)
        with pytest.raises(StartRefused, match="begun here and not finished"):
            vendor._start()
    restore(config, backup, clock=vendor.clock)
    vendor.system = vendor._start()
    gone(vendor, sid, ann)
    assert vendor.system.vault.find(TENANT, "email", ben.email) == other
    assert len(vendor.entries("erase.done")) == 1
    holds(vendor)


def test_a_backup_for_which_there_is_no_room_leaves_nothing_that_looks_like_one(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    drill.vendor.join("newsletter", Person())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("sync_file", "_write"):
        with monkeypatch.context() as patch:
            patch.setattr(backups, name, full)
            with pytest.raises(Unavailable, match="No space left"):
                drill.vendor.system.backups.take(drill.folder / "full")
        assert list((drill.folder / "full").iterdir()) == []
    drill.backup()


def test_data_that_is_not_even_a_database_is_restored(drill: Drill) -> None:
    vendor = drill.vendor
    ann = Person()
    sid = vendor.join("newsletter", ann)
    backup = drill.backup()
    config = vendor.system.config
    vendor.close()
    (vendor.folder / "data" / "data.db").write_bytes(b"not a database" * 1000)
    restore(config, backup, clock=vendor.clock)
    vendor.system = vendor._start()
    assert vendor.system.vault.find(TENANT, "email", ann.email) == sid
    holds(vendor)


def test_a_backup_holds_no_key_and_no_value_in_plain(drill: Drill) -> None:
    vendor = drill.vendor
    ann = Person()
    sid = vendor.join("registration", ann)
    backup = drill.backup()
    keys = [vendor.system.vault.keyring.data_key(TENANT, sid, c) for c in ("account",)]
    wrapped = [each for (each,) in vendor.key_rows("SELECT wrapped FROM data_keys") if isinstance(each, bytes)]
    assert find(backup, [*ann.markers, *keys, *wrapped]) == []
    assert {path.name for path in backup.iterdir()} == {"data.db", MANIFEST}
    assert all(path.stat().st_mode & 0o077 == 0 for path in backup.iterdir())
