"""What commands ask of a running system, whether they open it themselves or find it being served.

A request is plain JSON with ``do`` and its arguments; the answer is plain JSON, or ``error`` with what the exception
says. Requests come over a socket that only the folder's owner can open (STORAGE A10).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from troth.errors import Conflict, Invalid, NotFound
from troth.rights.access import as_json
from troth.use.handover_keys import public_bytes

if TYPE_CHECKING:
    from troth.web.running import Running

Arguments = dict[str, Any]
Answer = dict[str, Any]
Act = Callable[["Running", Arguments], Answer]


def person(system: Running, asked: Arguments) -> bytes:
    """The person an operator names by their address; ``NotFound`` if nobody has it."""
    sid = system.vault.find(system.config.tenant, "email", str(asked.get("email", "")))
    if sid is None:
        raise NotFound("nobody is held under this address", clause="rights.access")
    return sid


def access(system: Running, asked: Arguments) -> Answer:
    """The copy of a person who asked by another road (a letter, the telephone)."""
    copy = system.access.copy(system.config.tenant, person(system, asked), actor="system")
    return {"copy": as_json(copy).decode()}


def objecting(system: Running, asked: Arguments) -> Answer:
    """Record an objection that came by another road."""
    done = system.objections.object(
        system.config.tenant, person(system, asked), str(asked.get("purpose", "")), via="operator", actor="system"
    )
    return {"entry": done.entry, "purpose": done.purpose}


def erase(system: Running, asked: Arguments) -> Answer:
    """Erase a person who asked by another road; the certificate goes to the address on file."""
    certificate = system.erasures.erase(system.config.tenant, person(system, asked), actor="system")
    found: Answer = msgspec.to_builtins(certificate)
    return found


def board(system: Running, asked: Arguments) -> Answer:
    """The clause board, computed now."""
    found = system.inspector.now()
    system.store.publish()
    return {"rows": msgspec.to_builtins(found.rows), "at": found.at_ms, "version": found.version}


def invite(system: Running, asked: Arguments) -> Answer:
    """The first operator's link; later ones are invited in the console, by somebody who can be named."""
    token = system.operators.first(str(asked.get("name", "admin")))
    return {"link": f"{system.config.url}/console/invitation/{token}"}


def product(system: Running, asked: Arguments) -> Answer:
    """A key for a product, told once."""
    made, key = system.products.create(system.config.tenant, str(asked.get("name", "")), surface=asked.get("surface"))
    return {"product": made.id.hex(), "key": key, "surface": made.surface}


def named(system: Running, asked: Arguments) -> bytes:
    """The one active product of this name or id; ``NotFound`` or ``Conflict`` where there is not exactly one."""
    name = str(asked.get("name", "")).strip()
    active = [made for made, ended_ms in system.products.all(system.config.tenant) if ended_ms is None]
    found = [made.id for made in active if name in (made.name, made.id.hex())]
    if not found:
        raise NotFound("there is no product of this name; troth product NAME makes one")
    if len(found) > 1:
        gaps = tuple(each.hex() for each in found)
        raise Conflict("there are several products of this name: say which by its id", gaps=gaps)
    return found[0]


def handover(system: Running, asked: Arguments) -> Answer:
    """Let a product hand people over, under this public key."""
    product = named(system, asked)
    system.handover_keys.allow(product, public_bytes(str(asked.get("key", ""))))
    return {"product": product.hex()}


def stop_handover(system: Running, asked: Arguments) -> Answer:
    """Take nobody from a product any more."""
    product = named(system, asked)
    return {"product": product.hex(), "stopped": system.handover_keys.stop(product)}


def retention(system: Running, asked: Arguments) -> Answer:
    """Run retention now."""
    found: Answer = msgspec.to_builtins(system.retention.run())
    return found


def backup(system: Running, asked: Arguments) -> Answer:
    """A backup of the data, beside everything else that goes on."""
    manifest = system.backups.take(Path(str(asked.get("to", ""))))
    size = sum(file.size for file in manifest.files)
    return {"entries": manifest.size, "bytes": size, "files": [file.name for file in manifest.files]}


def keys_status(system: Running, asked: Arguments) -> Answer:
    """How the epochs of the keys stand."""
    standing = system.epochs.standing()
    found: Answer = standing._asdict()
    return found | {"overdue": standing.overdue(system.store.now())}


def keys_rotate(system: Running, asked: Arguments) -> Answer:
    """Roll the epoch now, if anything was destroyed since the last time."""
    rolled = system.epochs.roll()
    if rolled is None:
        return {"rolled": False}
    return {
        "rolled": True,
        "epoch": rolled.epoch,
        "rekeyed": rolled.rekeyed,
        "rewrapped": rolled.rewrapped,
        "surety": rolled.destroyed.surety if rolled.destroyed else None,
    }


def state(system: Running, asked: Arguments) -> Answer:
    """What is not as it must be, and how much there is."""
    made, drill = system.backups.last()
    return {
        "faults": list(system.faults()),
        "entries": system.store.size,
        "version": system.policy.version,
        "now": system.store.now(),
        "backup_ms": made,
        "drill_ms": drill,
    }


ACTS: dict[str, Act] = {
    "subject.access": access,
    "subject.object": objecting,
    "subject.erase": erase,
    "board": board,
    "operator.invite": invite,
    "product.create": product,
    "product.handover": handover,
    "product.handover.stop": stop_handover,
    "retention.run": retention,
    "state": state,
    "backup": backup,
    "keys.status": keys_status,
    "keys.rotate": keys_rotate,
}


def perform(system: Running, request: Arguments) -> Answer:
    """Do what is asked. Raises what the act raises, and ``Invalid`` for an unknown one."""
    act = ACTS.get(str(request.get("do", "")))
    if act is None:
        raise Invalid(f"there is no such request; there are {', '.join(sorted(ACTS))}")
    return act(system, request)
