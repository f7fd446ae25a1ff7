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
from troth.rights.calendar import came_in, day
from troth.rights.hold import Hold
from troth.rights.register import Case
from troth.use.handover_keys import public_bytes
from troth.use.hooks import shown as shown_secret
from troth.use.products import SCOPES

if TYPE_CHECKING:
    from troth.web.running import Running

Arguments = dict[str, Any]
Answer = dict[str, Any]
Act = Callable[["Running", Arguments], Answer]


def tenant_in(system: Running, asked: Arguments) -> str:
    """Whose people are meant: those of the tenant that is named, or our own; ``NotFound`` for one that is not here."""
    named = asked.get("tenant") or system.config.tenant
    if named != system.config.tenant and named not in system.config.tenants:
        there = ", ".join(sorted(system.config.tenants)) or "none"
        raise NotFound(f"no such tenant is configured; there is {there}")
    return str(named)


def person(system: Running, asked: Arguments) -> tuple[str, bytes]:
    """The person an operator names by their address, with their tenant; ``NotFound`` if nobody there has it."""
    tenant = tenant_in(system, asked)
    sid = system.vault.find(tenant, "email", str(asked.get("email", "")))
    if sid is None:
        raise NotFound("nobody is held under this address", clause="rights.access")
    return tenant, sid


def access(system: Running, asked: Arguments) -> Answer:
    """The copy of a person who asked by another road (a letter, the telephone)."""
    copy = system.access.copy(*person(system, asked), actor="system")
    return {"copy": as_json(copy).decode()}


def objecting(system: Running, asked: Arguments) -> Answer:
    """Record an objection that came by another road."""
    purpose = str(asked.get("purpose", ""))
    done = system.objections.object(*person(system, asked), purpose, via="operator", actor="system")
    return {"entry": done.entry, "purpose": done.purpose}


def restrict(system: Running, asked: Arguments) -> Answer:
    """Set aside the data of a person who asked by another road."""
    done = system.restrictions.restrict(*person(system, asked), str(asked.get("ground", "")), actor="system")
    return {"entry": done.entry.hex(), "since": done.since_ms}


def unrestrict(system: Running, asked: Arguments) -> Answer:
    """Tell a person that their data will be used again; it ends by itself when they were told long enough ago."""
    done = system.restrictions.announce(*person(system, asked), actor="system")
    right = system.policy.rights["restriction"]
    return {"entry": done.entry.hex(), "told": right.told.text if right.told else ""}


def hold_set(system: Running, asked: Arguments) -> Answer:
    """Hold the data of a person, or set the reason and the end of their hold anew."""
    days = asked.get("days")
    tenant, sid = person(system, asked)
    reason, most = str(asked.get("reason", "")), days if isinstance(days, int) else 0
    return held(system, system.holds.set(tenant, sid, reason, most, actor="system"))


def hold_list(system: Running, asked: Arguments) -> Answer:
    """The holds that stand, the nearest end first; by number, since nobody is named there."""
    return {"holds": [held(system, one) for one in system.holds.all(tenant_in(system, asked))]}


def hold_lift(system: Running, asked: Arguments) -> Answer:
    """End a hold now; what waited for it goes on."""
    tenant, number = tenant_in(system, asked), str(asked.get("hold", ""))
    try:
        system.holds.lift(tenant, bytes.fromhex(number), actor="system")
    except ValueError:
        raise NotFound("a hold is named by the 32 digits of its number: troth hold list") from None
    return {"hold": number}


def held(system: Running, one: Hold) -> Answer:
    """A hold as plain JSON; ``to`` is the day of its end at the controller."""
    return {
        "hold": one.entry.hex(),
        "reason": one.reason,
        "since": one.since_ms,
        "until": one.until_ms,
        "to": day(one.until_ms, system.config.zone_of(one.tenant)),
        "by": one.set_by,
    }


def request_list(system: Running, asked: Arguments) -> Answer:
    """The open requests, the nearest deadline first."""
    waiting = system.procedures.waiting(tenant_in(system, asked))
    now = system.clock.now()
    return {"requests": [shown(system, one) | {"late": one.late(now)} for one in waiting]}


def request_record(system: Running, asked: Arguments) -> Answer:
    """Record a request that came by another road, with the day it came in."""
    tenant = tenant_in(system, asked)
    step = system.procedures.record(
        tenant,
        asked["kind"],
        came_in(str(asked["received"]), system.clock.now(), system.config.zone_of(tenant)),
        road=str(asked["road"]),
        actor="system",
        sid=person(system, asked)[1] if asked.get("email") else None,
        on_behalf=asked.get("on_behalf"),
    )
    return shown(system, step.case) | {"letter": step.lettered}


