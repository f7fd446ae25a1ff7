"""The words a policy may use besides its own: purposes, legal bases, events, guards, and the mechanisms.

A mechanism is the named piece of code that keeps clauses; its name is a literal in that code, so that grep finds it.
``MECHANISMS`` says in one line what each promises. ``PLANNED`` are those that no code keeps yet: a clause that rests
on one of them alone must say ``not_enforced``.
"""

from __future__ import annotations

from typing import Final

DPV: Final = "https://w3id.org/dpv#"

#: Purposes that need no definition: id -> (parent, DPV term, direct marketing?, what is done).
#: The terms are those of the W3C Data Privacy Vocabulary 2 (https://w3id.org/dpv).
PURPOSES: Final[dict[str, tuple[str | None, str | None, bool, str]]] = {
    "service": (None, "dpv:ServiceProvision", False, "running what a person asked for"),
    "registration": ("service", "dpv:ServiceRegistration", False, "taking a registration in"),
    "confirmation": ("service", "dpv:ServiceRegistration", False, "making sure that an address is its owner's"),
    "account": ("service", "dpv:AccountManagement", False, "setting up, maintaining and controlling an account"),
    "provide": ("service", "dpv:RequestedServiceProvision", False, "giving what was asked for"),
    "restore": ("service", "dpv:AccountManagement", False, "taking a person back who returns"),
    "payment": ("service", "dpv:PaymentManagement", False, "taking payments"),
    "support": ("service", "dpv:CommunicationForCustomerCare", False, "answering questions and mending faults"),
    "comfort": ("service", "dpv:ServicePersonalisation", False, "remembering how somebody likes a page"),
    "communication": (None, "dpv:CommunicationManagement", False, "talking with a person who wrote"),
    "clarify": ("communication", "dpv:CommunicationForCustomerCare", False, "asking about data that looks wrong"),
    "follow_up": ("communication", "dpv:CommunicationForCustomerCare", False, "coming back to a question"),
    "insight": (None, "dpv:ServiceOptimisation", False, "learning how things are used"),
    "improve": ("insight", "dpv:ImproveExistingProductsAndServices", False, "making products better"),
    "analytics": ("insight", "dpv:ServiceUsageAnalytics", False, "seeing how pages and products are used"),
    "patterns": ("insight", "dpv:ServiceUsageAnalytics", False, "adding up over many persons"),
    "marketing": (None, "dpv:DirectMarketing", True, "advertising to a person"),
    "newsletter": ("marketing", "dpv:DirectMarketing", True, "sending the newsletter"),
    "security": (None, "dpv:EnforceSecurity", False, "keeping systems and accounts safe"),
    "choices": (None, "dpv:RightsFulfilment", False, "remembering what a person chose"),
    "rights": (None, "dpv:RightsFulfilment", False, "fulfilling a person's rights"),
    "legal_duty": (None, "dpv:LegalCompliance", False, "doing what the law demands"),
    "automated_decision": (None, None, False, "deciding about a person by a machine alone (GDPR Art. 22)"),
    "legal_claim": (None, "dpv:DisputeManagement", False, "making or defending a legal claim"),
}

#: Legal bases of GDPR Art. 6(1), each with its place in the law. A person's powers stand in ``narrow.POWERS``.
BASES: Final[dict[str, str]] = {
    "consent": "6(1)(a): the person agreed, by an act of its own, and can take it back",
    "contract": "6(1)(b): a contract with the person needs it",
    "legal_obligation": "6(1)(c): the law demands it",
    "vital_interest": "6(1)(d): a life is at stake",
    "public_interest": "6(1)(e): a task in the public interest; the person can object",
    "legitimate_interest": "6(1)(f): an interest that the person's do not outweigh; the person can object",
}

