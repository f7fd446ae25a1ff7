"""The published log: files that prove the ledger without the database, and that it is never rolled back."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.store.shop import KEY, ORIGIN, Shop, bodies, faults, naming, products
from tests.store.test_writer import until
from troth.errors import StartRefused
from troth.store.checkpoint import Ed25519Signer, parse_checkpoint, parse_verifier_key
from troth.store.ledger import EntryDraft
from troth.store.merkle import Frontier, leaf_hash
from troth.store.open import Store, open_store
from troth.store.tiles import Head, bundle, tile_path, unbundle
from troth.store.transaction import DataTx
from troth.store.writer import Write
from troth.world import SystemRandomness

SIGNER = Ed25519Signer(ORIGIN, KEY)


def many(count: int) -> Write[None]:
    """So many entries in one write."""

    def body(tx: DataTx) -> None:
        for at in range(count):
            tx.append(EntryDraft("check.run", "evidence.ledger", "evidence.ledger", facts={"at": at}))

    return Write(body)


def head_of(folder: Path) -> tuple[str, int, bytes]:
    return parse_checkpoint((folder / "checkpoint").read_text("utf-8"), SIGNER.public)


def entries_of(folder: Path) -> list[bytes]:
    """What the bundles hold up to the checkpoint, by the format's rules alone."""
    _, size, _ = head_of(folder)
    found: list[bytes] = []
    for number in range((size + 255) // 256):
        width = min(256, size - 256 * number)
        found += unbundle((folder / tile_path("entries", number, width)).read_bytes())
    return found


def faults_of(folder: Path) -> list[str]:
    """Every tile up to the checkpoint, computed again from the entries and compared; and the root."""
    found = []
    root = head_of(folder)[2]
    hashes = [leaf_hash(body) for body in entries_of(folder)]
    if Frontier().extend(hashes).root() != root:
        found.append("the entries do not make the root")
    level = 0
    while hashes:
        for number in range((len(hashes) + 255) // 256):
            members = hashes[256 * number : 256 * (number + 1)]
            tile = folder / tile_path(level, number, len(members))
            if not tile.exists() or tile.read_bytes() != b"".join(members):
                found.append(f"{tile.relative_to(folder)} is not what it must be")
        full = len(hashes) // 256
        hashes = [Frontier().extend(hashes[256 * at : 256 * (at + 1)]).root() for at in range(full)]
        level += 1
    if list(folder.rglob("*.new")):
        found.append("a file that was not finished lies about")
    return found


def test_tiles_lie_where_the_format_puts_them() -> None:
    assert tile_path(0, 5) == "tile/0/005"
    assert tile_path(1, 0, 7) == "tile/1/000.p/7"
    assert tile_path("entries", 1234067) == "tile/entries/x001/x234/067"
    assert tile_path(0, 1000, 255) == "tile/0/x001/000.p/255"


def test_a_bundle_holds_entries_after_their_lengths_and_says_when_it_is_cut() -> None:
    entries = [b"", b"a", b"b" * 65535]
    joined = bundle(entries)
    assert joined[:5] == b"\x00\x00\x00\x01a"
    assert list(unbundle(joined)) == entries
    for cut in (1, 4, len(joined) - 1):
        with pytest.raises(ValueError, match="ends inside"):
            list(unbundle(joined[:cut]))


def test_what_is_committed_is_published_by_itself_with_the_key_to_check_it(shop: Shop) -> None:
    store = shop.open()
    pids = [store.write(naming(os.urandom(16))) for _ in range(5)]
    folder = shop.folder / "evidence"
    until(lambda: (folder / "checkpoint").exists() and head_of(folder)[1] == 5)
    assert entries_of(folder) == bodies(store)
    assert faults_of(folder) == []
    assert parse_verifier_key((folder / "log.pub").read_text()) == (ORIGIN, SIGNER.public)
    assert len(pids) == len(products(store))


@pytest.mark.parametrize("sizes", [(1, 1, 1), (255, 1, 1), (256,), (300, 212, 1), (700, 700), (65_536 + 300, 3)])
def test_tiles_of_any_size_are_those_of_the_entries(lite: Shop, sizes: tuple[int, ...]) -> None:
    store = lite.open()
    folder = lite.folder / "evidence"
    for count in sizes:
        store.write(many(count))
        assert store.publish() == store.size
        assert head_of(folder)[1] == store.size
        assert faults_of(folder) == []
    lite.close()
    store = lite.open()
    store.write(many(3))
    store.publish()
    assert faults_of(folder) == []
    assert entries_of(folder) == bodies(store)


def test_the_checkpoint_comes_last_when_all_it_speaks_of_is_there_and_k_remembers_it(
    lite: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = lite.open()
    folder = lite.folder / "evidence"
    seen: list[str] = []
    real = store.publisher.tiles.announce

    def announce(head: Head) -> None:
        remembered = store.read_keys(lambda c: c.execute(text("SELECT size, root FROM heads")).one())
        if (remembered.size, bytes(remembered.root)) != (head.size, head.root):
            seen.append("K does not know the head yet")
        for number in range((head.size + 255) // 256):
            width = min(256, head.size - 256 * number)
            if not (folder / tile_path("entries", number, width)).exists():
                seen.append("a bundle is missing")
        real(head)

    monkeypatch.setattr(store.publisher.tiles, "announce", announce)
    for _ in range(3):
        store.write(many(200))
        store.publish()
    assert seen == []


def test_a_death_at_any_step_of_publishing_leaves_a_key_store_that_starts(
    lite: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = lite.open()
    store.write(many(3))
    store.publish()
    pictures: dict[str, Path] = {}

    def watched(step: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def do(*given: Any) -> Any:
            pictures[f"before {step}"] = Path(shutil.copytree(lite.folder, tmp_path / f"before {step}"))
            done = real(*given)
            pictures[f"after {step}"] = Path(shutil.copytree(lite.folder, tmp_path / f"after {step}"))
            return done

        return do

    publisher = store.publisher
    with publisher._turn:  # the publisher's own thread waits, so that one publication is watched, and whole
        store.write(many(3))
        monkeypatch.setattr(publisher.tiles, "extend", watched("the tiles", publisher.tiles.extend))
        monkeypatch.setattr(publisher, "_write_keys", watched("K remembers", publisher._write_keys))
        monkeypatch.setattr(publisher.tiles, "announce", watched("the checkpoint", publisher.tiles.announce))
    store.publish()
    assert len(pictures) == 6
    announced = {name: head_of(picture / "evidence")[1] for name, picture in pictures.items()}
    assert announced == dict.fromkeys(pictures, 3) | {"after the checkpoint": 6}
    torn = Path(shutil.copytree(pictures["after the checkpoint"], tmp_path / "torn"))
    shutil.rmtree(torn / "keys")
    shutil.copytree(pictures["before K remembers"] / "keys", torn / "keys")
    for picture in pictures.values():
        again = Shop(picture)
        assert again.open().size == 6  # what was committed before is there, and K is not taken for an older copy
        again.close()
    with pytest.raises(StartRefused, match="key store remembers 3"):  # two moments put together are none of a death
        Shop(torn).open()


def test_tiles_rebuilt_from_the_data_are_the_same_to_the_byte(shop: Shop) -> None:
    store = shop.open()
    store.write(many(700))
    shop.close()
    folder = shop.folder / "evidence"
    before = {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    shutil.rmtree(folder)
    with pytest.raises(StartRefused, match="tiles are missing"):
        shop.open()
    shop.open(rebuild_tiles=True)
    shop.close()
    after = {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert after == before
    assert faults_of(folder) == []


@pytest.mark.parametrize("damage", ["flip a hash", "flip an entry", "cut", "drop", "drop all"])
def test_tiles_that_are_not_the_log_keep_troth_from_starting(lite: Shop, damage: str) -> None:
    lite.open().write(many(300))
    lite.close()
    folder = lite.folder / "evidence"
    tile = folder / tile_path("entries" if damage == "flip an entry" else 0, 1, 44)
    whole = tile.read_bytes()
    if damage.startswith("flip"):
        tile.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    elif damage == "cut":
        tile.write_bytes(whole[:-32])
    elif damage == "drop":
        tile.unlink()
    else:
        shutil.rmtree(folder / "tile")
    with pytest.raises(StartRefused, match="tiles"):
        lite.open()
    lite.open(rebuild_tiles=True)
    assert faults(lite.open()) == []


# --- D against what K remembers ---


def roll_back(store: Store, size: int) -> Callable[[], None]:
    """Make D what it was at ``size``, to the byte of its rows: what an old copy of D would be."""

    def state() -> list[tuple[object, ...]]:
        return store.read(lambda c: [tuple(row) for row in c.execute(text("SELECT * FROM tree"))])

    assert store.size == size
    old = state()[0]

    def back() -> None:
        database = store.data
        with database.transaction() as connection:
            connection.execute(text("DELETE FROM ledger WHERE seq >= :size"), {"size": size})
            connection.execute(
                text("UPDATE tree SET size = :a, frontier = :b, root = :c, checkpoint = :d, batch = :e, at_ms = :f"),
                dict(zip("abcdef", old[1:], strict=True)),
            )

    return lambda: store.writer.control(back).result(60)


def test_an_older_copy_of_the_data_does_not_start(shop: Shop) -> None:
    store = shop.open()
    store.write(many(10))
    back = roll_back(store, 10)
    store.write(many(10))
    store.publish()
    back()
    store.publisher.close()  # it would refuse as well; here the next start is asked
    with pytest.raises(ValueError, match="larger log"):
        store.publish()
    shop.close()
    with pytest.raises(StartRefused, match="older copy"):
        shop.open()
    with pytest.raises(StartRefused, match="older copy"):
        shop.open(rebuild_tiles=True)


def test_an_older_file_of_the_data_put_back_does_not_start(lite: Shop) -> None:
    lite.open().write(many(10))
    lite.close()
    old = (lite.folder / "data" / "data.db").read_bytes()
    lite.open().write(many(10))
    lite.close()
    (lite.folder / "data" / "data.db").write_bytes(old)
    with pytest.raises(StartRefused, match="older copy"):
        lite.open()


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("UPDATE ledger SET body = (SELECT body FROM ledger WHERE seq = 3) WHERE seq = 12", "own signed root"),
        ("DELETE FROM ledger WHERE seq = 19", "own signed root"),
        ("UPDATE tree SET size = 21", "tree row"),
        ("UPDATE tree SET checkpoint = replace(checkpoint, 'example', 'exbmple')", "not signed"),
        ("DELETE FROM tree", "older copy"),
    ],
)
def test_a_ledger_that_was_changed_since_it_was_published_does_not_start(
    lite: Shop, damage: str, complaint: str
) -> None:
    store = lite.open()
    store.write(many(10))
    store.publish()
    store.publisher.close()
    store.write(many(10))

    def work() -> None:
        with store.data.transaction() as connection:
            connection.exec_driver_sql(damage)

    store.writer.control(work).result(60)
    store.writer.close()
    lite.close()
    with pytest.raises(StartRefused, match=complaint):
        lite.open()


def test_a_log_signed_by_another_key_does_not_start(shop: Shop) -> None:
    shop.open().write(many(3))
    shop.close()
    with pytest.raises(StartRefused, match="not signed by this installation's key"):
        open_store(shop.config, shop.clock, SystemRandomness(), lambda keys: Ed25519Signer(ORIGIN, bytes(32)))


def test_while_the_tiles_cannot_be_written_the_fault_shows_and_ends_when_they_can(lite: Shop) -> None:
    store = lite.open()
    folder = lite.folder / "evidence"
    store.write(many(1))
    store.publish()
    away = folder.rename(lite.folder / "away")
    folder.write_text("in the way")
    store.write(naming(os.urandom(16)))
    until(lambda: store.publisher.fault is not None)
    assert len(products(store)) == 1
    folder.unlink()
    away.rename(folder)
    until(lambda: store.publisher.fault is None)
    assert head_of(folder)[1] == 2
    assert faults_of(folder) == []


def test_a_reader_of_the_folder_never_sees_a_checkpoint_that_its_tiles_do_not_hold(lite: Shop) -> None:
    store = lite.open()
    folder = lite.folder / "evidence"
    store.write(many(1))
    store.publish()
    stop, seen = threading.Event(), []

    def watch() -> None:
        while not stop.is_set():
            text = (folder / "checkpoint").read_text("utf-8")
            _, size, _ = parse_checkpoint(text, SIGNER.public)
            number, width = (size - 1) // 256, (size - 1) % 256 + 1
            tiles = [folder / tile_path("entries", number, width), folder / tile_path("entries", number)]
            if not any(tile.exists() for tile in tiles):
                seen.append(size)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(30):
        store.write(many(37))
        store.publish()
    stop.set()
    watcher.join()
    assert seen == []


def test_sabotage_the_tests_own_check_sees_a_flipped_byte_in_every_kind_of_file(lite: Shop) -> None:
    lite.open().write(many(600))
    lite.close()
    folder = lite.folder / "evidence"
    for path in (tile_path(0, 0), tile_path(0, 2, 88), tile_path(1, 0, 2), tile_path("entries", 1), "checkpoint"):
        file = folder / path
        whole = file.read_bytes()
        file.write_bytes(whole[:40] + bytes([whole[40] ^ 4]) + whole[41:])
        try:
            found = faults_of(folder)
        except ValueError as fault:
            found = [str(fault)]
        assert found, path
        file.write_bytes(whole)
    assert faults_of(folder) == []
