"""The board tells what it found in the reader's language, and beside each PASS what its evidence cannot show."""

from __future__ import annotations

import ast
import re
import string
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

import troth
from tests.clauses.conftest import Open
from tests.clauses.tampering import behind
from tests.clauses.vendor import Vendor
from tests.web.visitor import Visitor
from troth.evidence.board import BoardRow
from troth.evidence.checks import failed
from troth.evidence.clauses import CHECKS, Board
from troth.evidence.clauses import board as compute
from troth.evidence.inspection import Inspection
from troth.evidence.said import Said, say, told
from troth.evidence.words import FOLDER, read_words
from troth.policy.vocabulary import MECHANISMS
from troth.web import inspecting
from troth.web.catalogue import read_catalogue

SOURCE = Path(troth.__file__).parent
ENTRANCE = {"found.join"}


def flat(language: str, *tables: str) -> dict[str, str]:
    """The texts of these tables of the evidence's words, by dotted key."""

    def walk(table: dict[str, object], prefix: str) -> Iterator[tuple[str, str]]:
        for name, value in table.items():
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{name}.")
            else:
                yield prefix + name, str(value)

    read = tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))
    return dict(walk({name: read[name] for name in tables or read}, ""))


def holes(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def sayings() -> list[tuple[str, set[str], str]]:
    """Every ``say(...)`` of the source: its key, the names of its values, and where it stands."""
    found = []
    for file in sorted(SOURCE.rglob("*.py")):
        source = file.read_text("utf-8")
        for node in ast.walk(ast.parse(source)) if "troth.evidence.said" in source else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say":
                where = f"{file.name}:{node.lineno}"
                assert node.args, where
                assert isinstance(node.args[0], ast.Constant), f"{where}: the key must be written out"
                found.append((str(node.args[0].value), {str(k.arg) for k in node.keywords}, where))
    return found


def test_every_sentence_of_a_check_has_its_words_and_its_values() -> None:
    words = flat("en", "found")
    assert len(sayings()) > 100
    wrong = [(k, where) for k, names, where in sayings() if holes(words.get(f"found.{k}", "{?}")) != names]
    assert wrong == []


def test_no_sentence_waits_for_a_check_that_is_gone() -> None:
    assert set(flat("en", "found")) - {f"found.{key}" for key, _, _ in sayings()} == ENTRANCE


@pytest.mark.parametrize("language", sorted(p.stem for p in FOLDER.glob("*.toml")))
def test_the_evidences_words_are_complete_in_each_language(language: str) -> None:
    english, other = flat("en"), flat(language)
    assert set(other) == set(english)
    assert [key for key in english if holes(english[key]) != holes(other[key])] == []


@pytest.mark.parametrize("language", ["en", "ar"])
def test_every_mechanism_that_can_pass_says_what_its_evidence_cannot_show(language: str) -> None:
    limits = {key.removeprefix("limits.") for key in flat(language, "limits")}
    assert limits == set(CHECKS)
    assert limits <= set(MECHANISMS)


def test_the_limits_are_short() -> None:
    assert [key for key, text in flat("en", "limits").items() if len(text) > 100] == []


def test_no_text_of_the_evidence_hides_behind_one_of_the_web() -> None:
    laid = tomllib.loads((Path(inspecting.__file__).parent / "catalogue" / "en.toml").read_text("utf-8"))
    assert not {"found", "limits", "proof"} & set(laid)
    assert read_catalogue().text("ar", "found.join") == "؛ "


def test_three_faults_are_told_and_the_others_counted() -> None:
    faults = [say("suppress.keyed.missing", purpose=name) for name in ("a", "b", "c", "d", "e")]
    verdict = failed(*faults)
    assert told(verdict.said) == ("no suppression for a; no suppression for b; no suppression for c; and more: 2")
    assert failed(*faults[:3]).said == tuple(faults[:3])


def test_a_row_speaks_the_language_it_is_asked_in_and_says_limits_beside_a_pass_only() -> None:
    said = (Said("right.erase.rows", {"tables": "tags"}),)
    row = BoardRow("rights.erase", "FAIL", 1, told(said), None, said, ("right.erase", "right.proof"))
    assert row.reason == "rows of an erased person are still there in tags"
    arabic = row.found(read_words("ar"))
    assert "\u2068tags\u2069" in arabic  # an id keeps its own direction
    assert re.search(r"[\u0600-\u06ff]", arabic)
    assert row.limits(read_words()) == ""
    good = BoardRow("rights.erase", "PASS", 1, "", None, (), ("right.erase", "right.proof"))
    assert good.limits(read_words()).count(".") >= 2


def test_what_is_not_enforced_stays_in_the_policys_own_words() -> None:
    row = BoardRow("protect.breach", "NOT ENFORCED", 0, "comes later", mechanisms=("breach.register",))
    assert row.found(read_words("ar")) == "comes later"


# --- as it is served ---


def latin(page: str) -> list[str]:
    """Runs of English left in an Arabic page, outside code, figures and what is marked as English."""
    page = re.sub(r"<(code|title|style|script|head)\b.*?</\1>", " ", page, flags=re.S)
    page = re.sub(r"<(\w+)[^>]*\blang=\"en\"[^>]*>.*?</\1>", " ", page, flags=re.S)
    page = re.sub("\u2068.*?\u2069", " ", page)
    return re.findall(r"[A-Za-z]{3,}(?: [A-Za-z]+)+", re.sub(r"<[^>]+>", "|", page))


def test_the_board_and_every_clause_are_in_arabic_for_who_reads_arabic(opened: Open) -> None:
    system = opened()
    with Visitor(system.shell) as visitor:
        board = visitor.page("/evidence", **{"accept-language": "ar"}).text
        assert latin(board.partition("<table")[2].partition("</table>")[0]) == []
        assert board.count('class="limits"') == sum(r.status == "PASS" for r in system.inspector.now().rows)
        for name in ("rights.erase", "protect.storage", "scope.commitment", "protect.transit", "collect.newsletter"):
            clause = visitor.page(f"/policy/clauses/{name}", **{"accept-language": "ar"}).text
            main = re.sub(r"<blockquote.*?</blockquote>", "", clause.partition("<main")[2].partition("</main>")[0])
            assert latin(main) == [], name
        english = visitor.page("/policy/clauses/rights.erase").text
    assert "Copies made before." in english
    erased = {entry.facts["cause"] for entry in system.inspector.inspection().entries("erase.done")}
    assert erased == {"right", "refusal"}  # Annabeth by her right, and a browser's history whose yes was taken back
    assert "erasures: 2" in english


def test_the_policys_own_sentence_is_marked_with_its_language(opened: Open) -> None:
    system = opened()
    off = next(c for c in system.policy.clauses.values() if c.not_enforced)
    with Visitor(system.shell) as visitor:
        page = visitor.page(f"/policy/clauses/{off.id}", **{"accept-language": "ar"}).text
    assert f'<p class="lead" dir="auto" lang="{system.policy.language}">' in page


def test_looks_at_the_same_moment_share_one_board(opened: Open) -> None:
    system = opened()
    computed = []

    def counting(inspection: Inspection) -> Board:
        computed.append(1)
        return compute(inspection)

    with patch("troth.web.inspecting.compute", counting):
        lookers = [threading.Thread(target=system.inspector._once) for _ in range(4)]
        for looker in lookers:
            looker.start()
        for looker in lookers:
            looker.join()
    assert len(computed) == 1


def test_a_new_version_in_force_is_on_the_board_at_once(vendor: Vendor) -> None:
    from troth.world import DAY_MS

    source = vendor.system.policy.source
    later = source.replace("version: 2026-01-15", "version: 2026-03-03").replace(
        "effective: 2026-02-15", "effective: 2026-03-03"
    )
    vendor.system.versions.publish(later, None)
    vendor.system.inspector.now()
    old = vendor.system.inspector._fresh()
    assert old is not None
    assert old.version == "2026-01-15"
    vendor.clock.advance(DAY_MS - 12 * 3_600_000 - 30_000)  # half a minute before midnight
    vendor.system.inspector.now()
    vendor.clock.advance(40_000)
    assert vendor.system.policy.version == "2026-03-03"
    assert vendor.system.inspector._fresh() is None


def test_a_registration_without_the_state_its_keeping_rests_on_is_named(opened: Open, copy: Path) -> None:
    system = opened()
    assert behind(copy, "DELETE FROM subject_states")
    row = next(r for r in system.inspector.now().rows if r.clause == "collect.registration")
    assert row.status == "FAIL"
    assert "intake.registration.stateless" in {one.key for one in row.said}