#: Events that policies can name besides ``<point>.accepted``, ``.confirmed`` and ``.withdrawn`` of their own points.
EVENTS: Final[dict[str, str]] = {
    "account.created": "an account was opened",
    "account.used": "somebody signed in",
    "account.password-changed": "a person changed their password",
    "account.password-known": "a password became known, and was ended",
    "account.password-reminder": "a person who wished it is reminded of changing their password",
    "account.access-changed": "a person changed what they sign in with besides a password",
    "account.signed-in": "somebody signed in from a device or a country that was not seen with this account",
    "account.recovery-asked": "a person says that their second factor is lost",
    "account.delegated": "somebody is given access to another's account",
    "account.recovery-done": "a second factor that was lost is gone",
    "account.closed": "the person or the vendor closed the account",
    "account.returned": "a person came back to the account that they had closed",
    "account.idle": "an account was not used for long, and will end soon",
    "address.asked": "a person asked to be found by another address",
    "data.rectified": "data of a person was corrected",
    "licence.runs": "a product told us that a licence runs, and until when",
    "product.reported": "a product told us of an account it keeps",
    "product.used": "a product told us that an account was used",
    "subject.first": "first data of a person arrived",
    "rights.asked": "a person asked for the link to their own page",
    "request.received": "a request by a person came in",
    "request.extended": "the answer to a request is put off",
    "request.refused": "a request is refused",
    "request.fulfilled": "what was asked is done",
    "request.due": "the deadline of a request is near",
    "access.prepared": "a copy of a person's data is ready",
    "erase.ordered": "an erasure was ordered",
    "erase.done": "an erasure is done",
    "objection.made": "a person objected",
    "restriction.begun": "a person's data was set aside",
    "restriction.ending": "a person is told that their data will be used again",
    "consent.given": "a person agreed",
    "consent.withdrawn": "a person took a consent back",
    "ticket.opened": "a question was opened",
    "ticket.closed": "a question was closed",
    "contract.begun": "a contract began",
    "contract.ended": "a contract ended",
    "order.placed": "something was ordered",
    "order.done": "an order was carried out",
    "policy.published": "a version was published",
    "policy.effective": "a version took effect",
    "child.alleged": "somebody says that a person is a child; can be undone",
    "child.known": "it is known that a person is a child",
    "breach.known": "a breach is known",
    "flag.raised": "data of a person looks wrong",
}

#: How the events begin that products tell of; besides them, those that a policy defines itself.
REPORTED: Final = ("product.", "licence.")

#: Guards: what must be there, as a row, at the moment of use.
GUARDS: Final[dict[str, str]] = {
    "ticket": "an open question of this person",
    "order": "an order of this person",
    "flag": "a mark that something about the data is wrong",
    "reason": "a reason, written down",
    "expires": "a day on which it ends",
    "contract.live": "a contract with the recipient that has not ended",
    "review.live": "a review of the recipient that is not overdue",
    "demand.document": "the document of the authority that demands it",
    "approval": "the person's own written approval of this one case",
    "unsubscribe": "a working link that stops such messages",
    "instruction": "an instruction of the controller for whom we act",
    "session": "the person is signed in",
}

CHANNELS: Final = ("email", "phone", "post", "chat", "product", "page")

