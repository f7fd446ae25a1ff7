"""What a clause's declaration says in figures: the generated lines that are printed under the prose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from troth.policy.bodies import (
    Asserts,
    AtMost,
    Bits,
    Body,
    ChoiceValue,
    CollectBody,
    ConsentBody,
    CookieBody,
    Defines,
    EmbedBody,
    FlagValue,
    Forbids,
    Guard,
    KeepBody,
    MessageBody,
    Operators,
    OutputForm,
    PhaseBody,
    RandomValue,
    Requires,
    RightBody,
    ShareBody,
    StandingUse,
    Summary,
    UseBody,
)
from troth.policy.clauses import ReadClause
from troth.policy.model import Duration
from troth.policy.reading import written


def plain(value: Any) -> Any:
    """A body as plain values, with the names a policy writes: strings, numbers, lists and mappings."""
    if isinstance(value, Body):
        members = ((f, getattr(value, f)) for f in value.__struct_fields__ if f != "at")
        return {written(name): plain(v) for name, v in members if v is not None and v != () and v != {}}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    if isinstance(value, Duration):
        return value.text
    if isinstance(value, Bits):
        return f"{value.count} bits"
    return str(value) if isinstance(value, str) else value


def guard_text(guard: Guard) -> str:
    """A guard as decisions spell it: ``ticket``, ``operators:2``."""
    if isinstance(guard, Operators):
        return f"operators:{guard.operators}"
    if isinstance(guard, AtMost):
        return f"at_most:{guard.at_most}"
    return str(guard)


def form_text(form: OutputForm) -> str:
    """An output form in words."""
    return f"as figures over at least {form.summary.at_least} persons" if isinstance(form, Summary) else str(form)


def figures(clause: ReadClause) -> tuple[str, ...]:
    """What the declaration says beyond the prose, a line for each thing; empty for text."""
    body = clause.body
    found: list[str] = []
    if clause.permits:
        permits = clause.permits
        if permits.collect:
            found += _collect(permits.collect)
        for use in permits.use:
            found.append(_use(use))
        for share in permits.share:
            found.append(_share(share))
        found += [_cookie(name, cookie) for name, cookie in permits.cookie.items()]
        found += [_embed(origin, embed) for origin, embed in permits.embed.items()]
        if permits.consent:
            found.append(_asks(permits.consent))
    elif isinstance(body, Requires):
        found += _requires(body)
    elif isinstance(body, Forbids):
        found += _forbids(body)
    elif isinstance(body, Asserts):
        found += [f"proven: nothing but the declared ways to {what}" for what in body.closed]
    elif isinstance(body, Defines):
        found += [f"{name}: {', '.join(s.hosts)}" for name, s in body.surfaces.items() if s.hosts]
        found += [f"{name}: {p.title or p.means or p.is_ or ''}".rstrip(": ") for name, p in body.purposes.items()]
    return tuple(found)


def _collect(body: CollectBody) -> Iterator[str]:
    for name, field in body.fields.items():
        marks = ["required" if field.required else "optional"]
        if field.choices:
            marks.append("one of " + ", ".join(field.choices))
        if field.stored != "raw":
            marks.append(f"stored as: {field.stored}")
        yield f"{name} ({field.category}): {'; '.join(marks)}"
    for use in body.uses:
        yield _use(use)
    if body.consent:
        yield _asks(body.consent)


def _use(use: UseBody) -> str:
    of = ", ".join(use.fields)
    if not of and isinstance(use, StandingUse):
        of = ", ".join((*use.categories, *use.points))
    parts = [f"{use.purpose}: {of or 'all fields'}"]
    parts.append(f"basis {use.basis.replace('_', ' ')}" if use.basis else "no basis named")
    if use.as_ != "identified":
        parts.append(form_text(use.as_))
    if use.keep:
        parts.append(f"kept as {use.keep}")
    if use.needs:
        parts.append("needs " + ", ".join(guard_text(g) for g in use.needs))
    return "; ".join(parts)


def _share(share: ShareBody) -> str:
    of = ", ".join((*share.fields, *share.categories, *share.points))
    parts = [f"{share.to} ({share.role.replace('_', ' ')}), for {share.purpose}: {of}"]
    if share.countries:
        parts.append("in " + ", ".join(share.countries))
    if share.as_ != "identified":
        parts.append(form_text(share.as_))
    if share.needs:
        parts.append("needs " + ", ".join(guard_text(g) for g in share.needs))
    return "; ".join(parts)


def _cookie(name: str, cookie: CookieBody) -> str:
    lasts = cookie.lasts.text if cookie.lasts else "until the browser closes"
    need = "essential" if cookie.essential else "only with consent"
    value = ""
    if isinstance(cookie.value, RandomValue):
        value = f"; {cookie.value.random.at_least.count} random bits"
    elif isinstance(cookie.value, ChoiceValue):
        value = "; one of " + ", ".join(cookie.value.choices)
    elif isinstance(cookie.value, FlagValue):
        value = "; a yes or no to each question of the site"
    return f"{name}: {cookie.purpose}; {lasts}; {need}; {cookie.party} party{value}"


def _embed(origin: str, embed: EmbedBody) -> str:
    need = "essential" if embed.essential else "only with consent"
    return f"{embed.title or origin} ({origin}): {embed.purpose}; {', '.join(embed.loads)}; {need}"


def _asks(consent: ConsentBody) -> str:
    lost = f" (without it: no {', no '.join(consent.loses)})" if consent.loses else ""
    return f"asks: {consent.ask}{lost}"


def keep_text(keep: KeepBody | Duration) -> str:
    """The phases of a retention class in words."""
    if isinstance(keep, Duration):
        return keep.text
    return ", then ".join(_phase(phase) for phase in keep.phases)


def _phase(phase: PhaseBody) -> str:
    text = f"while {phase.while_}" if phase.while_ else phase.for_.text if phase.for_ else "for ever"
    return text if phase.only is None else f"{text} (only {', '.join(phase.only) or 'stored'})"


def _requires(body: Requires) -> Iterator[str]:
    for name, keep in body.keep.items():
        yield f"{name}: {keep_text(keep)}"
    for name, state in body.states.items():
        until = [f"until {', '.join(state.to)}"] if state.to else []
        told = f", told {state.warn.text} before" if state.warn else ""
        until += [f"after {state.idle.text} without use{told}"] if state.idle else []
        yield f"{name}: from {', '.join(state.from_)} {' or '.join(until)}".rstrip()
    for name, message in body.message.items():
        yield _message(name, message)
    for right in body.right:
        yield _right(right)
    if body.age:
        yield f"from {body.age.at_least} years"
    if body.protect and body.protect.breach:
        yield f"the authority knows within {body.protect.breach.authority_within.text}"
    if body.protect and body.protect.second_factor:
        yield f"a second factor that is lost goes after {body.protect.second_factor.recovery_after.text}"
    if body.protect and body.protect.password_sharing:
        given = body.protect.password_sharing
        yield f"access given to others ({', '.join(given.scopes)}) lasts {given.lasts.text}"
    if body.changes and isinstance(body.changes.advance_notice, Duration):
        yield f"notice of {body.changes.advance_notice.text}"
    if body.has and isinstance(body.has.value, RandomValue):
        yield f"at least {body.has.value.random.at_least.count} random bits each"
    if body.tell and body.tell.meets:
        yield f"meets {body.tell.meets}"


def _message(name: str, message: MessageBody) -> str:
    fields = f", with {', '.join(message.fields)}" if message.fields else ""
    when = f", when {message.when}" if message.when else ""
    return f"{name}: {message.class_.replace('_', ' ')} by {message.channel}{when}{fields}"


def _right(right: RightBody) -> str:
    parts = [f"answered within {right.within.text}"] if right.within else []
    parts += [f"proof: {right.proof.replace('_', ' ')}"] if right.proof else []
    parts += [f"formats: {', '.join(right.formats)}"] if right.formats else []
    parts += [f"at {', '.join(right.where)}"] if right.where else []
    parts += [f"told {right.told.text} before it ends"] if right.told else []
    kind = "every right" if right.kind == "any" else right.kind
    return f"{kind}: {'; '.join(parts)}" if parts else str(kind)


def _forbids(body: Forbids) -> Iterator[str]:
    if body.share:
        excepted = f", except {', '.join(body.share.except_)}" if body.share.except_ else ""
        lifted = "; lifted by a written approval of the person" if body.share.unless else ""
        yield f"never shared{excepted}{lifted}"
    if body.use and body.use.for_:
        yield f"never used for {', '.join(body.use.for_)}"
    if body.join:
        yield f"never joined: {', '.join(body.join)}"
    if body.keep:
        yield f"never kept: {', '.join(body.keep)}"
