"""Reading files: whatever somebody gives, it is rows or one clear reason, by line, and never a value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from troth.collect.importing.reading import MAX_LINE, Row, scan
from troth.errors import Invalid

SECRET = "quillon.zebra@xylophone.example.org"
LOOSE = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rows(tmp_path: Path, content: bytes) -> list[Row]:
    file = tmp_path / "file"
    file.write_bytes(content)
    return list(scan(file))


def refused(tmp_path: Path, content: bytes) -> str:
    """The one reason why a file is refused; it holds no value of it."""
    with pytest.raises(Invalid) as caught:
        rows(tmp_path, content)
    assert SECRET not in caught.value.detail
    assert "zebra" not in repr(caught.value)
    return caught.value.detail


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_is_read_however_its_lines_end_and_its_values_are_parted(
    tmp_path: Path, mark: bytes, end: str, delimiter: str
) -> None:
    text = end.join(delimiter.join(line) for line in (("email", "name"), ("a@x.org", '"Ann\nQ"'), ("b@x.org", "Ben")))
    found = rows(tmp_path, mark + text.encode())
    assert found == [Row(2, {"email": "a@x.org", "name": "Ann\nQ"}), Row(4, {"email": "b@x.org", "name": "Ben"})]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    assert [row.line for row in rows(tmp_path, b"email,name\n\na@x.org,A\n,\n  \n\nb@x.org,B\n\n")] == [3, 7]


def test_a_row_of_another_length_than_the_header_is_held(tmp_path: Path) -> None:
    found = rows(tmp_path, b"email,name\na@x.org\nb@x.org,B\nc@x.org,C,D\n")
    assert [(row.line, row.fault) for row in found] == [(2, "cells"), (3, ""), (4, "cells")]
    assert found[0].cells == found[2].cells == {}


@pytest.mark.parametrize(
    "line", ["[1, 2]", "{", '"x"', '{"a": 1, "a": 2}', "nonsense", "[" * 100_000], ids=lambda line: line[:12]
)
def test_a_line_that_is_no_object_is_held(tmp_path: Path, line: str) -> None:
    found = rows(tmp_path, f'{{"email": "a@x.org"}}\n{line}\n'.encode())
    assert [(row.line, row.fault) for row in found] == [(1, ""), (2, "json")]


def test_members_are_texts_as_they_would_stand_in_a_table(tmp_path: Path) -> None:
    line = '{"a": 1, "b": 1.50, "c": true, "d": null, "e": {"f": ["é"]}, "g": "t"}'
    (found,) = rows(tmp_path, line.encode())
    assert found.cells == {"a": "1", "b": "1.50", "c": "true", "d": "", "e": '{"f": ["é"]}', "g": "t"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (f"email\n{SECRET}\n".encode("utf-16"), "line 1 is not UTF-8"),
        (f"email,name\n{SECRET},Zoë\n".encode("latin-1"), "line 2 is not UTF-8"),
        (b"email\nquillon\0zebra@x.org\n", "line 2 is not UTF-8"),
        (b"\x7fELF\x02\x01\x01\x00" + bytes(64), "line 1 is not UTF-8"),
        (b"PK\x03\x04\x14\x00\x06\x00", "line 1 is not UTF-8"),
        (f'email,name\n"{SECRET},A\nb@x.org,B\n'.encode(), "line 2: the quotation marks"),
        (f'email,name\n"{SECRET}"x,A\n'.encode(), "line 2: the quotation marks"),
        (b'email,name\n"' + b"zebra" * 30_000 + b'",A\n', "line 2: the quotation marks"),
        (b"email,name,email\na,b,c\n", "columns 1 and 3 have the same name"),
        (b"email,,\na,b,c\n", "columns 2 and 3 have the same name"),
        (b"email,name\n" + b"zebra" * (MAX_LINE // 4) + b"\n", "line 2 is longer"),
        (b",".join(b"c%d" % n for n in range(1001)) + b"\n", "more than 1000 columns"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_file_that_cannot_be_read_is_refused_with_one_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    assert reason in refused(tmp_path, content)


def test_a_line_of_a_gigabyte_is_refused_without_being_held_in_memory(tmp_path: Path) -> None:
    import tracemalloc

    file = tmp_path / "file"
    with file.open("wb") as out:
        out.write(b"email\n")
        out.seek(1 << 30)  # a hole: it takes no room on the disk
        out.write(b"\n")
    tracemalloc.start()
    with pytest.raises(Invalid, match="line 2 is longer"):
        scan(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


def test_a_file_that_went_away_is_one_reason(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        scan(tmp_path / "nowhere")


@LOOSE
@given(content=st.binary(max_size=400) | st.text(max_size=300).map(lambda t: t.encode("utf-8", "surrogatepass")))
@example(content=b'"')
@example(content=b"{")
@example(content=b"a\r\rb\n")
@example(content=b'a,b\n"\r\n",\r')
def test_any_bytes_are_rows_or_one_reason(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "any"
    file.write_bytes(content)
    try:
        scanned = scan(file)
    except Invalid:
        return
    found = list(scanned)
    assert len(found) == scanned.rows
    assert [row.line for row in found] == sorted({row.line for row in found})


@LOOSE
@given(
    table=st.lists(
        st.tuples(
            st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=20),
            st.text('a\n\r",; é', max_size=9),
        ),
        max_size=8,
    )
)
def test_what_a_table_holds_comes_back_as_it_was(tmp_path: Path, table: list[tuple[str, str]]) -> None:
    import csv
    import io

    text = io.StringIO()
    csv.writer(text).writerows([("key", "value"), *(("k" + key, value) for key, value in table)])
    found = rows(tmp_path, text.getvalue().encode())
    assert [(row.cells["key"][1:], row.cells["value"]) for row in found] == table


@LOOSE
@given(table=st.lists(st.dictionaries(st.sampled_from("abc"), st.text(max_size=9), min_size=1), min_size=1, max_size=8))
def test_what_json_lines_hold_comes_back_as_it_was(tmp_path: Path, table: list[dict[str, str]]) -> None:
    content = "\r\n".join(json.dumps(row) for row in table).encode()
    assert [row.cells for row in rows(tmp_path, content)] == table
