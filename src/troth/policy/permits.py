"""What the clauses make possible: collection points, uses, ways out, cookies and consents, as model values.

Every row of a ``permits`` clause becomes one or more atoms (``model.Use``). A use of data that other clauses collect
has an atom for each point and retention class it touches, so that keeping never changes by using.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from msgspec.structs import replace as _replace

from troth.policy import embeds
from troth.policy.bodies import (
    AtMost,
    Bits,
    ChoiceValue,
    CollectBody,
    ConsentBody,
    CookieBody,
    FlagValue,
    Guard,
    Name,
    Operators,
    OutputForm,
    RandomValue,
    ShareBody,
    StandingUse,
    Summary,
    UseBody,
    Word,
)
from troth.policy.categories import under
from troth.policy.clauses import ReadClause
from troth.policy.definitions import UNSTATED, Definitions
from troth.policy.diagnostics import did_you_mean
from troth.policy.figures import guard_text
from troth.policy.lints import Lints
from troth.policy.model import Basis, ConsentAsk, CookieRule, Embed, Field, Form, Point, Position, Recipient, Use

#: A session cookie lives as long as the browser runs; without a value a cookie holds this much chance.
DEFAULT_BITS = Bits(128)


class Permissions:
    """All that the clauses permit: ``uses`` in the order of the file with their places, ``at`` by collection point.

    ``unfounded`` are the rows that name no basis; they were told.
    """

    def __init__(self, definitions: Definitions, clauses: Sequence[ReadClause], lints: Lints) -> None:
        self.known = definitions
        self.lints = lints
        self.points: dict[str, Point] = {}
        self.uses: list[tuple[ReadClause, Position, Use]] = []
        self.at: dict[str, list[Use]] = {}
        self.unfounded: set[tuple[str, Position]] = set()
        self.consents: dict[str, ConsentAsk] = {}
        self.cookies: dict[str, CookieRule] = {}
        self.embeds: list[Embed] = []
        self.recipients: dict[str, Recipient] = {}
        permitting = [(clause, clause.permits) for clause in clauses if clause.permits is not None]
        for clause, body in permitting:
            if body.collect:
                self._point(clause, body.collect)
        for clause, body in permitting:
            for use in body.use:
                self._standing(clause, use)
            for share in body.share:
                self._share(clause, share)
            for name, cookie in body.cookie.items():
                self._cookie(clause, name, cookie)
            for origin, embed in body.embed.items():
                if (found := embeds.read(definitions, clause, origin, embed, lints)) is not None:
                    self.embeds.append(found)
            if body.consent:
                self._consent(clause, body.consent, None)
        self._fill()
        embeds.told_twice(definitions, self.embeds)

    # --- collection ---

    def _point(self, clause: ReadClause, body: CollectBody) -> None:
        if body.point in self.points:
            first = self.points[body.point].clause
            clause.error("DUPLICATE_NAME", body.point.at, f'the point "{body.point}" stands in {first} already')
            return
        for field in body.fields.values():
            self.known.category(clause, field.category)
        fields = tuple(
            Field(
                name=str(name),
                category=str(f.category),
                required=f.required,
                identifier=f.identifier,
                choices=tuple(map(str, f.choices)),
                max_length=f.max_length,
                stored=f.stored,
            )
            for name, f in body.fields.items()
        )
        if not fields:
            clause.error("EMPTY", body.at, f'the point "{body.point}" has no field')
        surfaces = tuple(str(s) for s in body.surfaces if self.known.surface(clause, s))
        confirm = body.confirm or (body.consent.confirm if body.consent else "single")
        point = Point(
            id=str(body.point),
            clause=clause.id,
            fields=fields,
            uses=(),
            surfaces=surfaces or tuple(self.known.surfaces),
            confirm="double" if confirm == "double" else "single",
        )
        self.points[point.id] = point
        for use in body.uses:
            self._row(clause, point, use)
        if body.consent:
            self._consent(clause, body.consent, point)
        used = {name for use in body.uses for name in use.fields or body.fields}
        for name in body.fields:
            if name not in used and body.uses:
                message = f'nothing uses the field "{name}": what serves no purpose may not be asked'
                clause.error("UNUSED_FIELD", name.at, message, hint="name it in the fields of a use, or leave it out")
        if not body.uses and clause.sound:
            message = f'the point "{body.point}" has no use: what may be done with its data, on which basis?'
            paste = "uses:\n  - {purpose: account, basis: contract, keep: account}"
            clause.error("NO_USE", body.at, message, paste=paste)

    def _row(self, clause: ReadClause, point: Point, use: UseBody) -> None:
        fields = self._named(clause, point, use.fields) or frozenset(f.name for f in point.fields)
        keep = UNSTATED
        if use.keep is None:
            message = f'the use for "{use.purpose}" says nothing about how long'
            self.lints.historical("NO_RETENTION", clause, use.at, message, paste=f"keep: {self._some_keep()}")
        elif self.known.keep(clause, use.keep):
            keep = str(use.keep)
        self._atom(clause, use.at, use, point, fields, keep)

    def _named(self, clause: ReadClause, point: Point, names: Iterable[Name]) -> frozenset[str]:
        known = [f.name for f in point.fields]
        found = set()
        for name in names:
            if name in known:
                found.add(str(name))
            else:
                message = f'the point "{point.id}" has no field "{name}"'
                clause.error("UNKNOWN_FIELD", name.at, message, hint=did_you_mean(name, known))
        return frozenset(found)

    def _some_keep(self) -> str:
        return next(iter(self.known.keeps), "account")

    # --- uses of what is collected elsewhere, and ways out ---

    def _standing(self, clause: ReadClause, use: StandingUse) -> None:
        touched = list(self._touched(clause, use))
        for point, fields in touched:
            if use.keep is not None and self.known.keep(clause, use.keep):
                self._atom(clause, use.at, use, point, fields, str(use.keep))
                continue
            for keep, kept in self._classes(point, fields):
                self._atom(clause, use.at, use, point, kept, keep)

    def _touched(self, clause: ReadClause, row: StandingUse | ShareBody) -> Iterator[tuple[Point, frozenset[str]]]:
        """The points a row speaks of, each with the fields; told as NO_DATA where it names none."""
        if not (row.points or row.fields or row.categories):
            message = f'the row for "{row.purpose}" does not say which data: name points, fields or categories'
            clause.error("NO_DATA", row.at, message, paste="categories: [user.contact.email]")
            return
        for category in row.categories:
            self.known.category(clause, category)
        named = [str(name) for name in row.points if self.known.point(clause, name)]
        points = [self.points[name] for name in (named if row.points else list(self.points)) if name in self.points]
        missing = {str(name): name for name in row.fields}
        for point in points:
            names = {f.name for f in point.fields}
            if row.fields:
                names &= {str(name) for name in row.fields}
                for name in names:
                    missing.pop(name, None)
            if row.categories:
                names = {f.name for f in point.fields if f.name in names and _in(f.category, row.categories)}
            if names:
                yield point, frozenset(names)
        if points or not row.points:
            known = {f.name for point in points for f in point.fields}
            for name in missing.values():
                message = f'no point that this row speaks of has a field "{name}"'
                clause.error("UNKNOWN_FIELD", name.at, message, hint=did_you_mean(name, known))

    def _classes(self, point: Point, fields: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
        """The retention classes under which these fields of the point are kept, each with its fields."""
        found: dict[str, frozenset[str]] = {}
        for use in self.at.get(point.id, ()):
            if use.clause == point.clause and use.fields & fields:
                found[use.keep] = found.get(use.keep, frozenset()) | (use.fields & fields)
        return list(found.items())

    def _share(self, clause: ReadClause, share: ShareBody) -> None:
        guards = self._guards(clause, share.needs)
        purpose = self.known.purpose(clause, share.purpose)
        if share.to in self.recipients:
            first = self.recipients[share.to].clause
            clause.error("DUPLICATE_NAME", share.to.at, f'the recipients "{share.to}" stand in {first} already')
            return
        touched = list(self._touched(clause, share))
        categories = {str(c) for c in share.categories} or {
            f.category for point, names in touched for f in point.fields if f.name in names
        }
        if not share.countries:
            message = f'the row for "{share.to}" does not say in which countries'
            self.lints.historical("NO_COUNTRIES", clause, share.at, message, paste="countries: [EEA]")
        self.recipients[str(share.to)] = Recipient(
            id=str(share.to),
            clause=clause.id,
            role=str(share.role),
            countries=tuple(map(str, share.countries)),
            categories=tuple(sorted(categories)),
            purpose=str(share.purpose),
            guards=guards,
        )
        if purpose is None:
            return
        based = {point.id: share.basis or self._basis_of(point, share) for point, _ in touched}
        for point, fields in touched:
            basis = based[point.id]
            if basis is None and share.role == "processor" and any(based.values()):
                continue  # a processor serves the controller's purpose: where that is not pursued nothing goes out
            if basis is None:
                self._no_basis(clause, share.at, share.purpose)
                self.unfounded.add((clause.id, share.at))
                basis = "consent"
            for keep, kept in self._classes(point, fields):
                body = UseBody(
                    at=share.at,
                    purpose=share.purpose,
                    basis=basis,
                    as_=share.as_,
                    needs=share.needs,
                    survives=share.survives,
                    carries_over=share.carries_over,
                )
                self._atom(clause, share.at, body, point, kept, keep, recipient=str(share.to))

    def _basis_of(self, point: Point, share: ShareBody) -> Basis | None:
        """A processor acts on the controller's basis; a figure over many persons says nothing of one."""
        if share.role != "processor" and not isinstance(share.as_, Summary):
            return None
        same = (use.basis for use in self.at.get(point.id, ()) if use.purpose == share.purpose)
        return next(same, "legitimate_interest" if isinstance(share.as_, Summary) else None)

    # --- atoms ---

    def _atom(
        self,
        clause: ReadClause,
        at: Position,
        use: UseBody,
        point: Point,
        fields: frozenset[str],
        keep: str,
        recipient: str | None = None,
    ) -> None:
        purpose = self.known.purpose(clause, use.purpose)
        basis = use.basis
        if basis is None:
            self._no_basis(clause, use.at, use.purpose)
            basis = "consent"  # the basis that gives a person most: without a grant nothing is done
            self.unfounded.add((clause.id, at))
        if purpose is None:
            return
        categories = frozenset(f.category for f in point.fields if f.name in fields)
        atom = Use(
            clause=clause.id,
            point=point.id,
            fields=fields,
            categories=categories,
            purpose=purpose.id,
            meaning=purpose.meaning,
            basis=basis,
            keep=keep,
            recipient=recipient,
            channel=str(use.channel) if use.channel else None,
            form=form(use.as_),
            guards=self._guards(clause, use.needs),
            survives=frozenset(str(mode) for mode in use.survives),
            direct=purpose.direct,
            carries_over=use.carries_over,
        )
        self.uses.append((clause, at, atom))
        self.at.setdefault(point.id, []).append(atom)

    def _no_basis(self, clause: ReadClause, at: Position, purpose: Name) -> None:
        message = f'the use for "{purpose}" names no legal basis'
        self.lints.historical("NO_BASIS", clause, at, message, paste="basis: contract")

    def _guards(self, clause: ReadClause, needs: Iterable[Guard]) -> frozenset[str]:
        for guard in needs:
            if not isinstance(guard, Operators | AtMost):
                self.known.guard(clause, guard)
        return frozenset(guard_text(guard) for guard in needs)

    # --- consents and cookies ---

    def _consent(self, clause: ReadClause, body: ConsentBody, point: Point | None) -> None:
        purpose = self.known.purpose(clause, body.to.purpose)
        for category in body.to.categories:
            self.known.category(clause, category)
        if purpose is None:
            return
        channel = str(body.to.channel) if body.to.channel else None
        name = str(body.id) if body.id else ".".join(filter(None, (purpose.id, channel)))
        if name in self.consents:
            first = self.consents[name].clause
            clause.error("DUPLICATE_NAME", body.at, f'the consent "{name}" stands in {first} already')
            return
        confirm: Literal["double", "single"] = "double" if body.confirm == "double" else "single"
        self.consents[name] = ConsentAsk(
            id=name,
            clause=clause.id,
            purpose=purpose.id,
            meaning=purpose.meaning,
            categories=tuple(map(str, body.to.categories)),
            ask=" ".join(body.ask.split()),
            channel=channel,
            confirm=confirm,
            lasts=body.lasts,
            withdraw=str(body.withdraw),
            asked="site" if body.asked == "site" else "form",
            loses=tuple(map(str, body.loses)),
        )
        if point is not None:
            self.points[point.id] = _replace(point, consent=self.consents[name])

    def _cookie(self, clause: ReadClause, name: Word, body: CookieBody) -> None:
        self.known.purpose(clause, body.purpose)
        flags = [cookie.name for cookie in self.cookies.values() if cookie.flag]
        if name in self.cookies:
            first = self.cookies[name].clause
            clause.error("DUPLICATE_NAME", body.at, f'the cookie "{name}" stands in {first} already')
            return
        value = body.value
        if isinstance(value, FlagValue) and flags:
            clause.error("DUPLICATE_NAME", name.at, f'what a browser chose stands in the cookie "{flags[0]}" already')
            return
        choices = tuple(map(str, value.choices)) if isinstance(value, ChoiceValue) else ()
        bits = value.random.at_least if isinstance(value, RandomValue) else DEFAULT_BITS
        fixed = isinstance(value, ChoiceValue | FlagValue)
        self.cookies[str(name)] = CookieRule(
            name=str(name),
            clause=clause.id,
            purpose=str(body.purpose),
            essential=body.essential,
            lasts=body.lasts,
            party=str(body.party),
            value="choice" if fixed else "random",
            bits=0 if fixed else bits.count,
            choices=choices,
            flag=isinstance(value, FlagValue),
        )

    def _fill(self) -> None:
        """Complete what refers to each other: the uses of points, the categories of consents."""
        by_purpose: dict[str, set[str]] = {}
        for _, _, use in self.uses:
            if use.basis == "consent":
                by_purpose.setdefault(use.purpose, set()).update(use.categories)
        for name, ask in self.consents.items():
            if not ask.categories:
                categories = tuple(sorted(by_purpose.get(ask.purpose, ())))
                self.consents[name] = _replace(ask, categories=categories)
        for name, point in self.points.items():
            consent = self.consents.get(point.consent.id) if point.consent else None
            uses = tuple(dict.fromkeys(self.at.get(name, ())))
            self.points[name] = _replace(point, uses=uses, consent=consent)


def form(body: OutputForm) -> Form:
    """The model's form of a declared one."""
    if isinstance(body, Summary):
        return Form("summary", body.summary.at_least)
    return Form("pseudonymous" if body == "pseudonymous" else "identified")


def _in(category: str, roots: Iterable[str]) -> bool:
    return any(under(category, root) for root in roots)
