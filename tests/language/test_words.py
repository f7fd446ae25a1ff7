"""The words of messages as files: what is wrong with them is told with its line and column, and nothing starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.clauses.vendor import vendor_at
from tests.policies import example
from tests.use.test_messages import BASE
from troth.errors import StartRefused
from troth.use.compose import Composer
from troth.web.catalogue import Catalogue, read_catalogue
from troth.web.wording import check_words

FOLDER = Path(__file__).parent / "words"
MARK = "# ===== expected =====\n"


def composer_of(catalogue: Catalogue) -> Composer:
    languages = frozenset(catalogue.languages)
    return Composer(catalogue.words, base_url=BASE, sender="post@example.org", languages=languages)


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.toml")), ids=lambda file: file.stem)
def test_words_as_written(file: Path, tmp_path: Path) -> None:
    expected = [line.removeprefix("# ") for line in file.read_text("utf-8").split(MARK)[1].splitlines()]
    shutil.copy(file, tmp_path / "en.toml")
    composer = composer_of(read_catalogue(tmp_path))
    told = check_words(composer, example(), ["en"], [tmp_path])
    found = [f"{each.line}:{each.column} {each.severity} {each.code}" for each in told]
    assert sorted(found, key=_place) == sorted(expected, key=_place)
    assert {each.file for each in told} <= {"en.toml"}


def _place(line: str) -> tuple[int, int, str]:
    at, _, code = line.partition(" ")
    row, column = at.split(":")
    return int(row), int(column), code


def test_our_own_words_compile_in_every_language() -> None:
    catalogue = read_catalogue()
    composer = composer_of(catalogue)
    assert check_words(composer, example(), catalogue.languages, []) == []


def test_a_system_does_not_start_with_marketing_in_a_service_message(tmp_path: Path) -> None:
    with vendor_at(tmp_path / "vendor") as vendor:
        words = vendor.folder / "words"
        words.mkdir()
        shutil.copy(FOLDER / "marketing-in-a-service-message.toml", words / "en.toml")
        with pytest.raises(StartRefused) as refused:
            vendor.again()
        assert refused.value.clause == "rights.automated"
        assert any("en.toml:8:1: error[MARKETING_IN_DISGUISE]" in gap for gap in refused.value.gaps)
        shutil.rmtree(words)
        vendor.again()
