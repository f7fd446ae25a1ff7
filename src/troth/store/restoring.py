"""A data store of an older day, brought to where the log stands: verified first, nothing signed anew.

The entries after the backup come from the published bundles, whose hashes must lead from the backup's signed head to
the head that K remembers; D then holds the whole log again, and whatever is done next stands behind its last entry.
While this goes on a file in the data folder keeps everybody else from starting.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from troth.errors import StartRefused
from troth.store import tables
from troth.store.backup import HEAD, Manifest, frontier_of, sync_file, sync_folder
from troth.store.checkpoint import Signer, format_checkpoint
from troth.store.engine import Database, open_database
from troth.store.lock import restore_mark
from troth.store.merkle import Frontier, leaf_hash
from troth.store.moving.away import AWAY, KINDS, Away, away, refusal
from troth.store.publisher import require_newest_keys
from troth.store.tiles import WIDTH, Tiles

PAGE = 1000
ADD = insert(tables.ledger)
MOVE = update(tables.tree).values(
    size=bindparam("new_size"),
    frontier=bindparam("new_frontier"),
    root=bindparam("new_root"),
    checkpoint=bindparam("new_checkpoint"),
    batch=bindparam("new_batch"),
    at_ms=bindparam("at"),
)
COUNT = select(func.count()).select_from(tables.ledger)


class Gap(NamedTuple):
    """What a restore has to make good: entries from ``size`` to ``until``, since ``made_ms`` (UTC milliseconds)."""

    size: int
    until: int
    made_ms: int


def verify(manifest: Manifest, keys: Database, tiles: Tiles) -> Gap:
    """Whether the published log leads from the backup to the head that K remembers. ``StartRefused`` if not."""
    start = frontier_of(manifest, tiles.signer)
    with keys.connect() as connection:
        head = connection.execute(HEAD).first()
    until, root = (head.size, bytes(head.root)) if head else (0, Frontier().root())
    if until < manifest.head_size:
        raise StartRefused(
            f"the key store remembers {until} published entries and the backup {manifest.head_size}: it is older than "
            "the backup; put its newest copy in place first"
        )
    require_newest_keys(tiles, until)
    frontier = start.copy()
    for body in bodies(tiles, manifest.size, until):
        frontier.append(leaf_hash(body))
    if (frontier.size, frontier.root()) != (until, root):
        raise StartRefused(
            "the published log does not lead from this backup to the head that the key store remembers: it was "
            "changed, or is another's; nothing was restored"
        )
    return Gap(manifest.size, until, manifest.made_ms)


def require_not_away(url: str, gap: Gap, tiles: Tiles) -> None:
    """``StartRefused`` where the system moved away since the backup: the published log says so, or D, if it is whole.

    An older backup would let it go on here, beside the system that it became.
    """
    found = [entry for entry in map(msgspec.json.decode, bodies(tiles, gap.size, gap.until)) if entry["kind"] in KINDS]
    if found and found[-1]["kind"] == AWAY:
        raise refusal(found[-1]["at"])
    said = _said_by(url)
    if said is not None:
        raise refusal(said.at_ms)


def _said_by(url: str) -> Away | None:
    """What the data that is to be replaced says of it; None too where it is damaged, empty or not there."""
    file = make_url(url)
    if file.get_backend_name() == "sqlite" and not Path(file.database or "").exists():
        return None
    try:
        data = open_database(url, "data")
    except StartRefused:
        return None
    try:
        with data.connect() as connection:
            return away(connection)
    except SQLAlchemyError:
        return None
    finally:
        data.close()


def bodies(tiles: Tiles, first: int, end: int) -> Iterator[bytes]:
    """The entries of the published log from ``first`` on. ``StartRefused`` where a bundle is missing or damaged."""
    at = first
    while at < end:
        number = at // WIDTH
        width = min(WIDTH, end - number * WIDTH)
        try:
            found = tiles.entries(number, width)
        except (OSError, ValueError) as fault:
            raise StartRefused(
                f"the published entries after the backup cannot be read ({fault}): put the evidence folder back"
            ) from None
        yield from found[at - number * WIDTH :]
        at = number * WIDTH + width


def mark(folder: Path, backup: Path) -> None:
    """From here on nobody starts in this data folder but a restore."""
    path = restore_mark(folder)
    path.write_text(f"{backup.resolve()}\n", "utf-8")
    sync_file(path)
    sync_folder(folder)


def unmark(folder: Path) -> None:
    """The restore is complete."""
    restore_mark(folder).unlink(missing_ok=True)
    sync_folder(folder)


def carry_on(data: Database, manifest: Manifest, gap: Gap, tiles: Tiles, signer: Signer, batch: bytes) -> None:
    """Put the entries of the gap into D's ledger, with the head that was signed for them, in one transaction.

    The signature is deterministic and its tree is the published one: it is the same checkpoint again.
    """
    frontier = frontier_of(manifest, signer)
    at_ms = 0
    with data.transaction() as connection:
        if connection.execute(COUNT).scalar_one() != manifest.size:
            raise StartRefused("the restored data does not hold the entries of its own head")
        page: list[dict[str, object]] = []
        for body in bodies(tiles, gap.size, gap.until):
            entry = msgspec.json.decode(body)
            row = {"seq": frontier.size, "eid": bytes.fromhex(entry["eid"]), "at_ms": entry["at"], "body": body}
            page.append(row | {"kind": entry["kind"], "clause": entry["clause"]})
            frontier.append(leaf_hash(body))
            at_ms = max(at_ms, entry["at"])
            if len(page) == PAGE:
                connection.execute(ADD, page)
                page.clear()
        if page:
            connection.execute(ADD, page)
        if gap.until > gap.size:
            root = frontier.root()
            values = {"new_size": frontier.size, "new_frontier": frontier.to_bytes(), "new_root": root}
            note = format_checkpoint(signer.name, frontier.size, root, signer)
            connection.execute(MOVE, values | {"new_checkpoint": note, "new_batch": batch, "at": at_ms})
