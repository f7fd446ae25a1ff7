"""Erased: no key, no tag, no byte; and what cannot be seen to be done is not called done."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select

from tests.residue import files, find
from tests.vault.house import House, bytes_of, destroy
from troth.errors import Damaged, NotFound, Unavailable
from troth.store import tables
from troth.store.transaction import Write
from troth.vault import NewRecord, Vault
from troth.vault.records import seal

MARKER = "Zq7xUvKw93PmTr"


def rows_of(house: House, sid: bytes) -> tuple[list[bytes], list[bytes]]:
    """(wrapped keys, index entries) of a person, as they lie in K."""
    k, t = tables.data_keys, tables.tags
    keys = house.store.read_keys(lambda c: c.execute(select(k.c.wrapped).where(k.c.sid == sid)).all())
    tags = house.store.read_keys(lambda c: c.execute(select(t.c.tag, t.c.suppression).where(t.c.sid == sid)).all())
    return bytes_of(keys), bytes_of(tags)


def test_after_an_erasure_nothing_of_the_person_is_in_any_file(lite: House) -> None:
    """Invariant 10, and the bytes: values never were there, keys and tags are gone, rows are gone."""
    email = f"{MARKER}@example.org"
    ann = lite.admit(email, classes=("consent",))
    others = [lite.admit(f"p{n}@example.org") for n in range(30)]
    lite.prove(ann.sid)
    lite.contents(ann.sid)
    lite.keys(lambda ktx: lite.vault.suppress(ktx, "main", ann.sid, "newsletter"))
    keys, tags = rows_of(lite, ann.sid)
    assert len(keys) == 3
    assert len(tags) == 2
    cts = bytes_of(lite.store.read(lambda c: c.execute(select(tables.personal_records.c.ct)).all()))
    assert {one.encoding for one in find(lite.folder, [*keys, *tags, cts[0]])} >= {"plain"}, "they were there"
    assert find(lite.folder, [MARKER, email]) == [], "values never were"
    lite.erase(ann.sid)
    assert find(lite.folder, [MARKER, email, *keys, *tags]) == []
    assert all(lite.contents(one.sid) for one in others)
    lite.close()
    assert find(lite.folder, [MARKER, email, *keys, *tags, ann.sid]) == []


def test_the_search_would_have_found_the_keys_before_the_log_was_overwritten(lite: House) -> None:
    """Sabotage of the test above: without scrubbing, the dead keys are still in K's log."""
    ann = lite.admit()
    keys, _ = rows_of(lite, ann.sid)
    vault = lite.vault
    lite.store.write(Write(lambda tx: None, before=lambda ktx: destroy(vault, ktx, "main", ann.sid)))
    assert vault.look("main", ann.sid) == (0, 0)
    assert {one.file.name for one in find(lite.folder, keys)} == {"keys.db-wal"}
    vault.scrub()
    assert find(lite.folder, keys) == []


