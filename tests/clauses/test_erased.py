"""ERASED: what was there as bytes before is nowhere after, and no old copy of the data opens with today's keys."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.clauses.vendor import BEGIN, TENANT, Person, Vendor, vendor_at
from tests.residue import find
from troth.cli.setting import demonstration_config
from troth.vault.records import associated
from troth.vault.wrapping import framed
from troth.web.running import start
from troth.world import DAY_MS, SetClock

OWN = "WHERE sid = :sid"


@dataclass(frozen=True)
class Sealed:
    """A ciphertext of D and the place it belongs to."""

    ct: bytes
    place: bytes

    def opens(self, key: bytes) -> bool:
        """Whether this key opens it."""
        try:
            AESGCM(key).decrypt(self.ct[:12], self.ct[12:], self.place)
        except (InvalidTag, ValueError):
            return False
        return True


def sealed_in(folder: Path, sid: bytes) -> list[Sealed]:
    """A person's ciphertexts in a copy of the data, read as anybody could."""
    with closing(sqlite3.connect(folder / "data.db")) as copy:
        found = [
            Sealed(ct, associated(TENANT, sid, class_, rid, "personal_records", schema))
            for rid, class_, schema, ct in copy.execute(
                "SELECT rid, class, schema, ct FROM personal_records WHERE sid = ?", (sid,)
            )
        ]
        consents = copy.execute("SELECT cid, ct FROM consent_records WHERE sid = ?", (sid,))
        return found + [
            Sealed(ct, associated(TENANT, sid, "consent", cid, "consent_records", 1)) for cid, ct in consents
        ]


def keys_today(vendor: Vendor) -> list[bytes]:
    """Every key that today's K and root give: of persons, days, buckets, epochs, secrets; and the root itself."""
    ring = vendor.system.vault.keyring
    keys = [vendor.folder.joinpath("keys", "root.key").read_bytes()[-32:]]
    for tenant, sid, class_ in vendor.key_rows("SELECT tenant, sid, class FROM data_keys"):
        assert isinstance(sid, bytes)
        keys.append(ring.data_key(str(tenant), sid, str(class_)))
    for kind, day in vendor.key_rows("SELECT kind, day FROM day_keys"):
        key = ring.old_day_key(str(kind), int(str(day)))
        assert key is not None
        keys.append(key)
    keys += [ring.secret(str(row[0])) for row in vendor.key_rows("SELECT name FROM secrets")]
    with vendor.system.store.keys.connect() as connection:
        for kind, number in vendor.key_rows("SELECT kind, number FROM buckets"):
            bucket = ring.buckets.peek(connection, str(kind), int(str(number)))
            assert bucket is not None
            keys.append(bucket.key)
    return keys


