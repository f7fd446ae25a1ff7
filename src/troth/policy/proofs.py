"""What is proven while compiling: the theorems of ``asserts``, what ``every … has``, that consents can be given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from troth.policy.bodies import Asserts, AssertUses, ChoiceValue, Every, Has, RandomValue, RefusalBody
from troth.policy.choices import MOST_QUESTIONS
from troth.policy.clauses import ReadClause
from troth.policy.definitions import UNSTATED, Definitions
from troth.policy.diagnostics import did_you_mean
from troth.policy.figures import guard_text
from troth.policy.lints import Lints
from troth.policy.model import Form, Use
from troth.policy.obligations import Obligations
from troth.policy.permits import Permissions, form

_KINDS = ("service", "notice", "support", "clarification", "follow_up", "marketing", "automation")


def prove(
    known: Definitions,
    permissions: Permissions,
    obligations: Obligations,
    clauses: Sequence[ReadClause],
    lints: Lints,
) -> None:
    """Tell each statement that does not hold, at the clause that makes it."""
    prover = _Prover(known, permissions, obligations, lints)
    prover.consents()
    prover.site()
    for clause in clauses:
        if clause.asserts:
            prover.asserted(clause, clause.asserts)
        if clause.requires and clause.requires.consent and clause.requires.consent.refusal:
            prover.refusal(clause, clause.requires.consent.refusal)
        body = clause.asserts or clause.requires
        if body is None:
            continue
        if body.every and body.has:
            prover.every(clause, body.every, body.has)
        elif body.every or body.has:
            missing = "has" if body.every else "every"
            clause.error("MISSING_KEY", body.at, f'"every" and "has" stand together; "{missing}" is missing')
        if clause.requires and bool(clause.requires.when) != bool(clause.requires.then):
            clause.error("MISSING_KEY", body.at, '"when" and "then" stand together; one of them is missing')


class _Prover:
    def __init__(self, known: Definitions, permissions: Permissions, obligations: Obligations, lints: Lints) -> None:
        self.known = known
        self.permissions = permissions
        self.obligations = obligations
        self.lints = lints

    # --- consents ---

    def consents(self) -> None:
        """A use that rests on consent needs a question that asks for exactly it, or it is never possible."""
        asked = {(ask.purpose, ask.channel) for ask in self.permissions.consents.values()}
        told: set[tuple[str, str, str | None]] = set()
        for clause, at, use in self.permissions.uses:
            key = (clause.id, use.purpose, use.channel)
            if use.basis != "consent" or not clause.open or (use.purpose, use.channel) in asked or key in told:
                continue
            if (clause.id, at) in self.permissions.unfounded:
                continue
            told.add(key)
            over = f" over {use.channel}" if use.channel else ""
            message = f'no consent asks for "{use.purpose}"{over}: this use would never be possible'
            channel = f", channel: {use.channel}" if use.channel else ""
            paste = f"consent:\n  to: {{purpose: {use.purpose}{channel}}}\n  ask: Yes, …"
            others = sorted(str(c) for p, c in asked if p == use.purpose)
            hint = f"there is one for the channel {', '.join(others)}" if others else ""
            clause.error("NO_CONSENT", at, message, hint=hint, paste=paste)
        used = {(use.purpose, use.channel) for _, _, use in self.permissions.uses if use.basis == "consent"}
        used |= {(purpose, None) for _, _, purpose in self._optional()}
        for ask in self.permissions.consents.values():
            if (ask.purpose, ask.channel) not in used:
                clause = self.known.clauses[ask.clause]
                message = f'the consent "{ask.id}" is asked, but no use rests on it'
                self.lints.tell("warning", "VACUOUS", clause, clause.at, message)

    def _optional(self) -> Iterator[tuple[str, str, str]]:
        """What a browser must have agreed to: clause, what it is, purpose."""
        for cookie in self.permissions.cookies.values():
            if not cookie.essential:
                yield cookie.clause, f'the cookie "{cookie.name}"', cookie.purpose
        for embed in self.permissions.embeds:
            if not embed.essential:
                yield embed.clause, f"what is loaded from {embed.origin}", embed.purpose

    def site(self) -> None:
        """What is optional in a browser needs a question that the site asks, and the answers need a place."""
        asks = [ask for ask in self.permissions.consents.values() if ask.asked == "site"]
        purposes = {ask.purpose for ask in asks if ask.channel is None}
        for owner, what, purpose in self._optional():
            clause = self.known.clauses[owner]
            if clause.open and purpose not in purposes:
                message = f'{what} is not essential, and the site does not ask for "{purpose}"'
                paste = f"consent:\n  to: {{purpose: {purpose}}}\n  ask: Yes, …\n  asked: site"
                clause.error("NO_CONSENT", clause.at, message, paste=paste)
        for number, ask in enumerate(asks):
            clause = self.known.clauses[ask.clause]
            if ask.purpose in {earlier.purpose for earlier in asks[:number]}:
                message = f'the site asks for "{ask.purpose}" already'
                clause.error("DUPLICATE_NAME", clause.at, message)
            elif number == MOST_QUESTIONS:
                message = f"a site asks at most {MOST_QUESTIONS} questions; nobody reads more"
                clause.error("TOO_MANY_CHOICES", clause.at, message)
        if asks and not any(cookie.flag for cookie in self.permissions.cookies.values()):
            clause = self.known.clauses[asks[0].clause]
            message = "no cookie is declared that could remember what a browser answers"
            paste = (
                "cookie:\n  troth_choice: {purpose: choices, essential: true, lasts: 6 months, value: {flag: consents}}"
            )
            clause.error("NO_FLAG", clause.at, message, paste=paste)

    def refusal(self, clause: ReadClause, body: RefusalBody) -> None:
        """The list of what a no costs is the whole list: neither more nor less than the questions say."""
        asks = [ask for ask in self.permissions.consents.values() if ask.asked == "site"]
        if not (asks and clause.open):
            return
        lost = {each for ask in asks if self.known.clauses[ask.clause].open for each in ask.loses}
        said = {str(each) for each in body.loses}
        if lost != said:
            odd = ", ".join(sorted(lost ^ said))
            message = f'the questions of the site and "{clause.id}" name different losses: {odd}'
            clause.error("ASSERTION_FAILED", body.at, message)

    # --- asserts ---

    def asserted(self, clause: ReadClause, body: Asserts) -> None:
        for what in body.closed:
            if what == "share":
                self._closed_share(clause, body)
            elif what == "cookie":
                self._third_party_cookies(clause, body, self.permissions.recipients)
        for claim in body.uses:
            self._uses(clause, claim)

    def _closed_share(self, clause: ReadClause, body: Asserts) -> None:
        for recipient in self.permissions.recipients.values():
            owner = self.known.clauses[recipient.clause]
            shared = [use for _, _, use in self.permissions.uses if use.recipient == recipient.id]
            for use in shared:
                if recipient.role == "public" and use.form.kind != "summary":
                    message = f'"{clause.id}" asserts that the ways out are closed; this one lets everybody in'
                    owner.error("ASSERTION_FAILED", owner.at, message, paste="as: {summary: {at_least: 20}}")
                    break
        self._third_party_cookies(clause, body, self.permissions.recipients)

    def _third_party_cookies(self, clause: ReadClause, body: Asserts, recipients: object) -> None:
        for cookie in self.permissions.cookies.values():
            if cookie.party == "third" and not recipients:
                owner = self.known.clauses[cookie.clause]
                message = f'the cookie "{cookie.name}" goes to a third party, and "{clause.id}" asserts that none does'
                owner.error("ASSERTION_FAILED", owner.at, message)

    def _uses(self, clause: ReadClause, claim: AssertUses) -> None:
        self.known.purpose(clause, claim.purpose)
        for keep in claim.keep:
            self.known.keep(clause, keep)
        found = [(owner, at, use) for owner, at, use in self.permissions.uses if use.purpose == claim.purpose]
        if not found:
            purposes = {use.purpose for _, _, use in self.permissions.uses}
            message = f'no use has the purpose "{claim.purpose}": nothing is stated'
            hint = did_you_mean(claim.purpose, purposes - {str(claim.purpose)})
            self.lints.tell("warning", "VACUOUS", clause, claim.at, message, hint=hint)
        for owner, at, use in found:
            wrong = self._against(claim, use)
            if wrong:
                message = f'"{clause.id}" asserts otherwise about uses for "{claim.purpose}": {wrong}'
                owner.error("ASSERTION_FAILED", at, message)

    def _against(self, claim: AssertUses, use: Use) -> str:
        if claim.basis and use.basis not in claim.basis:
            return f"the basis here is {use.basis}, not {' or '.join(claim.basis)}"
        if claim.keep and use.keep not in claim.keep:
            return f"this is kept as {use.keep}, not as {' or '.join(claim.keep)}"
        missing = {guard_text(g) for g in claim.needs} - use.guards
        if missing:
            return f"the guard {', '.join(sorted(missing))} is missing here"
        if claim.as_ is not None and _reveals_more(use.form, form(claim.as_)):
            return f"the form here is {use.form.kind}"
        return ""

    # --- every … has ---

    def every(self, clause: ReadClause, every: Every, has: Has) -> None:
        members = 0
        if every.cookie is not None:
            members += self._cookies(clause, every.cookie, has)
        if every.message is not None:
            members += self._messages(clause, every.message, has)
        if every.use is not None:
            members += self._every_use(clause, every.use, has)
        if every.share is not None:
            members += self._every_share(clause, every.share, has)
        if not members:
            self.lints.tell("info", "VACUOUS", clause, every.at, "no member of this class is declared")

    def _cookies(self, clause: ReadClause, which: str, has: Has) -> int:
        chosen = [c for c in self.permissions.cookies.values() if which in ("*", c.purpose, c.name)]
        for cookie in chosen:
            owner = self.known.clauses[cookie.clause]
            wrong = ""
            if isinstance(has.value, RandomValue) and cookie.value == "random":
                least = has.value.random.at_least.count
                wrong = f"{cookie.bits} random bits are fewer than {least}" if cookie.bits < least else ""
            elif isinstance(has.value, ChoiceValue) and cookie.value == "random":
                wrong = "its value is random"
            if has.lasts and cookie.lasts is None and not wrong:
                wrong = "it does not say how long it lasts"
            if wrong:
                message = f'"{clause.id}" says otherwise about the cookie "{cookie.name}": {wrong}'
                owner.error("ASSERTION_FAILED", owner.at, message)
        return len(chosen)

    def _messages(self, clause: ReadClause, which: str, has: Has) -> int:
        templates = self.obligations.templates.values()
        if which != "*" and which not in _KINDS and which not in self.obligations.templates:
            hint = did_you_mean(which, [*_KINDS, *self.obligations.templates])
            clause.error("NOT_A_CHOICE", clause.at, f'"{which}" is no kind of message', hint=hint)
        return len([t for t in templates if which in ("*", t.kind, t.id)])

    def _every_use(self, clause: ReadClause, which: str, has: Has) -> int:
        chosen = [(o, at, u) for o, at, u in self.permissions.uses if which in ("*", u.purpose)]
        for owner, at, use in chosen:
            if has.keep and use.keep == UNSTATED:
                message = f'"{clause.id}" says that each use has a period; the one for "{use.purpose}" has none'
                self.lints.historical("NO_RETENTION", owner, at, message)
        return len(chosen)

    def _every_share(self, clause: ReadClause, which: str, has: Has) -> int:
        chosen = [r for r in self.permissions.recipients.values() if which in ("*", r.id, r.purpose)]
        return len(chosen)


def _reveals_more(found: Form, limit: Form) -> bool:
    order = {"summary": 0, "pseudonymous": 1, "identified": 2}
    if found.kind == limit.kind == "summary":
        return found.at_least < limit.at_least
    return order[found.kind] > order[limit.kind]