#: What each mechanism does, in one line.
MECHANISMS: Final[dict[str, str]] = {
    "policy.compile": "the policy compiles: every statement about it was proven, every reference leads somewhere",
    "policy.effective": "a version binds from its effective date in the ledger's time, not earlier, not later",
    "policy.publish": "the page served is the version in force, word for word, and older versions stay readable",
    "page.date-first": "the effective date stands in the first block of the page",
    "page.readable": "the policy opens beside every form, without cookies, scripts or an account",
    "page.accessible": "pages pass the accessibility checks",
    "scope.surface": "each host belongs to one surface; an unknown host collects nothing",
    "scope.closed": "forms, interfaces and tables hold what clauses declare and nothing else",
    "notice.bind": "each submission carries the version and the text's hash that were shown",
    "consent.record": "each consent has a record and a receipt with the words that were shown",
    "consent.withdraw": "a withdrawal takes effect at once, with no more steps than the yes took",
    "refusal.nothing": "a refusal stores nothing about the person",
    "intake.declared": "the one door takes declared fields and refuses the rest, naming the clause that is missing",
    "intake.double-opt-in": "nothing but the question itself is sent to an address that has not confirmed",
    "intake.registration": "a registration is taken in with its fields sealed, under the version shown",
    "gate.purpose": "personal data is read for a declared purpose or not at all",
    "gate.never": "what a clause forbids is refused at the gate",
    "share.deny": "nothing leaves but by a declared way out",
    "vault.sealed": "personal data at rest is sealed under keys of its subject",
    "transit.tls": "what travels is encrypted; no setting turns that off",
    "message.declared": "only declared messages are sent, for their purpose, to who may receive them",
    "message.unsubscribe": "each marketing message carries a link and headers that stop it with one click",
    "retain.due": "what is past its last phase is erased",
    "retain.heartbeat": "retention ran within the last day",
    "right.access": "a person receives all that is held about them",
    "right.portability": "the copy comes in formats that programs read",
    "right.erase": "an erasure makes data unreadable at once, looks again, and certifies",
    "right.object": "an objection stops at once and outlives the data",
    "right.proof": "a person shows who they are by a link, a password or a product; no answer tells whom we know",
    "suppress.keyed": "a keyed hash remembers an objection without the address",
    "operator.second": "a second operator approves",
    "operator.sign-in": "staff sign in with two factors; what they do carries their id",
    "product.ask": "a product asks before it uses an entry of its own table",
    "account.control": "a person closes their account and comes back, and what follows from it follows at once",
    "activity.signed": "a product tells of an account's use in signed events of declared kinds, each once",
    "cookie.declared": "only declared cookies are set",
    "cookie.random": "cookie values are random or fixed words",
    "site.cookieless": "every public page works without cookies",
    "controller.shown": "who is responsible and how to reach them stands on the policy and beside forms",
    "basis.declared": "each use has one legal basis",
    "retain.declared": "each use has a period",
    "category.personal": "each stored field has a category; what has none counts as personal",
    "evidence.board": "the board is computed by checks, not by claims",
    "evidence.ledger": "what happens is written to the ledger, in the same transaction",
    "cookie.consent": "an optional cookie is set after a consent only",
    "consent.signal": "the browser's signal counts as a refusal",
    "consent.choice": "a refusal costs what the list says and nothing else",
    "count.visits": "visits are counted with a consent, or as figures that enough persons stand behind",
    "count.address": "an address tells a country and is kept by nothing; the key of a day's visitors dies with it",
    "count.returning": "a browser is recognised after a yes, and not after a no",
    "intake.age": "the question about age keeps the answer, not the age",
    "intake.device": "products report declared fields only",
    "intake.diagnostics": "a diagnostic file is shown before it is sent and goes when the question is closed",
    "intake.source": "data from others is taken in with its source or not at all",
    "join.never": "what must not be joined is sealed so that it cannot be",
    "share.register": "a recipient stands in the register with contract and review",
    "share.release": "a figure leaves only over enough persons",
    "share.approval": "an approval of the person's own lifts one prohibition for one case",
    "message.registered": "each automatic message and decision stands in a list that a person can read",
    "right.rectify": "a correction reaches every copy",
    "right.deadline": "a request is answered in time, extended with a reason, or refused with one",
    "right.restrict": "restricted data is kept and not used",
    "retain.hold": "a hold has a reason and an end, and narrows use",
    "child.reply": "a child's data is set aside, answered once and erased",
    "password.hashed": "passwords are stored as Argon2id values",
    "account.passkey": "a person adds their own passkeys, sealed under their key; each answer of one works once",
    "account.second-factor": "a second factor is asked wherever its owner set one; a lost one goes after a wait",
    "password.change": "a password is changed on one page, and forced only on evidence of compromise",
    "access.delegation": "whoever is given access to an account signs in as themselves, acts within it and is named",
    "breach.register": "each breach is written down, and the clocks of its notices run",
    "policy.notice": "everybody affected is told before a reduction of rights takes effect",
    "policy.linked": "linked documents have versions",
    "policy.precedence": "of several policies the most specific applies",
    "role.processor": "work for another controller cites its instruction",
    "link.registered": "links to other sites stand in a register, are marked and carry nothing",
    "embed.registered": "pages load from registered places only",
}

#: Mechanisms that later work brings.
PLANNED: Final[frozenset[str]] = frozenset(
    {
        "intake.age",
        "intake.device",
        "intake.diagnostics",
        "intake.source",
        "join.never",
        "share.register",
        "share.release",
        "share.approval",
        "retain.hold",
        "child.reply",
        "breach.register",
        "policy.notice",
        "policy.linked",
        "policy.precedence",
        "role.processor",
    }
)


def purpose_iri(term: str | None) -> str | None:
    """The IRI of a DPV term written ``dpv:Name``; other terms stay as they are."""
    return DPV + term.removeprefix("dpv:") if term and term.startswith("dpv:") else term