@dataclass(frozen=True)
class Case:
    """Ann before and after, beside Ben who stays."""

    vendor: Vendor
    ann: Person
    ben: Person
    sid: bytes
    secret: bytes
    wrapped: set[bytes]
    index: set[bytes]
    ciphertexts: list[Sealed]
    own_keys: list[bytes]
    bens: list[Sealed]
    found_before: dict[str, bool]
    data_before: Path
    certificate: dict[str, Any]
    letter: str


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """The whole way: both forms, a letter, a purpose-bound read, a copy, an objection, the erasure in the centre."""
    folder = tmp_path_factory.mktemp("erased")
    with vendor_at(folder / "vendor") as vendor:
        ann, ben = Person(), Person()
        for person in (ben, ann):
            vendor.join("newsletter", person)
            vendor.join("registration", person)
        sid = vendor.system.vault.find(TENANT, "email", ann.email) or b""
        other = vendor.system.vault.find(TENANT, "email", ben.email) or b""
        vendor.system.gate.open("account").read(TENANT, sid, frozenset({"email", "phone"}))
        vendor.issues(sid, ann.email)
        browser = vendor.centre(ann)
        copy = browser.open("/privacy/copy.json").text
        assert [marker for marker in ann.markers if marker not in copy] == []  # the values are held, sealed
        vendor.system.objections.object(TENANT, sid, "marketing")
        vendor.letters()

        keys, data = vendor.folder / "keys", vendor.folder / "data"
        wrapped = blobs(vendor.key_rows(f"SELECT wrapped FROM data_keys {OWN}", sid=sid))
        index = blobs(vendor.key_rows(f"SELECT tag FROM tags {OWN}", sid=sid))
        index |= blobs(vendor.key_rows(f"SELECT suppression FROM tags {OWN}", sid=sid))
        data_before = folder / "copy-of-data"
        shutil.copytree(data, data_before)
        ciphertexts = sealed_in(data_before, sid)
        ring = vendor.system.vault.keyring
        own_keys = [ring.data_key(TENANT, sid, c) for c in ("account", "newsletter", "consent")]
        before = {
            "wrapped keys in K": all(find(keys, [each]) for each in wrapped),
            "index entries in K": all(find(keys, [each]) for each in index),
            "ciphertexts in D": all(find(data, [each.ct]) for each in ciphertexts),
            "values in plain": bool(find(vendor.folder, ann.markers)),
            "values opened": all(any(each.opens(key) for key in own_keys) for each in ciphertexts),
        }
        secret = vendor.system.vault.opening(TENANT, sid)

        browser.open("/privacy/erase")
        browser.send("/privacy/erase", sure="yes")
        assert browser.answer.status == 200
        letter = vendor.letters(ann.email, "old-key-copies")[-1].text
        ordered = json.loads(vendor.entries("erase.ordered")[-1])["eid"]
        certificate = msgspec.json.decode(
            msgspec.json.encode(vendor.system.erasures.certificate(bytes.fromhex(ordered)))
        )
        yield Case(
            vendor,
            ann,
            ben,
            sid,
            secret,
            wrapped,
            index,
            ciphertexts,
            own_keys,
            sealed_in(data_before, other),
            before,
            data_before,
            certificate,
            letter,
        )


def blobs(rows: list[tuple[object, ...]]) -> set[bytes]:
    return {row[0] for row in rows if isinstance(row[0], bytes)}


def test_before_it_everything_is_found_where_it_should_be(case: Case) -> None:
    assert (len(case.wrapped), len(case.index), len(case.ciphertexts)) == (4, 2, 3)
    assert case.found_before == {
        "wrapped keys in K": True,
        "index entries in K": True,
        "ciphertexts in D": True,
        "values in plain": False,
        "values opened": True,
    }


def test_after_it_no_value_stands_in_any_file_in_any_spelling(case: Case) -> None:
    assert find(case.vendor.folder, case.ann.markers) == []


def test_after_it_no_wrapped_key_and_no_index_entry_stands_in_any_file(case: Case) -> None:
    assert find(case.vendor.folder, case.wrapped | case.index) == []


def test_no_record_of_an_old_copy_of_the_data_opens_with_todays_keys(case: Case) -> None:
    today = keys_today(case.vendor)
    assert len(today) >= 10
    assert [at for at, each in enumerate(case.ciphertexts) if any(each.opens(key) for key in today)] == []
    assert all(any(each.opens(key) for key in today) for each in case.bens)  # the same look does open what is kept
    assert all(any(each.opens(key) for key in case.own_keys) for each in case.ciphertexts)  # and these were the keys


def test_who_was_in_the_old_copy_cannot_be_asked_of_todays_index(case: Case) -> None:
    assert case.vendor.system.vault.find(TENANT, "email", case.ann.email) is None
    assert case.vendor.system.vault.find(TENANT, "email", case.ben.email) is not None


def test_ciphertexts_may_outlive_their_keys_in_the_datas_log_until_the_next_start(tmp_path: Path) -> None:
    """Measured: D's write-ahead log keeps them, unreadable; deleted rows are overwritten; a start empties the log."""
    with vendor_at(tmp_path / "vendor") as vendor:
        ann = Person()
        sid = vendor.join("registration", ann)
        cts = blobs(vendor.rows(f"SELECT ct FROM personal_records {OWN}", sid=sid))
        vendor.system.erasures.erase(TENANT, sid)
        vendor.letters()
        left = {found.file.name for found in find(vendor.folder, cts)}
        assert left <= {"data.db-wal"}
        vendor.again()
        assert find(vendor.folder, cts) == []


