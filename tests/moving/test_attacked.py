"""An export in other hands: whatever is altered in it, cut off, added or forged is told before anything is written."""

from __future__ import annotations

import json
import random
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clauses.vendor import BEGIN, TENANT
from tests.disks import small_disk
from tests.moving.conftest import Left
from tests.moving.house import PHRASE, begin, bring, config_at, export, looked_through
from troth.cli.setting import demonstration_config
from troth.errors import Conflict, Damaged, Denied, Invalid, StartRefused, TrothError, Unavailable
from troth.store import Write
from troth.store.checkpoint import Ed25519Signer
from troth.store.migrate import HEADS
from troth.store.moving.away import away
from troth.store.moving.manifest import CONTEXT, NAME, SIGNATURE
from troth.vault.moving.arriving import Arriving
from troth.vault.moving.leaving import leave
from troth.vault.moving.passphrase import PassphraseProvider, provider
from troth.vault.provider import FileProvider
from troth.world import Randomness, SetClock, SystemRandomness


def refused(folder: Path, passphrase: str = PHRASE) -> TrothError:
    """What the look through says; it says no value of anybody's."""
    with pytest.raises((Damaged, Invalid)) as told:
        looked_through(folder, passphrase)
    found: TrothError = told.value
    assert "\n" not in found.detail
    return found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of a passphrase is made once, not for each of a hundred looks: it is made to be slow."""
    made: dict[tuple[str, bytes], PassphraseProvider] = {}

    def once(passphrase: str, salt: bytes, randomness: Randomness) -> PassphraseProvider:
        if (passphrase, salt) not in made:
            made[passphrase, salt] = provider(passphrase, salt, randomness)
        return made[passphrase, salt]

    monkeypatch.setattr("troth.vault.moving.export.provider", once)


def test_an_export_that_nobody_touched_holds(out: Path) -> None:
    assert looked_through(out).manifest.final


@pytest.mark.usefixtures("quick")
def test_a_flipped_bit_in_any_file_is_found(out: Path) -> None:
    chance = random.Random(4)
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        for at in {chance.randrange(len(whole)) for _ in range(3)} if whole else ():
            broken = bytearray(whole)
            broken[at] ^= 1 << chance.randrange(8)
            path.write_bytes(broken)
            refused(out)
        path.write_bytes(whole)
    looked_through(out)


@pytest.mark.full
@pytest.mark.usefixtures("quick")
def test_every_flipped_byte_of_the_small_files_is_found(out: Path) -> None:
    for name in (NAME, SIGNATURE, "secrets.jsonl", "epochs.jsonl", "tree.jsonl", "heads.jsonl"):
        whole = (out / name).read_bytes()
        for at in range(len(whole)):
            (out / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            refused(out)
        (out / name).write_bytes(whole)


@pytest.mark.usefixtures("quick")
def test_a_file_that_is_cut_off_or_gone_or_longer_is_found(out: Path) -> None:
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        path.write_bytes(whole + b"\n")
        refused(out)
        if whole:
            path.write_bytes(whole[: len(whole) // 2])
            refused(out)
            path.write_bytes(whole[: whole.rfind(b"\n", 0, -1) + 1])
            refused(out)
        path.unlink()
        refused(out)
        path.write_bytes(whole)


def test_without_manifest_or_signature_it_is_no_export(out: Path) -> None:
    for name in (NAME, SIGNATURE):
        whole = (out / name).read_bytes()
        (out / name).unlink()
        assert "broken off" in refused(out).detail
        (out / name).write_bytes(whole)
    assert "no whole export" in refused(out / "evidence").detail


@pytest.mark.parametrize("passphrase", ["", "another phrase of the same kind", PHRASE.upper(), PHRASE + " "])
def test_another_passphrase_opens_nothing(out: Path, passphrase: str) -> None:
    told = refused(out, passphrase)
    assert isinstance(told, Invalid)
    assert "passphrase" in told.detail


def test_a_passphrase_typed_in_another_alphabet_of_bytes_is_the_same(left: Left, tmp_path: Path) -> None:
    shutil.copytree(left.old, tmp_path / "old")
    from troth.vault import open_vault

    config = demonstration_config(tmp_path / "old", 0, 9)
    store, vault = open_vault(config, SetClock(BEGIN), SystemRandomness(), moved_away=True)
    leave(store, vault, config, tmp_path / "out", "ein Überseekoffer im Flur", final=True)
    store.close()
    looked_through(tmp_path / "out", "ein U\u0308berseekoffer im Flur")


# --- forged ---


def rewritten(
    out: Path, change: Callable[[dict[str, Any]], None], sign: Callable[[bytes], bytes] | None = None
) -> None:
    """The manifest with something changed, signed by whoever does it."""
    told = json.loads((out / NAME).read_text())
    change(told)
    content = json.dumps(told).encode()
    (out / NAME).write_bytes(content)
    if sign is not None:
        (out / SIGNATURE).write_bytes(b64encode(sign(CONTEXT + content)) + b"\n")


def of_a_copy(told: dict[str, Any]) -> None:
    told["final"] = True


def fewer(told: dict[str, Any]) -> None:
    told["files"] = [file for file in told["files"] if file["name"] != "guards.jsonl"]


def another_size(told: dict[str, Any]) -> None:
    told["log"]["size"] -= 1


def another_key(told: dict[str, Any]) -> None:
    told["log"]["key"] = told["log"]["key"].replace("+", "+0", 1)


def a_salt_of(digits: str) -> Callable[[dict[str, Any]], None]:
    def change(told: dict[str, Any]) -> None:
        told["passphrase"]["salt"] = digits

    return change


def deep(told: dict[str, Any]) -> None:
    inner: list[Any] = []
    for _ in range(900):
        inner = [inner]
    told["more"] = inner


@pytest.mark.parametrize(
    "change", [of_a_copy, fewer, another_size, another_key, deep, a_salt_of("abc"), a_salt_of("00"), a_salt_of("")]
)
def test_a_manifest_that_was_changed_is_found(left: Left, tmp_path: Path, change: Callable[..., None]) -> None:
    out = Path(shutil.copytree(left.copy, tmp_path / "out"))
    rewritten(out, change)
    assert isinstance(refused(out), Damaged)


def test_a_manifest_that_somebody_else_signed_is_found(out: Path) -> None:
    rewritten(out, lambda told: None, Ed25519Signer("somebody", bytes(range(32))).sign)
    assert "signature" in refused(out).detail


def test_a_signature_of_something_else_is_none(out: Path, left: Left) -> None:
    shutil.copyfile(left.copy / SIGNATURE, out / SIGNATURE)
    assert "signature" in refused(out).detail


def test_tables_of_another_export_do_not_fit(out: Path, left: Left) -> None:
    for name in ("secrets.jsonl", "ledger.jsonl", "guards.jsonl"):
        whole = (out / name).read_bytes()
        other = (left.copy / name).read_bytes()
        if other == whole:
            continue
        (out / name).write_bytes(other)
        refused(out)
        (out / name).write_bytes(whole)


def test_even_who_can_sign_cannot_drop_an_entry(left: Left, out: Path, tmp_path: Path) -> None:
    """The whole system's own key, in the hands of somebody who wants an erasure undone: the log does not add up."""
    shutil.copytree(left.old, tmp_path / "old")
    from troth.vault import open_vault

    store, _ = open_vault(
        demonstration_config(tmp_path / "old", 0, 9), SetClock(BEGIN), SystemRandomness(), moved_away=True
    )
    signer = store.signer
    store.close()
    whole = (out / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(whole) if b'"erase.done"' in line)
    (out / "ledger.jsonl").write_bytes(b"".join(whole[:at] + whole[at + 1 :]))

    def fit(told: dict[str, Any]) -> None:
        import hashlib

        content = (out / "ledger.jsonl").read_bytes()
        for file in told["files"]:
            if file["name"] == "ledger.jsonl":
                file |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "rows": len(whole) - 1}

    rewritten(out, fit, signer.sign)
    assert f"entry {at} of the log is missing" in refused(out).detail


