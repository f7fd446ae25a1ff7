"""The proof that is handed out: complete, checkable with what lies in it, and never greener than it is."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from tests.evidence.log import START_MS, Log, write
from troth.errors import Invalid, Unavailable
from troth.evidence.board import COLOURS, BoardRow, Status, badge, board_digest, tally
from troth.evidence.prove import proof_page, prove
from troth.evidence.tiles import snapshot
from troth.evidence.verify import verify_folder
from troth.evidence.words import read_words

PASS = BoardRow("rights.erase", "PASS", 12, "12 erasures ordered, 12 done", START_MS)
TEXT = BoardRow("scope.commitment", "TEXT ONLY", 0, "says what we intend")
IDLE = BoardRow("children.reply-only", "NOT EXERCISED", 0, "no child was reported")
LATER = BoardRow("protect.breach", "NOT ENFORCED", 0, "comes with a later issue")
FAIL = BoardRow("cookies.no-personal", "FAIL", 3, "a cookie <id> holds 40 bits & no more", START_MS)


@pytest.fixture
def evidence(log: Log, tmp_path: Path) -> Path:
    return write(log.files(), tmp_path / "evidence")


# --- the board ---


@pytest.mark.parametrize(
    ("row", "colour"), [(PASS, "green"), (TEXT, "green"), (IDLE, "amber"), (LATER, "amber"), (FAIL, "red")]
)
def test_each_status_has_its_colour(row: BoardRow, colour: str) -> None:
    assert row.colour == colour


@pytest.mark.parametrize("other", [IDLE, LATER, FAIL])
def test_one_row_that_is_not_green_takes_the_badge_away(other: BoardRow) -> None:
    assert badge([PASS, TEXT])
    assert not badge([PASS, other, TEXT])


def test_an_empty_board_earns_no_badge() -> None:
    assert not badge([])


def test_the_tally_names_every_status() -> None:
    assert tally([PASS, PASS, FAIL]) == dict.fromkeys(COLOURS, 0) | {"PASS": 2, "FAIL": 1}


def test_a_row_with_an_invented_status_is_refused() -> None:
    raw = {"clause": "x", "status": "GREEN", "entries": 1, "reason": "", "last_ms": None}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(raw, BoardRow)


def test_a_painted_row_changes_the_boards_digest() -> None:
    rows = [PASS, FAIL]
    painted = msgspec.structs.replace(FAIL, status="PASS")
    assert board_digest(rows) != board_digest([PASS, painted])
    assert board_digest(rows) != board_digest([FAIL, PASS])


# --- the proof ---


def test_a_proof_holds_by_the_verifier_that_lies_in_it(evidence: Path, log: Log, tmp_path: Path) -> None:
    proof = prove([PASS, TEXT], evidence, tmp_path / "proof", made_ms=START_MS)
    assert proof.badge
    assert {path.name for path in proof.path.iterdir()} == {
        "index.html",
        "board.json",
        "proof.json",
        "verifier.py",
        "evidence",
    }
    ran = subprocess.run(
        [sys.executable, "-I", "verifier.py", "evidence", "--key", log.key],
        cwd=proof.path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = json.loads((proof.path / "board.json").read_text())
    assert [(row["clause"], row["status"], row["entries"], row["reason"]) for row in rows] == [
        (row.clause, row.status, row.entries, row.reason) for row in (PASS, TEXT)
    ]
    facts = json.loads((proof.path / "proof.json").read_text())
    assert (facts["holds"], facts["badge"], facts["board_sha256"]) == (True, True, board_digest([PASS, TEXT]))
    assert facts["verification"]["size"] == len(log.bodies)


def test_evidence_that_does_not_hold_takes_the_badge_away_and_is_shown_as_it_is(evidence: Path, tmp_path: Path) -> None:
    tile = evidence / "tile/entries/000"
    raw = bytearray(tile.read_bytes())
    raw[50] ^= 1
    tile.write_bytes(bytes(raw))
    proof = prove([PASS, TEXT], evidence, tmp_path / "proof", made_ms=START_MS)
    assert not proof.badge
    assert (proof.path / "evidence/tile/entries/000").read_bytes() == bytes(raw)
    page = (proof.path / "index.html").read_text()
    assert "THE EVIDENCE DOES NOT HOLD" in page
    assert "tile/entries/000, entry 0" in page
    assert "Every clause is green." not in page


def test_a_forged_checkpoint_is_handed_out_as_found_and_named(evidence: Path, tmp_path: Path) -> None:
    (evidence / "checkpoint").write_text("nonsense")
    proof = prove([PASS], evidence, tmp_path / "proof", made_ms=START_MS)
    assert [fault.step for fault in proof.report.faults()] == ["checkpoint"]
    assert (proof.path / "evidence/checkpoint").read_text() == "nonsense"


def test_a_log_that_grew_meanwhile_is_cut_to_what_the_checkpoint_speaks_of(log: Log, tmp_path: Path) -> None:
    grown = write(log.files() | {"checkpoint": log.checkpoint(100)}, tmp_path / "evidence")
    assert dict(snapshot(grown)) == log.files(100)
    partly = write(log.files(90) | log.files(70) | {"checkpoint": log.checkpoint(70)}, tmp_path / "partly")
    (partly / "tile/0/000.p/70").unlink()
    (partly / "tile/entries/000.p/70").unlink()
    assert dict(snapshot(partly)) == log.files(70)
    proof = prove([PASS], grown, tmp_path / "proof", made_ms=START_MS)
    assert proof.report.ok
    assert proof.report.size == 100
    assert verify_folder(proof.path / "evidence").findings == []


def test_a_missing_tile_is_told_instead_of_half_a_proof(evidence: Path, tmp_path: Path) -> None:
    (evidence / "tile/0/000").unlink()
    with pytest.raises(Unavailable):
        prove([PASS], evidence, tmp_path / "proof", made_ms=START_MS)
    assert not (tmp_path / "proof").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["evidence"]


def test_the_same_proof_is_the_same_zip_byte_for_byte(evidence: Path, tmp_path: Path) -> None:
    one = prove([PASS, FAIL], evidence, tmp_path / "one.zip", made_ms=START_MS)
    two = prove([PASS, FAIL], evidence, tmp_path / "two.zip", made_ms=START_MS)
    assert one.path.read_bytes() == two.path.read_bytes()
    with zipfile.ZipFile(one.path) as archive:
        assert archive.testzip() is None
        assert {"index.html", "verifier.py", "evidence/checkpoint"} <= set(archive.namelist())


def test_an_older_proof_is_never_overwritten(evidence: Path, tmp_path: Path) -> None:
    for name in ("proof", "proof.zip"):
        prove([PASS], evidence, tmp_path / name, made_ms=START_MS)
        with pytest.raises(Invalid):
            prove([PASS], evidence, tmp_path / name, made_ms=START_MS)
    (tmp_path / "empty").mkdir()
    assert prove([PASS], evidence, tmp_path / "empty", made_ms=START_MS).badge


@pytest.mark.parametrize("language", ["en", "ar"])
def test_the_page_shows_every_row_and_escapes_what_it_is_given(evidence: Path, language: str) -> None:
    rows = [PASS, TEXT, IDLE, LATER, FAIL]
    page = proof_page(rows, verify_folder(evidence), made_ms=START_MS, words=read_words(language))
    assert all(f"<code>{row.clause}</code>" in page for row in rows)
    assert "a cookie &lt;id&gt; holds 40 bits &amp; no more" in page
    assert "<script" not in page
    assert f'dir="{read_words(language).direction}"' in page
    assert page.count('<tr class="red">') == 1


# --- the words ---


def test_both_languages_have_the_same_texts_with_the_same_placeholders() -> None:
    import tomllib

    from troth.evidence import words

    def flat(language: str) -> dict[str, str]:
        return dict(words._flatten(tomllib.loads((words.FOLDER / f"{language}.toml").read_text("utf-8"))))

    def names(text: str) -> set[str]:
        import string

        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    english, arabic = flat("en"), flat("ar")
    assert english.keys() == arabic.keys()
    assert {key: names(text) for key, text in english.items()} == {key: names(text) for key, text in arabic.items()}


def test_every_status_and_every_member_of_an_entry_has_a_word() -> None:
    from troth.evidence.entries import EntryBody

    text = read_words().text
    for status in msgspec.json.schema(BoardRow)["$defs"]["BoardRow"]["properties"]["status"]["enum"]:
        assert text(f"proof.state.{status.lower().replace(' ', '_')}")
    assert all(text(f"receipt.member.{name}") for name in EntryBody.__struct_fields__)


def test_an_unknown_language_is_answered_in_english() -> None:
    assert read_words("../../etc/passwd").language == read_words("xx").language == "en"


def test_statuses_are_those_of_the_glossary() -> None:
    assert set(COLOURS) == set(Status.__args__)  # type: ignore[attr-defined]  # typing gives Literal's values no typed name