def test_the_certificate_says_what_it_saw_and_what_it_does_not_cover(case: Case) -> None:
    assert case.certificate["state"] == "gone"
    assert case.certificate["not_covered"] == ["old-key-copies", "day-keys-of-mail"]
    assert case.certificate["unreadable_ms"] <= case.certificate["gone_ms"]
    assert "destroyed_ms" not in case.certificate  # no epoch has ended: nothing is said about old copies of the keys
    assert "destruction" not in case.certificate
    assert "not_covered: old-key-copies, day-keys-of-mail" in case.letter
    assert f"/privacy/certificate/{case.certificate['ordered']}" in case.letter
    assert case.certificate["ordered"] in case.letter


def test_the_third_time_is_empty_until_the_provider_answered_and_anybody_with_the_number_sees_it(
    tmp_path: Path,
) -> None:
    """Invariant 31: t1, t2, t3 and the class, on the page that the letter names."""
    with vendor_at(tmp_path / "vendor") as vendor:
        ann, ben = Person(), Person()
        sid = vendor.join("registration", ann)
        vendor.join("registration", ben)
        erasures = vendor.system.erasures
        order = bytes.fromhex(erasures.erase(TENANT, sid).ordered)
        browser = vendor.browser()
        page = f"/privacy/certificate/{order.hex()}"
        assert browser.open(page).text.count("not yet") == 1
        vendor.letters()
        vendor.clock.advance(59 * 60_000)
        vendor.system.work()
        first = erasures.certificate(order)
        assert None not in (first.unreadable_ms, first.gone_ms)
        assert (first.destroyed_ms, first.destruction) == (None, None)
        assert first.not_covered == ("old-key-copies", "day-keys-of-mail")
        vendor.clock.advance(60_000 * 6)
        vendor.system.work()
        last = erasures.certificate(order)
        assert last.destroyed_ms == vendor.clock.now()
        assert last.destruction == "file_best_effort"
        assert last.not_covered == ("copies-of-key-files", "day-keys-of-mail")
        shown = browser.open(page).text
        assert "not yet" not in shown
        assert "forensic work" in shown
        assert "Until the keys above are destroyed" not in shown
        assert not any(marker in shown for marker in ann.markers)
        assert browser.open(f"/privacy/certificate/{'0' * 32}").status == 404
        assert browser.open("/privacy/certificate/x").status == 404
        (entry,) = vendor.entries("epoch.destroyed")
        assert json.loads(entry)["facts"] == {"epoch": 1, "class": "file_best_effort", "at": last.destroyed_ms}


def test_an_old_copy_of_the_keys_does_open_an_old_copy_of_the_data_as_the_certificate_says(tmp_path: Path) -> None:
    with vendor_at(tmp_path / "vendor") as vendor:
        ann = Person()
        sid = vendor.join("registration", ann)
        vendor.system.store.publish()
        old = tmp_path / "old"
        shutil.copytree(vendor.folder, old, ignore=shutil.ignore_patterns("*.sock", "*.new"))
        vendor.system.erasures.erase(TENANT, sid)
        system = start(demonstration_config(old, 0, 9), clock=SetClock(BEGIN))
        try:
            values = system.access.copy(TENANT, sid).records[0].values
        finally:
            system.close()
        assert values["email"] == ann.email


