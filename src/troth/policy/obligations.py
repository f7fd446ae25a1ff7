"""What the clauses require and forbid, as model values: messages, rights, prohibitions."""

from __future__ import annotations

from collections.abc import Sequence

from troth.policy.bodies import Forbids, MessageBody, NeverShare, NeverUse, RightBody
from troth.policy.categories import under
from troth.policy.clauses import ReadClause
from troth.policy.definitions import Definitions
from troth.policy.diagnostics import did_you_mean
from troth.policy.model import Duration, Never, Right, Template
from troth.policy.permits import Permissions
from troth.policy.reading import Context

MONTH = Duration("1 month", months=1)

#: GDPR Art. 12(3): one month for an answer. No clause can take longer.
_LONGEST_DAYS = 31


class Obligations:
    """Messages, rights and prohibitions of one policy."""

    def __init__(self, known: Definitions, permissions: Permissions, clauses: Sequence[ReadClause]) -> None:
        self.known = known
        self.permissions = permissions
        self.templates: dict[str, Template] = {}
        self.rights: dict[str, Right] = {}
        self.nevers: list[Never] = []
        self._defaults = self._for_every_right(clauses)
        for clause in clauses:
            if clause.requires:
                for name, message in clause.requires.message.items():
                    self._message(clause, str(name), message)
                for right in clause.requires.right:
                    self._right(clause, right)
                if clause.requires.hold:
                    for purpose in clause.requires.hold.only:
                        known.purpose(clause, purpose)
                if clause.requires.when:
                    known.event(clause, clause.requires.when.event)
            if clause.forbids:
                self._never(clause, clause.forbids)

    # --- messages ---

    def _message(self, clause: ReadClause, name: str, body: MessageBody) -> None:
        purpose = self.known.purpose(clause, body.purpose)
        if body.when:
            self.known.event(clause, body.when)
        if name in self.templates:
            first = self.templates[name].clause
            clause.error("DUPLICATE_NAME", body.at, f'the message "{name}" stands in {first} already')
            return
        if purpose is not None:
            if body.class_ == "marketing" and not self._direct(purpose.id):
                message = f'"{name}" is marketing, but the purpose "{purpose.id}" is not declared as direct marketing'
                clause.error("CONTRADICTION", body.at, message, hint="objections to marketing would not stop it")
            if body.class_ != "marketing" and self._direct(purpose.id):
                message = f'the purpose "{purpose.id}" is direct marketing, so "{name}" is marketing as well'
                clause.error("CONTRADICTION", body.at, message, paste="class: marketing")
            self._covered(clause, name, body)
        self.templates[name] = Template(
            id=name,
            clause=clause.id,
            kind=body.class_,
            purpose=str(body.purpose),
            fields=tuple(map(str, body.fields)),
            trigger=str(body.when) if body.when else "",
            channel=str(body.channel),
        )

    def _direct(self, purpose: str) -> bool:
        seen = set()
        node: str | None = purpose
        while node is not None and node not in seen:
            seen.add(node)
            found = self.known.purposes.get(node)
            if found is not None and found.direct:
                return True
            node = found.parent if found else None
        return False

    def _covered(self, clause: ReadClause, name: str, body: MessageBody) -> None:
        """The gate will ask; a message for which no use could ever be allowed is told here."""
        wanted = {str(field) for field in body.fields}
        touching = [
            use.fields
            for _, _, use in self.permissions.uses
            if use.purpose == body.purpose and use.recipient is None and use.channel in (None, str(body.channel))
        ]
        if not touching:
            message = f'no clause permits a use for "{body.purpose}" over {body.channel}: "{name}" could never be sent'
            clause.error("MESSAGE_WITHOUT_USE", body.at, message, hint="add a row to the uses of the collection point")
        elif not any(wanted <= fields for fields in touching):
            at_once = max(touching, key=lambda fields: len(wanted & fields))
            missing = ", ".join(sorted(wanted - at_once))
            message = f'the use for "{body.purpose}" does not cover {missing}: "{name}" could never be sent'
            clause.error("MESSAGE_WITHOUT_USE", body.at, message, hint="a message holds fields of one collection point")

    # --- rights ---

    def _for_every_right(self, clauses: Sequence[ReadClause]) -> RightBody | None:
        found: RightBody | None = None
        for clause in clauses:
            for right in clause.requires.right if clause.requires else ():
                if right.kind == "any" and found is None:
                    found = right
                elif right.kind == "any":
                    message = "what holds for every right is said by another clause already"
                    clause.error("DUPLICATE_NAME", right.at, message)
        return found

    def _right(self, clause: ReadClause, body: RightBody) -> None:
        if body.within is not None and _longer_than_a_month(body.within):
            message = f"the law gives one month for an answer (GDPR Art. 12(3)), not {body.within.text}"
            clause.error("LAW_FLOOR", body.at, message, paste="within: 1 month")
        if body.to is not None:
            self.known.purpose(clause, body.to)
        if body.kind == "any":
            return
        base = self._defaults
        made = Right(
            kind=body.kind,
            clause=clause.id,
            proof=str(body.proof or (base.proof if base else None) or "link"),
            within=body.within or (base.within if base else None) or MONTH,
            approvals=body.approvals or (base.approvals if base else 0),
            undo=body.undo or (base.undo if base else None),
            to=str(body.to) if body.to else None,
            formats=tuple(map(str, body.formats)),
            where=tuple(map(str, body.where or (base.where if base else ()))),
            told=body.told,
        )
        if str(body.kind) in self.rights:
            first = self.rights[str(body.kind)].clause
            clause.error("DUPLICATE_NAME", body.at, f"the right of {body.kind} stands in {first} already")
        else:
            self.rights[str(body.kind)] = made

    # --- prohibitions ---

    def _never(self, clause: ReadClause, body: Forbids) -> None:
        if body.share:
            self._share(clause, body.share)
        if body.use:
            self._use(clause, body.use)
        if body.collect and body.collect.categories:
            for category in body.collect.categories:
                self.known.category(clause, category)
            excepted = self.known.refer(clause, body.collect.except_)
            categories = frozenset(map(str, body.collect.categories))
            self.nevers.append(Never(clause.id, "collect", categories=categories, except_=excepted))
            self._against_fields(clause, categories, excepted, "collected")
        if body.keep:
            for category in body.keep:
                self.known.category(clause, category)
            categories = frozenset(map(str, body.keep))
            self.nevers.append(Never(clause.id, "keep", categories=categories))
            self._against_fields(clause, categories, frozenset(), "kept")
        if body.join:
            self._join(clause, body)

    def _share(self, clause: ReadClause, body: NeverShare) -> None:
        for purpose in body.purpose:
            self.known.purpose(clause, purpose)
        for category in body.categories:
            self.known.category(clause, category)
        for recipient in body.to:
            if recipient not in self.permissions.recipients:
                message = f'no clause names recipients "{recipient}"'
                hint = did_you_mean(recipient, self.permissions.recipients)
                clause.error("UNKNOWN_RECIPIENT", recipient.at, message, hint=hint)
        never = Never(
            clause=clause.id,
            act="share",
            purposes=frozenset(map(str, body.purpose)),
            categories=frozenset(map(str, body.categories)),
            recipients=frozenset(map(str, body.to)),
            except_=self.known.refer(clause, body.except_),
            unless="approval" if body.unless else None,
        )
        self.nevers.append(never)
        self._against_uses(clause, never, share=True)

    def _use(self, clause: ReadClause, body: NeverUse) -> None:
        for purpose in body.for_:
            self.known.purpose(clause, purpose)
        for category in body.categories:
            self.known.category(clause, category)
        if not body.for_ and not body.categories:
            clause.error("EMPTY", body.at, "what is it never used for? name purposes or categories")
            return
        never = Never(
            clause=clause.id,
            act="use",
            purposes=frozenset(map(str, body.for_)),
            categories=frozenset(map(str, body.categories)),
            except_=self.known.refer(clause, body.except_),
            unless="approval" if body.unless else None,
        )
        self.nevers.append(never)
        self._against_uses(clause, never, share=False)

    def _against_uses(self, clause: ReadClause, never: Never, *, share: bool) -> None:
        """A prohibition beats the permits of its scope: a permit that it makes dead is a contradiction."""
        told: set[str] = set()
        for owner, at, use in self.permissions.uses:
            if (share and use.recipient is None) or use.clause in never.except_ or use.clause in told:
                continue
            if never.recipients and use.recipient not in never.recipients:
                continue
            if never.purposes and not any(self._below(use.purpose, node) for node in never.purposes):
                continue
            hit = sorted(
                c for c in use.categories if not never.categories or any(under(c, root) for root in never.categories)
            )
            if hit:
                told.add(use.clause)
                what = f'the use for "{use.purpose}"' if use.recipient is None else f'the way out to "{use.recipient}"'
                message = f"{clause.id} forbids {what} that {owner.id} permits ({', '.join(hit)})"
                context = Context(owner.context.report, owner.block.file)
                paste = f"except: [{', '.join([*sorted(never.except_), owner.id])}]"
                context.error("CONTRADICTION", at, message, f"if both are meant, {clause.id} excepts it:", paste)

    def _against_fields(
        self, clause: ReadClause, categories: frozenset[str], excepted: frozenset[str], verb: str
    ) -> None:
        for point in self.permissions.points.values():
            for field in point.fields:
                if point.clause in excepted or not any(under(field.category, c) for c in categories):
                    continue
                owner = self.known.clauses[point.clause]
                message = f'{clause.id} says that {field.category} is never {verb}; "{field.name}" is such a field'
                owner.error("CONTRADICTION", owner.at, message)

    def _below(self, purpose: str, node: str) -> bool:
        seen = set()
        current: str | None = purpose
        while current is not None and current not in seen:
            if current == node:
                return True
            seen.add(current)
            found = self.known.purposes.get(current)
            current = found.parent if found else None
        return False

    def _join(self, clause: ReadClause, body: Forbids) -> None:
        if len(body.join) < 2:
            clause.error("EMPTY", body.at, "two things at least are never joined: points or categories")
        for name in body.join:
            if name not in self.permissions.points and name not in self.known.categories:
                known = [*self.permissions.points, *self.known.categories]
                message = f'"{name}" is neither a collection point nor a category'
                clause.error("UNKNOWN_POINT", name.at, message, hint=did_you_mean(name, known))
        self.nevers.append(Never(clause.id, "join", joined=frozenset(map(str, body.join))))


def _longer_than_a_month(period: Duration) -> bool:
    days = period.ms / 86_400_000
    return period.months > 1 or (period.months == 1 and days > 0) or days > _LONGEST_DAYS
