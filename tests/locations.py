"""Writes a small MaxMind database (format 2.0), as an operator would bring one: networks and what is said of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MARKER = b"\xab\xcd\xefMaxMind.com"
TEXT, UINT16, UINT32, MAP, UINT64, ARRAY = 2, 5, 6, 7, 9, 11
BUILT = 1_767_225_600  # 2026-01-01


def write(path: Path, networks: Mapping[str, Any], *, version: int = 6) -> Path:
    """A file at ``path`` that knows ``networks``; ``version`` 4 makes one that has never heard of IPv6."""
    nodes: list[list[Any]] = [[None, None]]
    data, places = b"", []
    for network, said in networks.items():
        places.append((bits(network, version), len(data)))
        data += encoded(said)
    for way, place in places:
        at = 0
        for bit in way[:-1]:
            if nodes[at][bit] is None:
                nodes.append([None, None])
                nodes[at][bit] = ("node", len(nodes) - 1)
            at = nodes[at][bit][1]
        nodes[at][way[-1]] = ("data", place)
    tree = b"".join(record(half, len(nodes)).to_bytes(3, "big") for node in nodes for half in node)
    about = {"node_count": (UINT32, len(nodes)), "record_size": (UINT16, 24), "ip_version": (UINT16, version)}
    about |= {"binary_format_major_version": (UINT16, 2), "binary_format_minor_version": (UINT16, 0)}
    about |= {"build_epoch": (UINT64, BUILT)}
    metadata = {**about, "database_type": "Country", "languages": ["en"], "description": {"en": "of this test"}}
    path.write_bytes(tree + bytes(16) + data + MARKER + encoded(metadata))
    return path


def bits(network: str, version: int) -> list[int]:
    parsed = ipaddress.ip_network(network)
    size, length = int(parsed.network_address), parsed.prefixlen
    if version == 6 and parsed.version == 4:
        length += 96  # IPv4 lies at ::/96
    width = 32 if version == 4 else 128
    return [size >> (width - 1 - place) & 1 for place in range(length)]


def record(half: tuple[str, int] | None, nodes: int) -> int:
    if half is None:
        return nodes
    kind, number = half
    return number if kind == "node" else nodes + 16 + number


def encoded(value: Any) -> bytes:
    if isinstance(value, dict):
        return control(MAP, len(value)) + b"".join(encoded(key) + encoded(said) for key, said in value.items())
    if isinstance(value, list):
        return control(ARRAY, len(value)) + b"".join(encoded(item) for item in value)
    if isinstance(value, tuple):
        kind, number = int(value[0]), int(value[1])
        body = number.to_bytes((number.bit_length() + 7) // 8, "big")
        return control(kind, len(body)) + body
    text = str(value).encode()
    return control(TEXT, len(text)) + text


def control(kind: int, size: int) -> bytes:
    """The control byte of a value; a kind above 7 stands in the byte behind it."""
    first, behind = (kind << 5, b"") if kind <= 7 else (0, bytes([kind - 7]))
    if size < 29:
        return bytes([first | size]) + behind
    return bytes([first | 29]) + behind + bytes([size - 29])
