"""The bytes of a mail: headers that no value can break out of, and text that survives every relay.

What is encoded apart can be joined: each piece of a body begins and ends at a line's start of its own, by soft line
breaks, so that fixed words are encoded once and a person's values each time (RFC 2045 6.7). A header is one line that
is short enough, or encoded words (RFC 2047). Nothing here knows of templates or persons.
"""

from __future__ import annotations

import base64
import re
from binascii import b2a_qp

SOFT = b"=\r\n"  # a line break that the reader takes out again
BOUNDARY = b"=_troth"  # cannot stand in quoted-printable text, where "=" is followed by two digits or a line's end
LINE = 76
WORD_BYTES = 39  # of UTF-8: an encoded word of 64 characters, so that "Subject: " fits before it in 76 (RFC 2047 2)
ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
DOT_ATOM = re.compile(r"[^\s\"(),.:;<>@\[\\\]]+(?:\.[^\s\"(),.:;<>@\[\\\]]+)*")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def quoted(text: str) -> bytes:
    """Text whose lines end in LF, in quoted-printable, without a line break after its last line."""
    return b2a_qp(text.encode("utf-8", "replace"), istext=True).replace(b"\n", b"\r\n")


def header(name: str, value: str) -> bytes:
    """An unstructured header with its line end; control characters of the value become spaces (no injection)."""
    value = CONTROL.sub(" ", value)
    if value.isascii() and len(name) + len(value) + 2 <= LINE and "=?" not in value:
        return f"{name}: {value}\r\n".encode("ascii")
    return name.encode("ascii") + b": " + b"\r\n ".join(encoded_words(value)) + b"\r\n"


def encoded_words(value: str) -> list[bytes]:
    """The value as encoded words of RFC 2047, none of which parts a character."""
    words, piece, size = [], "", 0
    for character in value:
        length = len(character.encode("utf-8", "replace"))
        if size + length > WORD_BYTES:
            words.append(piece)
            piece, size = "", 0
        piece += character
        size += length
    words.append(piece)
    return [b"=?utf-8?b?" + base64.b64encode(word.encode("utf-8", "replace")) + b"?=" for word in words]


def mailbox(name: str, address: str) -> bytes:
    """``name <address>`` as it stands in a header; the address is checked by whoever calls."""
    written = addr_spec(address)
    if not name:
        return written
    name = CONTROL.sub(" ", name)
    if ATOMS.fullmatch(name) and "=?" not in name:
        phrase = name.encode("ascii")
    elif name.isascii() and "=?" not in name:
        phrase = b'"' + re.sub(r'(["\\])', r"\\\1", name).encode("ascii") + b'"'
    else:
        phrase = b"\r\n ".join(encoded_words(name))
    return phrase + b" <" + written + b">"


def addr_spec(address: str) -> bytes:
    """An address as it stands in a header: a local part that is no dot-atom is quoted (RFC 5322 3.4.1)."""
    local, _, domain = address.rpartition("@")
    if not DOT_ATOM.fullmatch(local):
        local = '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'
    return f"{local}@{domain}".encode()
