"""What pages load from others: the places a policy declares, and what is wrong with such a declaration."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from troth.policy.bodies import EmbedBody, Word
from troth.policy.clauses import ReadClause
from troth.policy.definitions import Definitions
from troth.policy.lints import Lints
from troth.policy.model import Embed

#: Scheme, host and perhaps port, as a Content-Security-Policy takes them; without TLS on this machine only.
ORIGIN: Final = re.compile(
    r"(?:https|wss)://(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::[0-9]{1,5})?"
    r"|(?:http|ws)://(?:127\.0\.0\.1|(?:[a-z0-9-]+\.)*localhost)(?::[0-9]{1,5})?"
    r"|https:"
)

#: Places that serve the files of whoever asks: to allow one of them is to allow all that anybody has put there.
SHARED: Final = frozenset(
    {
        "ajax.googleapis.com",
        "cdn.jsdelivr.net",
        "cdnjs.cloudflare.com",
        "code.jquery.com",
        "esm.sh",
        "raw.githubusercontent.com",
        "storage.googleapis.com",
        "unpkg.com",
    }
)


def read(known: Definitions, clause: ReadClause, origin: Word, body: EmbedBody, lints: Lints) -> Embed | None:
    """The place as declared, or None where it is none; told as BAD_ORIGIN, WIDE_ORIGIN and SHARED_CDN."""
    known.purpose(clause, body.purpose)
    if ORIGIN.fullmatch(origin) is None:
        hint = "scheme, host and perhaps port, such as https://videos.example.net; http only for this machine"
        clause.error("BAD_ORIGIN", origin.at, f'"{origin}" is no place to load from', hint=hint)
        return None
    host = origin.partition("://")[2].partition(":")[0]
    if not host or "*" in host:
        message = f'"{origin}" lets in every place it fits, those of others too'
        lints.tell("warning", "WIDE_ORIGIN", clause, origin.at, message, hint="name the hosts one by one")
    if "script" in body.loads and host in SHARED:
        message = f"{host} serves everybody's files: allowing its scripts allows all of them"
        lints.tell("warning", "SHARED_CDN", clause, origin.at, message, hint="serve the file from your own site")
    return Embed(
        origin=str(origin),
        clause=clause.id,
        purpose=str(body.purpose),
        loads=tuple(dict.fromkeys(map(str, body.loads))),
        essential=body.essential,
        title=str(body.title or ""),
        policy=str(body.policy or ""),
    )


def told_twice(known: Definitions, embeds: Iterable[Embed]) -> None:
    """Tell TWO_PURPOSES: a browser that allows one kind of load from a place cannot tell what for."""
    first: dict[tuple[str, str], Embed] = {}
    for embed in embeds:
        for load in embed.loads:
            other = first.setdefault((embed.origin, load), embed)
            if (other.purpose, other.essential) != (embed.purpose, embed.essential):
                clause = known.clauses[embed.clause]
                message = (
                    f"{embed.origin} may load {load} for {other.purpose} in {other.clause} already: "
                    "a browser cannot tell for which of the two it loads"
                )
                clause.error("TWO_PURPOSES", clause.at, message)
                break