def request_step(system: Running, asked: Arguments) -> Answer:
    """Take one step of a request: prove, extend, refuse, fulfil."""
    own, tenant, rid = system.procedures, tenant_in(system, asked), numbered(asked)
    reason, printed = str(asked.get("reason", "")), bool(asked.get("printed"))
    match asked.get("step"):
        case "prove":
            step = own.prove(tenant, rid, person(system, asked)[1], str(asked.get("how", "")), actor="system")
        case "extend":
            step = own.extend(tenant, rid, reason, actor="system", printed=printed)
        case "refuse":
            step = own.refuse(tenant, rid, reason, actor="system", printed=printed)
        case "fulfil":
            ground, purpose = str(asked.get("ground", "")), str(asked.get("purpose", ""))
            step = own.fulfil(tenant, rid, actor="system", ground=ground, purpose=purpose)
        case _:
            raise Invalid("a request is proven, extended, refused or fulfilled")
    return shown(system, step.case) | {"letter": step.lettered, "result": step.result}


def numbered(asked: Arguments) -> bytes:
    """The request that is meant, by its number in the register."""
    try:
        rid = bytes.fromhex(str(asked.get("request", "")))
    except ValueError:
        rid = b""
    if len(rid) != 16:
        raise NotFound("a request is named by the 32 digits of its number: troth request list")
    return rid


def shown(system: Running, one: Case) -> Answer:
    """A request as plain JSON: ids, times and words of closed lists; ``by`` is the day of ``due`` at the controller."""
    return {
        "request": one.id.hex(),
        "kind": one.kind,
        "state": one.state,
        "road": one.road,
        "received": one.received_ms,
        "due": one.due_ms,
        "by": day(one.due_ms, system.config.zone_of(one.tenant)),
        "known": one.sid is not None,
        "reason": one.reason,
    }


def erase(system: Running, asked: Arguments) -> Answer:
    """Erase a person who asked by another road; the certificate goes to the address on file."""
    certificate = system.erasures.erase(*person(system, asked), actor="system")
    found: Answer = msgspec.to_builtins(certificate)
    return found


def end_password(system: Running, asked: Arguments) -> Answer:
    """End a person's password, or everybody's, because somebody else may know it."""
    if asked.get("all"):
        return {"ended": system.compromise.end_all(tenant_in(system, asked))}
    return {"ended": int(system.compromise.end(*person(system, asked), "operator"))}


def board(system: Running, asked: Arguments) -> Answer:
    """The clause board, computed now."""
    found = system.inspector.now()
    system.store.publish()
    return {"rows": msgspec.to_builtins(found.rows), "at": found.at_ms, "version": found.version}


def invite(system: Running, asked: Arguments) -> Answer:
    """The first operator's link; later ones are invited in the console, by somebody who can be named."""
    tenant = tenant_in(system, asked)
    token = system.desk(tenant).operators.first(str(asked.get("name", "admin")))
    return {"link": f"{system.config.url_of(tenant)}/console/invitation/{token}"}


def product(system: Running, asked: Arguments) -> Answer:
    """A key for a product, told once."""
    tenant = tenant_in(system, asked)
    of = system.config.tenants.get(tenant)
    surface = asked.get("surface") or (of.surface if of else None)
    scopes = tuple(map(str, asked.get("may") or SCOPES))
    made, key = system.products.create(tenant, str(asked.get("name", "")), surface=surface, scopes=scopes)
    reports = system.reports.address(made.id) if system.reports and "suppressions" in made.scopes else ""
    return {"product": made.id.hex(), "key": key, "surface": made.surface, "reports": reports}


def named(system: Running, asked: Arguments) -> bytes:
    """The one active product of this name or id; ``NotFound`` or ``Conflict`` where there is not exactly one."""
    name = str(asked.get("name", "")).strip()
    active = [made for made, ended_ms in system.products.all(tenant_in(system, asked)) if ended_ms is None]
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


def hook_secret(system: Running, asked: Arguments) -> Answer:
    """What signs the hooks of one of the configured tools."""
    name = str(asked.get("name", ""))
    if name not in system.hooks.tools:
        raise NotFound("no such tool is configured: name it under [hooks.NAME]")
    return {"secret": shown_secret(system.hooks.secret(name))}


def retention(system: Running, asked: Arguments) -> Answer:
    """Run retention now."""
    found: Answer = msgspec.to_builtins(system.retention.run())
    return found


def messages(system: Running, asked: Arguments) -> Answer:
    """How many messages are in which state, and those that somebody should look at."""
    unresolved = [
        {
            "message": row["id"].hex(),
            "template": row["template"],
            "state": row["state"],
            "reason": row["reason"] or "",
            "at": row["ended_ms"],
        }
        for row in system.messages.unresolved()
    ]
    away = system.workers.sender.away if system.workers else None
    return {"states": system.messages.counts(), "unresolved": unresolved, "away": away}


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
    "hold.set": hold_set,
    "hold.list": hold_list,
    "hold.lift": hold_lift,
    "request.list": request_list,
    "request.record": request_record,
    "request.step": request_step,
    "subject.restrict": restrict,
    "subject.unrestrict": unrestrict,
    "subject.erase": erase,
    "passwords.end": end_password,
    "board": board,
    "operator.invite": invite,
    "product.create": product,
    "product.handover": handover,
    "hook.secret": hook_secret,
    "product.handover.stop": stop_handover,
    "messages": messages,
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
