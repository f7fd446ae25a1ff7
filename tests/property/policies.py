"""Generated histories of policies, persons' choices and questions, for the decision's properties.

A later version is mostly the earlier one with a few changes, as in life: a use dropped, narrowed, given another basis
or carried over, a purpose moved or redefined, a prohibition added. Questions are mostly taken from a use and changed
in one respect, and choices mostly answer what the policy asks, so that answers are near the border on both sides.
The names are few on purpose: what does not collide tests nothing.
"""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple, TypeVar

from hypothesis import strategies as st
from msgspec.structs import replace

from troth.policy.model import (
    Basis,
    CompiledPolicy,
    Controller,
    Duration,
    Field,
    Form,
    Grant,
    History,
    Keep,
    Mode,
    Never,
    Phase,
    Point,
    Purpose,
    Question,
    Recipient,
    State,
    Stop,
    Terms,
    Use,
)

T = TypeVar("T")

PURPOSES = ("promotion", "newsletter", "offers", "support", "account")
CATEGORIES = {"email": "user.contact.email", "phone": "user.contact.phone", "name": "user.name", "note": "user.contact"}
FIELDS = tuple(CATEGORIES)
POINTS = ("signup", "ticket")
SURFACES = ("site:www", "product:desktop")
RECIPIENTS = ("partner", "processor")
CHANNELS = ("email", "sms")
GUARDS = ("ticket", "order", "approval:written")
CLASSES = ("brief", "account")
BASES: tuple[Basis, ...] = (
    "consent",
    "contract",
    "legitimate_interest",
    "legal_obligation",
    "public_interest",
    "vital_interest",
)
MODES: tuple[Mode, ...] = ("restricted", "child", "erasing")
FORMS = (Form(), Form("pseudonymous"), Form("summary", 20), Form("summary", 5))
EVIDENCE = tuple(frozenset(g for bit, g in enumerate(GUARDS) if n >> bit & 1) for n in range(2 ** len(GUARDS)))


class Case(NamedTuple):
    """One question with everything it is asked about."""

    terms: Terms
    state: State
    question: Question
    evidence: frozenset[str]
    version: str


class World(NamedTuple):
    """A history, some persons' choices, and the seed that its questions are drawn from."""

    history: History
    states: tuple[State, ...]
    seed: int


def _some(random: Random, of: tuple[T, ...], *, least: int = 0, most: int | None = None) -> frozenset[T]:
    return frozenset(random.sample(of, random.randint(least, len(of) if most is None else most)))


def _use(random: Random, number: int) -> Use:
    purpose = random.choice(PURPOSES)
    return Use(
        clause=f"use.{number}",
        point=random.choice(POINTS),
        fields=_some(random, FIELDS, least=1),
        categories=frozenset(),
        purpose=purpose,
        meaning=f"{purpose}/1",
        basis=random.choice(BASES[:3] if random.random() < 0.8 else BASES),
        keep=random.choice(CLASSES),
        recipient=random.choice(RECIPIENTS) if random.random() < 0.25 else None,
        channel=random.choice(CHANNELS) if random.random() < 0.25 else None,
        form=random.choice(FORMS) if random.random() < 0.25 else Form(),
        guards=_some(random, GUARDS, most=1 if random.random() < 0.5 else 0),
        survives=_some(random, MODES, most=2),
        direct=random.random() < 0.1,
        carries_over=random.random() < 0.4,
    )


def _twin(random: Random, use: Use, number: int) -> Use:
    """Another permit for nearly the same: what one of them asks for, the other may not."""
    kind = random.randint(0, 6)
    if kind == 0:
        use = replace(use, guards=_some(random, GUARDS, most=2))
    elif kind == 1:
        use = replace(use, channel=random.choice((None, *CHANNELS)))
    elif kind == 2:
        use = replace(use, survives=_some(random, MODES), direct=random.random() < 0.3)
    elif kind == 3:
        use = replace(use, form=random.choice(FORMS))
    elif kind == 4:
        use = replace(use, basis=random.choice(BASES))
    elif use.basis == "consent":  # the same consent over any channel and over one
        use = replace(use, channel=random.choice(CHANNELS) if use.channel is None else None)
    return replace(use, clause=f"use.{number}", fields=use.fields | _some(random, FIELDS), carries_over=kind % 2 == 0)


def _uses(random: Random) -> tuple[Use, ...]:
    found = [_use(random, 0)]
    for number in range(1, random.randint(1, 6)):
        found.append(_twin(random, found[-1], number) if random.random() < 0.5 else _use(random, number))
    return tuple(found)


