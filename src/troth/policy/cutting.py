"""What of an address is kept: paths without queries, without what looks like a person; hosts of referrers; names.

The collector, and reports of what browsers stopped, are cut here and nowhere else. The tag cuts the same before
anything is sent; this is the side that is trusted. A part of a path is cut whole where it
holds an address of mail, enough digits for a telephone number, or looks like a token (long, with letters and digits
mixed, as links to reset a password have): a number of an order or a year stays.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

CUT = "…"
MOST = 200  # characters of a path that are kept
DIGITS = 7  # a part with as many is taken for a telephone number (E.164 numbers have 7 to 15)
TOKEN = 20  # a part as long as this with letters and digits is taken for a token

PLAIN = re.compile(r"(?:/(?:[A-Za-z._-]*|(?!(?:[^/0-9]*[0-9]){7})[A-Za-z0-9._-]{0,19}))+")  # most paths: nothing to cut
HOST = re.compile(r"(?=.{1,100}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+\Z")
LABEL = re.compile(r"[\w .+/-]{1,80}\Z")  # campaigns and custom events: words, no signs that addresses need


def path(text: str) -> str:
    """The path as it is counted; "" where it is none."""
    if len(text) <= MOST and PLAIN.fullmatch(text):
        return text
    if not text.startswith("/"):
        return ""
    whole = text.partition("?")[0].partition("#")[0].partition(";")[0]
    return "/".join(part(one) for one in whole.split("/"))[:MOST]


def part(text: str) -> str:
    """One part of a path, or the mark that something was cut there."""
    plain = unquote(unquote(text))  # twice: an address of mail that was quoted twice is still one
    if not plain.isprintable() or any(sign in plain for sign in "@&=:%"):
        return CUT
    digits = sum(one.isdigit() for one in plain)
    if digits >= DIGITS or (len(plain) >= TOKEN and digits and any(one.isalpha() for one in plain)):
        return CUT
    return plain


def host(text: str) -> str:
    """The host of a referrer in lower case; "" where it is none."""
    found = text.lower()
    return found if found and HOST.match(found) and not found.rpartition(".")[2].isdigit() else ""


def label(text: str) -> str:
    """A campaign's or an event's name, without what looks like a person; "" where nothing is left."""
    if not text or not LABEL.match(text) or sum(map(str.isdigit, text)) >= DIGITS:
        return ""
    return text.strip()


def event(text: str) -> str:
    """A custom event's name, or ``outbound:<host>``, or ``download:<path>``; "" where nothing is left."""
    kind, separated, target = text.partition(":")
    if not separated:
        return label(text)
    kept = host(target) if kind == "outbound" else path(target) if kind == "download" else ""
    return f"{kind}:{kept}" if kept else ""