def test_while_a_reader_holds_the_log_the_scrubbing_is_not_done_and_says_so(lite: House) -> None:
    """Invariant 10: busy is not done."""
    ann = lite.admit()
    keys, _ = rows_of(lite, ann.sid)
    reader = sqlite3.connect(lite.config.path("keys/keys.db"), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM data_keys").fetchone()
    vault = lite.vault
    lite.store.write(Write(lambda tx: None, before=lambda ktx: destroy(vault, ktx, "main", ann.sid)))
    with pytest.raises(Unavailable, match="will be repeated"):
        vault.scrub()
    assert find(lite.folder, keys), "they are still there"
    reader.execute("COMMIT")
    reader.close()
    vault.scrub()
    assert find(lite.folder, keys) == []


def test_a_look_is_taken_on_a_connection_of_its_own(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 5, the vault's part: what was destroyed is asked of somebody who was not there."""
    ann = house.admit()
    opened: list[Any] = []
    real = house.store.keys._open_raw

    def count() -> Any:
        opened.append(real())
        return opened[-1]

    monkeypatch.setattr(house.store.keys, "_open_raw", count)
    assert house.vault.look("main", ann.sid) == (2, 1)
    house.keys(lambda ktx: house.vault.destroy(ktx, "main", ann.sid))
    assert house.vault.look("main", ann.sid) == (0, 0)
    assert len(opened) == 2
    for raw in opened:
        with pytest.raises(Exception, match=r"closed"):
            raw.execute("SELECT 1")


def test_a_key_that_survived_is_seen(house: House) -> None:
    ann = house.admit()
    house.keys(lambda ktx: ktx.execute(tables.tags.delete()).rowcount)
    assert house.vault.look("main", ann.sid) == (2, 0)
    assert house.keys(lambda ktx: house.vault.destroy(ktx, "main", ann.sid)) == (2, 0)
    assert house.keys(lambda ktx: house.vault.destroy(ktx, "main", ann.sid)) == (0, 0), "0 rows is success"


def test_nothing_opens_after_the_keys_are_destroyed(house: House) -> None:
    ann, bob = house.admit(), house.admit("bob@example.org")
    record = house.store.read(lambda c: house.vault.records(c, "main", ann.sid))[0]
    house.vault.open("main", record)
    house.keys(lambda ktx: house.vault.destroy(ktx, "main", ann.sid))
    for attempt in (
        lambda: house.vault.open("main", record),
        lambda: house.vault.opening("main", ann.sid),
        lambda: house.vault.seal("main", ann.sid, "newsletter", b"r" * 16, "t", 1, {}),
        lambda: house.vault.unseal("main", ann.sid, "newsletter", b"r" * 16, "t", 1, b"x" * 40),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert house.contents(bob.sid)


def test_a_copy_of_the_data_taken_before_opens_with_no_key_of_today(lite: House) -> None:
    """A backup of the data cannot bring anyone back: it opens nothing with the key store as it is now."""
    ann, bob = lite.admit("ann@example.org"), lite.admit("bob@example.org")
    backup = lite.folder.with_name("backup")
    lite.close()
    shutil.copytree(lite.folder / "data", backup)
    lite.erase(ann.sid)
    lite.close()
    shutil.rmtree(lite.folder / "data")
    shutil.copytree(backup, lite.folder / "data")
    with pytest.raises(NotFound):
        lite.contents(ann.sid)
    assert lite.vault.find("main", "email", "ann@example.org") is None
    assert lite.contents(bob.sid)
    assert lite.vault.repair.keyless() == [("main", ann.sid)]


# --- invariant 9 ---


PLANTED = {
    "email": f"{MARKER}.Planted@example.org",
    "name": f"Åsa {MARKER[::-1]} Öström",
    "phone": "+49 30 901820 4711",
    "note": f"first line\nsecond {MARKER}line of a longer text, " * 200,
}


def live(house: House, vault: Vault) -> None:
    """Everything the vault does to a person, with values that can be recognised."""
    records = [NewRecord("newsletter", house_terms(), PLANTED), NewRecord("account", house_terms(), PLANTED)]
    identifiers = {"email": PLANTED["email"], "reference": PLANTED["phone"]}
    ann = house.admit(None, identifiers=identifiers, records=records, classes=("consent",))
    house.prove(ann.sid)
    house.contents(ann.sid)
    vault.find("main", "email", PLANTED["email"])
    vault.transit_seal(PLANTED["name"].encode())
    cid = b"c" * 16
    vault.unseal("main", ann.sid, "consent", cid, "t", 1, ann.seal("consent", cid, "t", 1, PLANTED))
    house.keys(lambda ktx: vault.suppress(ktx, "main", ann.sid, "newsletter"))
    house.keys(lambda ktx: vault.suppress_value(ktx, "main", "email", PLANTED["email"], "marketing"))
    with pytest.raises(Damaged) as told:
        vault.unseal("main", ann.sid, "consent", cid, "other", 1, ann.seal("consent", cid, "t", 1, PLANTED))
    (house.folder / "told.log").write_text(f"{told.value!r} {told.value.__cause__!r} {told.value.__context__!r}")


def house_terms() -> Any:
    from tests.vault.house import TERMS

    return TERMS


def test_no_planted_value_stands_in_any_column_or_file_in_any_encoding(lite: House) -> None:
    """Invariant 9, as far as the vault writes."""
    live(lite, lite.vault)
    values = [*PLANTED.values(), MARKER, MARKER[::-1], "Öström"]
    assert find(lite.folder, values) == []
    lite.close()
    assert find(lite.folder, values) == []
    assert {path.suffix for path in files(lite.folder)} >= {".db", ".log", ".key"}


def test_the_search_finds_a_value_that_was_stored_in_plain(lite: House) -> None:
    """Sabotage: one record whose sealing was left out."""
    ann = lite.admit()
    t = tables.personal_records
    lite.store.write(Write(lambda tx: tx.execute(t.update().values(ct=PLANTED["email"].encode())).rowcount))
    assert find(lite.folder, [PLANTED["email"]])
    assert lite.mode(ann.sid) == "pending"


def test_a_ciphertext_is_not_its_value_shifted(lite: House) -> None:
    """The same value sealed twice shares no run of bytes with itself or with its other seal."""
    place = ("main", b"s" * 16, "c", b"r" * 16, "t", 1)
    one, two = (seal(AESGCM(b"k" * 32), lite.store.randomness, b"value" * 50, *place) for _ in range(2))
    assert len(one) == len(two) == 250 + 28
    assert not any(one[at : at + 5] in two for at in range(len(one) - 5))


def test_the_key_file_and_the_key_store_lie_where_no_backup_of_the_data_takes_them(lite: House) -> None:
    lite.admit()
    lite.close()
    data = {path.relative_to(lite.folder).parts[0] for path in files(lite.folder) if path.suffix in (".db", ".key")}
    assert data == {"data", "keys"}
    assert not [path for path in files(lite.folder / "data") if path.name.startswith(("root", "keys"))]
    assert Path(lite.folder / "keys").stat().st_mode & 0o077 == 0