def _purposes(random: Random) -> dict[str, Purpose]:
    found = {}
    for number, name in enumerate(PURPOSES):
        parent = random.choice(PURPOSES[:number]) if number and random.random() < 0.5 else None
        found[name] = Purpose(name, f"purpose.{name}", f"{name}/1", parent, direct=random.random() < 0.08)
    return found


def _keep(random: Random, name: str) -> Keep:
    phases = []
    for _ in range(random.randint(0, 3)):
        only = _some(random, PURPOSES, least=1, most=4) if random.random() < 0.4 else None
        phases.append(Phase(for_=Duration("30 days", ms=1), only=only))
    return Keep(name, f"keep.{name}", tuple(phases))


def _never(random: Random, number: int) -> Never:
    return Never(
        clause=f"never.{number}",
        act=random.choice(("share", "use", "use", "collect", "join")),
        purposes=_some(random, PURPOSES, most=2),
        categories=_some(random, ("user.contact", "user.contact.email", "user.name", "user"), most=1),
        recipients=_some(random, RECIPIENTS, most=1) if random.random() < 0.3 else frozenset(),
        except_=_some(random, tuple(f"use.{n}" for n in range(6)), most=3),
        unless=random.choice(GUARDS) if random.random() < 0.3 else None,
    )


def _point(random: Random, name: str) -> Point:
    fields = [
        Field(field, "user" if random.random() < 0.1 else category)
        for field, category in CATEGORIES.items()
        if random.random() < 0.85
    ]
    surfaces = SURFACES[:1] if random.random() < 0.1 else ()
    return Point(name, f"collect.{name}", tuple(fields), (), surfaces)


def _recipient(random: Random, name: str) -> Recipient:
    categories = ("user.contact",) if random.random() < 0.3 else ()
    purpose = random.choice(PURPOSES[:2]) if random.random() < 0.3 else PURPOSES[0]
    guards = _some(random, GUARDS, most=1)
    return Recipient(name, f"share.{name}", "third_party", (), categories, purpose, guards)


def policy(
    version: str,
    *,
    uses: tuple[Use, ...] = (),
    purposes: dict[str, Purpose] | None = None,
    points: dict[str, Point] | None = None,
    keeps: dict[str, Keep] | None = None,
    recipients: dict[str, Recipient] | None = None,
    nevers: tuple[Never, ...] = (),
    **more: Any,
) -> CompiledPolicy:
    """A version with what the decision reads, and plain values for the rest."""
    if points is None:
        points = {use.point: Point(use.point, f"collect.{use.point}", (), (), ()) for use in uses}
    return CompiledPolicy(
        policy="example",
        version=version,
        effective=version,
        effective_ms=0,
        controller=Controller("Example Backup Ltd", "privacy@example.com", "IE"),
        language="en",
        sha256="",
        source="",
        notice_period=Duration("30 days", ms=30 * 86_400_000),
        surfaces=dict.fromkeys(SURFACES, ()),
        clauses=more.pop("clauses", {}),
        purposes=purposes or {},
        points=points,
        keeps=keeps or {},
        states={},
        consents={},
        templates=more.pop("templates", {}),
        recipients=recipients or {},
        rights={},
        cookies={},
        nevers=nevers,
        uses=uses,
        **more,
    )


def _first(random: Random) -> CompiledPolicy:
    return policy(
        "v1",
        uses=_uses(random),
        purposes=_purposes(random),
        points={name: _point(random, name) for name in POINTS},
        keeps={name: _keep(random, name) for name in CLASSES},
        recipients={name: _recipient(random, name) for name in RECIPIENTS if random.random() < 0.95},
        nevers=tuple(_never(random, n) for n in range(random.choice((0, 0, 1, 1, 2)))),
    )


def _changed(random: Random, use: Use, number: int) -> tuple[Use, ...]:
    """What became of a use in the next version."""
    kind = random.randint(0, 11)
    if kind == 0:
        return () if random.random() < 0.5 else (use, _use(random, number + 10))
    if kind == 1:
        return (use, _twin(random, use, number + 10))
    if kind == 2:
        return (replace(use, fields=_some(random, FIELDS, least=1)),)
    if kind == 3:
        return (replace(use, form=random.choice(FORMS)),)
    if kind == 4:
        return (replace(use, guards=_some(random, GUARDS, most=2)),)
    if kind in (5, 10):
        return (replace(use, basis=random.choice(BASES)),)
    if kind == 6:
        return (replace(use, channel=random.choice((None, *CHANNELS))),)
    if kind == 7:
        return (replace(use, meaning=f"{use.purpose}/{random.choice((1, 2, 2))}"),)
    if kind == 8:
        return (replace(use, survives=_some(random, MODES)),)
    if kind == 9:
        return (replace(use, keep=random.choice(CLASSES), direct=random.random() < 0.3),)
    return (replace(use, carries_over=random.random() < 0.4),)