def test_an_address_in_the_queue_of_an_old_copy_opens_until_its_day_key_ends_as_the_certificate_says(
    tmp_path: Path,
) -> None:
    with vendor_at(tmp_path / "vendor") as vendor:
        ann = Person()
        sid = vendor.join("registration", ann)
        vendor.system.store.write(vendor.system.requests.ask_write(TENANT, ann.email, "en"))
        (payload,) = blobs(vendor.rows("SELECT payload FROM jobs WHERE kind = 'rights.link'"))
        vendor.system.erasures.erase(TENANT, sid)
        vendor.letters()
        opened = vendor.system.vault.transit_open(payload)
        assert ann.email.encode() in opened  # the copy's, not ours: here the job is done and gone
        assert vendor.rows("SELECT 1 FROM jobs WHERE payload IS NOT NULL") == []
        assert vendor.rows("SELECT 1 FROM messages WHERE variables IS NOT NULL OR sealed IS NOT NULL") == []
        key = vendor.system.vault.keyring.old_day_key("transit", int.from_bytes(payload[:4], "big"))
        assert key is not None
        vendor.clock.advance(8 * DAY_MS)
        vendor.system.retention.run()
        day = int.from_bytes(payload[:4], "big")
        place = framed("troth.transit", "transit", day, b"")
        assert Sealed(payload[4:], place).opens(key)
        assert not any(Sealed(payload[4:], place).opens(each) for each in keys_today(vendor))


# --- sabotage: a copy planted in each kind of file is found ---


def in_table(statement: str) -> Callable[[Path, bytes], None]:
    """A row somebody kept."""

    def plant(file: Path, content: bytes) -> None:
        with closing(sqlite3.connect(file)) as database:
            database.execute(statement, (content,))
            database.commit()

    return plant


def behind(file: Path, content: bytes) -> None:
    """At the end of what is there; a file that is not there yet is made."""
    with file.open("ab") as opened:
        opened.write(b"\n" + content + b"\n")


KINDS: dict[str, tuple[str, Callable[[Path, bytes], None]]] = {
    "a row of the data": ("data/data.db", in_table("UPDATE runs SET facts = CAST(? AS TEXT)")),
    "a row of the keys": ("keys/keys.db", in_table("UPDATE heads SET root = ?")),
    "the data's log": ("data/data.db-wal", behind),
    "the keys' log": ("keys/keys.db-wal", behind),
    "a tile": ("evidence/tile/0/000", behind),
    "a bundle of entries": ("evidence/tile/entries/000", behind),
    "the checkpoint": ("evidence/checkpoint", behind),
    "the policy": ("policy.md", behind),
    "a log": ("troth.log", behind),
    "a temporary file": ("data/.tmp-0001", behind),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_planted_in_plain_is_found(case: Case, kind: str, tmp_path: Path) -> None:
    name, plant = KINDS[kind]
    copy = tmp_path / "copy"
    shutil.copytree(case.vendor.folder, copy, ignore=shutil.ignore_patterns("*.sock", "*.new"))
    there = [
        path for path in sorted(copy.rglob("*")) if path.is_file() and path.as_posix().startswith(f"{copy}/{name}")
    ]
    found = there[0] if there else copy / name
    plant(found, case.ann.email.encode())
    where = {each.file for each in find(copy, [case.ann.email])}
    assert where
    assert where <= {found, found.with_name(f"{found.name}-wal")}


def test_a_wrapped_key_somebody_kept_is_found(case: Case, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(case.vendor.folder / "keys", copy)
    with closing(sqlite3.connect(copy / "keys.db")) as database:
        database.execute("PRAGMA secure_delete=OFF")
        database.execute("CREATE TABLE kept (wrapped BLOB)")
        database.execute("INSERT INTO kept VALUES (?)", (next(iter(case.wrapped)),))
        database.commit()
        database.execute("DELETE FROM kept")
        database.commit()
    assert find(copy, case.wrapped)


def test_every_kind_of_file_there_is_was_planted_in(case: Case) -> None:
    """A new kind of file under the data folder needs its sabotage above."""
    files = [
        path.relative_to(case.vendor.folder).as_posix() for path in case.vendor.folder.rglob("*") if path.is_file()
    ]
    known = tuple(name.partition("000")[0] for name, _ in KINDS.values())
    apart = ("keys/root.key", "evidence/log.pub", "data/data.db-shm", "keys/keys.db-shm", "lock", "troth.lock")
    known += ("keys/epochs/",)  # each holds the bytes of one key and nothing else
    unknown = [f for f in files if not f.startswith(known) and f not in apart and not f.endswith((".sock", ".lock"))]
    assert [f for f in unknown if not f.startswith("evidence/tile/")] == []