# --- others, and elsewhere ---


def test_a_newer_format_and_newer_tables_are_told_apart_from_damage(out: Path) -> None:
    whole = (out / NAME).read_bytes()
    rewritten(out, lambda told: told.update(format=2, shoes=[]))
    assert "newer" in refused(out).detail
    (out / NAME).write_bytes(whole)
    rewritten(out, lambda told: told["tables"].update(data="9999"))
    told = refused(out)
    assert isinstance(told, Invalid)
    assert "data 9999" in told.detail
    assert HEADS["data"] in told.detail


def test_what_is_not_of_the_export_is_found_and_nothing_is_followed(out: Path, tmp_path: Path) -> None:
    (out / "notes.txt").write_text("mine")
    assert "notes.txt does not belong" in refused(out).detail
    (out / "notes.txt").unlink()
    kept = tmp_path / "elsewhere"
    (out / "guards.jsonl").rename(kept)
    (out / "guards.jsonl").symlink_to(kept)
    assert "guards.jsonl cannot be read" in refused(out).detail


def test_a_place_where_somebody_lives_is_not_moved_into(left: Left, tmp_path: Path) -> None:
    config = config_at(tmp_path / "new")
    bring(left.final, config)
    with pytest.raises(Conflict, match="already"):
        bring(left.final, config)
    begin(config).close()
    with pytest.raises(Conflict, match="already"):
        bring(left.final, config)
    with pytest.raises(Conflict, match="already"):
        bring(left.final, demonstration_config(left.old, 0, 9))