def draw_next(random: Random, old: CompiledPolicy, version: str) -> CompiledPolicy:
    if random.random() < 0.1:
        return replace(_first(random), version=version)
    new = replace(old, version=version)
    if random.random() < 0.7:
        new = replace(new, uses=tuple(u for n, use in enumerate(old.uses) for u in _changed(random, use, n))[:8])
    kind = random.randint(0, 9)
    if kind in (0, 6, 7):
        new = replace(new, purposes=_purposes(random))
    elif kind == 1:
        new = replace(new, points={**old.points, POINTS[0]: _point(random, POINTS[0])})
    elif kind == 2:
        new = replace(new, keeps={**old.keeps, CLASSES[0]: _keep(random, CLASSES[0])})
    elif kind == 3:
        new = replace(new, nevers=(*old.nevers, _never(random, 9))[:3])
    elif kind == 4:
        new = replace(new, nevers=old.nevers[1:])
    elif kind == 5:
        new = replace(new, recipients={name: _recipient(random, name) for name in RECIPIENTS})
    return new


def draw_history(random: Random) -> History:
    versions = [_first(random)]
    for number in range(random.randint(0, 3)):
        versions.append(draw_next(random, versions[-1], f"v{number + 2}"))
    return History(tuple(versions))


def draw_state(random: Random, history: History) -> State:
    asked = [use for version in history.versions for use in version.uses if use.basis == "consent"]
    grants = {Grant(use.purpose, use.channel, use.meaning) for use in asked if random.random() < 0.7}
    if random.random() < 0.3:
        grants.add(Grant(random.choice(PURPOSES), random.choice((None, *CHANNELS)), "promotion/1"))
    stops = set()
    if random.random() < 0.5:
        stops.add(Stop(random.choice(PURPOSES), random.choice((None, None, *CHANNELS))))
    mode: Mode = random.choice(MODES) if random.random() < 0.2 else "normal"
    bound = random.choice(["", *(version.version for version in history.versions)])
    return State(mode, bound, frozenset(grants), frozenset(stops))


def draw_case(random: Random, history: History, state: State) -> Case:
    """A question near the border: one that some use answers, changed in few respects."""
    names = [version.version for version in history.versions]
    last = random.randrange(len(names))
    use = random.choice(history.versions[last].uses or (_use(random, 0),))
    terms = Terms("Example Backup Ltd", SURFACES[0], use.point, names[random.randint(0, last)])
    question = Question(
        use.purpose, _some(random, tuple(sorted(use.fields)), least=1), use.recipient, use.channel, use.form
    )
    evidence = EVIDENCE[-1] if random.random() < 0.6 else random.choice(EVIDENCE)
    for _ in range(random.choice((0, 0, 1, 1, 2))):
        kind = random.randint(0, 9)
        if kind == 0:
            question = replace(question, purpose=random.choice(PURPOSES))
        elif kind == 1:
            question = replace(question, fields=_some(random, FIELDS))
        elif kind == 2:
            question = replace(question, recipient=random.choice((None, *RECIPIENTS)))
        elif kind in (3, 4):
            question = replace(question, channel=random.choice((None, *CHANNELS)))
        elif kind == 5:
            question = replace(question, form=random.choice(FORMS))
        elif kind == 6:
            terms = replace(terms, phase=random.choice((-1, 1, 1, 2, 3)))
        elif kind == 7:
            terms = replace(terms, keep=random.choice(CLASSES))
        elif kind == 8:
            terms = replace(terms, surface=SURFACES[1], point=random.choice(POINTS))
        else:
            terms = replace(terms, version=random.choice((*names, "never published")))
    return Case(terms, state, question, evidence, names[last])


def cases(world: World, number: int) -> list[Case]:
    """``number`` questions about the world, the same ones every time."""
    random = Random(world.seed)
    return [draw_case(random, world.history, random.choice(world.states)) for _ in range(number)]


def world(seed: int) -> World:
    """The world of this seed."""
    random = Random(seed)
    history = draw_history(random)
    return World(history, tuple(draw_state(random, history) for _ in range(4)), seed)


def worlds() -> st.SearchStrategy[World]:
    """Worlds by their seeds: Hypothesis's own draws favour the small and the equal, and found half as many faults."""
    return st.integers(0, 2**64 - 1).map(world)
