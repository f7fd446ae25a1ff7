"""The signed head of the log: a C2SP note that holds for one key, one size and one root."""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.store.checkpoint import (
    BadCheckpoint,
    Ed25519Signer,
    format_checkpoint,
    key_id,
    parse_checkpoint,
    parse_verifier_key,
    verifier_key,
)

SIGNER = Ed25519Signer("example.org/log", bytes(range(32)))
ROOT = sha256(b"root").digest()
NOTE = format_checkpoint(SIGNER.name, 1234, ROOT, SIGNER)


def test_a_checkpoint_says_origin_size_and_root_in_the_published_format() -> None:
    lines = NOTE.split("\n")
    assert lines[:4] == ["example.org/log", "1234", b64encode(ROOT).decode(), ""]
    dash, name, blob = lines[4].split(" ")
    assert (dash, name, lines[5:]) == ("—", "example.org/log", [""])
    assert b64decode(blob)[:4] == sha256(b"example.org/log\n\x01" + SIGNER.public).digest()[:4]
    assert len(b64decode(blob)) == 4 + 64
    assert parse_checkpoint(NOTE, SIGNER.public) == ("example.org/log", 1234, ROOT)


def test_the_key_id_of_the_note_formats_own_example_is_found() -> None:
    # The example key of Go's golang.org/x/mod/sumdb/note, which the format comes from.
    line = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    name, public = parse_verifier_key(line)
    assert (name, key_id(name, public).hex()) == ("PeterNeumann", "c74f20a3")
    assert verifier_key(name, public) == line


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(NOTE.encode()) - 1), st.integers(0, 7))
def test_one_flipped_bit_anywhere_makes_it_no_checkpoint(at: int, bit: int) -> None:
    changed = bytearray(NOTE.encode())
    changed[at] ^= 1 << bit
    with pytest.raises(ValueError):  # noqa: PT011 - a broken character may fail as text before it fails as a note
        parse_checkpoint(changed.decode(), SIGNER.public)


def test_another_key_or_another_name_does_not_sign_for_this_log() -> None:
    other = Ed25519Signer("example.org/log", bytes(32))
    with pytest.raises(BadCheckpoint, match="not signed by the log's key"):
        parse_checkpoint(NOTE, other.public)
    renamed = Ed25519Signer("example.net/log", bytes(range(32)))
    with pytest.raises(BadCheckpoint, match="not signed by the log's key"):
        parse_checkpoint(format_checkpoint("example.org/log", 1, ROOT, renamed), SIGNER.public)


def test_the_signature_of_a_witness_beside_ours_is_let_through() -> None:
    witness = Ed25519Signer("witness.example", bytes(32))
    line = format_checkpoint(witness.name, 1, ROOT, witness).split("\n\n")[1]
    assert parse_checkpoint(NOTE + line, SIGNER.public)[1] == 1234


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "a\n1\n", NOTE.replace("1234", "01234"), NOTE.replace("\n1234\n", "\n-1\n"), NOTE[:-1], NOTE + "x\n"],
)
def test_what_is_not_a_checkpoint_is_refused_as_one(text: str) -> None:
    with pytest.raises(BadCheckpoint):
        parse_checkpoint(text, SIGNER.public)


@pytest.mark.parametrize("line", ["", "a+b", "name+00000000+AQ==", verifier_key("a", bytes(32)).replace("a+", "b+", 1)])
def test_a_verifier_key_whose_parts_disagree_is_refused(line: str) -> None:
    with pytest.raises(BadCheckpoint):
        parse_verifier_key(line)


def test_a_log_name_that_would_break_the_note_is_refused() -> None:
    for name in ("with space", "with+plus", "", "line\nbreak"):
        with pytest.raises(ValueError, match="neither spaces nor a plus"):
            Ed25519Signer(name, bytes(32))