def test_another_tenant_is_another_system(left: Left, tmp_path: Path) -> None:
    from msgspec.structs import replace

    config = replace(config_at(tmp_path / "new"), tenant="other")
    with (
        pytest.raises(Invalid, match="main"),
        Arriving(looked_through(left.final), config, SetClock(BEGIN), SystemRandomness()),
    ):
        pass


def test_where_another_root_key_lies_the_keys_are_put_under_it(left: Left, tmp_path: Path) -> None:
    config = config_at(tmp_path / "new")
    FileProvider.create(config.path(config.root_key), SystemRandomness())
    before = config.path(config.root_key).read_bytes()
    bring(left.final, config)
    assert config.path(config.root_key).read_bytes() == before
    begin(config).close()
    config.path(config.root_key).write_bytes((left.old / "keys" / "root.key").read_bytes())
    with pytest.raises(StartRefused, match="root key is not the one"):
        begin(config)


# --- going out ---


@pytest.fixture
def goer(left: Left, tmp_path: Path) -> Iterator[Any]:
    """A system that may leave: it moved in just now."""
    config = config_at(tmp_path / "goer")
    bring(left.final, config)
    system = begin(config)
    yield system
    system.close()


def test_an_export_goes_into_an_empty_folder_of_its_own(goer: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(Conflict, match="not empty"):
        export(goer, tmp_path / "out")
    with pytest.raises(Invalid, match="data folder"):
        export(goer, goer.config.folder / "out")
    with pytest.raises(Invalid, match="fewer than 15"):
        leave(goer.store, goer.vault, goer.config, tmp_path / "short", "too short", final=True)
    assert not (tmp_path / "short").exists()
    assert goer.store.read(away) is None  # nobody left


def test_after_the_last_word_nothing_is_written_whoever_wants_to(goer: Any, tmp_path: Path) -> None:
    """A refusal is counted, and written when the gate closes: behind the last word it would part two histories."""
    with pytest.raises(Denied):
        goer.gate.open("account").read(TENANT, bytes(16), frozenset({"email"}))
    manifest = export(goer, tmp_path / "out")
    with pytest.raises(Unavailable, match="moved away"):
        goer.store.write(Write(lambda tx: None))
    goer.close()
    assert goer.store.size == manifest.log.size
    checkpoint = (goer.config.folder / "evidence" / "checkpoint").read_text()
    assert checkpoint == (tmp_path / "out" / "evidence" / "checkpoint").read_text()


@pytest.fixture(params=["32k", "256k"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A disk with too little room: for any table, or for the log."""
    with small_disk(tmp_path, request.param) as disk:
        yield disk


def test_a_full_disk_leaves_no_export_and_says_whether_the_system_left(goer: Any, small: Path, tmp_path: Path) -> None:
    before = goer.store.size
    with pytest.raises(Unavailable, match="No space left") as told:
        export(goer, small / "out")
    assert ("moved away" in told.value.detail) == (goer.store.size > before) == (small.name == "256k")
    assert "no whole export" in refused(small / "out").detail
    assert export(goer, tmp_path / "elsewhere").log.size == before + 1
    looked_through(tmp_path / "elsewhere")


def test_a_log_that_cannot_be_published_at_the_end_says_how_to_go_on(
    goer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evidence folder's disk is full when the last word has been said already."""
    publish, before = goer.store.publish, goer.store.size

    def full() -> int:
        if goer.store.size > before:
            raise OSError(28, "No space left on device")
        return int(publish())

    with monkeypatch.context() as patch:
        patch.setattr(goer.store, "publish", full)
        with pytest.raises(Unavailable, match="No space left") as told:
            export(goer, tmp_path / "out")
    assert "recorded as moved away" in told.value.detail
    assert export(goer, tmp_path / "elsewhere").log.size == before + 1
    looked_through(tmp_path / "elsewhere")
