"""The ids that the policies here must declare: the rows of the table of clauses, and what the law adds.

One row, one line; a row may carry several ids.
"""

from __future__ import annotations

ROWS: dict[str, tuple[str, ...]] = {
    "C01": ("changes.effective-date",),
    "C02": ("scope.closed-list",),
    "C03": ("scope.commitment",),
    "C04": ("scope.readable",),
    "C05": ("consent.at-submission",),
    "C06": ("consent.refusal",),
    "C07": ("scope.services",),
    "C08": ("scope.precedence",),
    "C09": ("scope.third-party",),
    "C10": ("scope.gdpr-persons",),
    "C11": ("scope.gdpr-protect",),
    "C12": ("scope.gdpr-security",),
    "C13": ("scope.gdpr-date",),
    "C14": ("scope.compliance",),
    "C15": ("scope.processor-role",),
    "C16": ("scope.linked-documents",),
    "C17": ("changes.publish",),
    "C18": ("changes.advance-notice",),
    "C19": ("changes.date-at-top",),
    "C20": ("collect.cookies",),
    "C21": ("collect.navigation",),
    "C22": ("collect.ip-location",),
    "C23": ("collect.newsletter",),
    "C24": ("collect.registration",),
    "C25": ("collect.device",),
    "C26": ("collect.device-fields",),
    "C27": ("collect.diagnostics",),
    "C28": ("share.summary",),
    "C29": ("share.contracted",),
    "C30": ("share.recipient-terms",),
    "C31": ("share.prior-approval",),
    "C32": (
        "purpose.patterns",
        "purpose.clarify",
        "purpose.follow-up",
    ),
    "C33": ("personal.definition",),
    "C34": ("purpose.account",),
    "C35": ("purpose.communication",),
    "C36": (
        "purpose.provide",
        "purpose.improve",
    ),
    "C37": (
        "purpose.analytics",
        "purpose.support",
    ),
    "C38": ("share.processors",),
    "C39": ("share.legal",),
    "C40": ("share.nothing-else",),
    "C41": ("protect.transit",),
    "C42": ("protect.storage",),
    "C43": ("protect.password",),
    "C44": ("protect.password-change",),
    "C45": ("protect.password-sharing",),
    "C46": ("retain.while-used",),
    "C47": ("rights.erase",),
    "C48": ("rights.restrict",),
    "C49": ("rights.object-marketing",),
    "C50": ("rights.automated",),
    "C51": ("rights.unsubscribe",),
    "C52": ("links.third-party",),
    "C53": ("links.leaving",),
    "C54": ("links.no-endorsement",),
    "C55": ("links.their-terms",),
    "C56": ("links.awareness",),
    "C57": ("links.their-collection",),
    "C58": ("cookies.definition",),
    "C59": ("cookies.returned",),
    "C60": ("cookies.no-personal",),
    "C61": ("cookies.optional",),
    "C62": ("cookies.returning-visit",),
    "C63": ("cookies.refuse",),
    "C64": ("children.not-directed",),
    "C65": ("children.reply-only",),
    "C66": ("contact.questions",),
}

LAW: dict[str, tuple[str, ...]] = {
    "G1": ("controller.identity",),
    "G2": (
        "rights.access",
        "rights.rectify",
        "rights.portability",
    ),
    "G3": ("consent.withdraw",),
    "G4": ("purpose.basis",),
    "G5": ("retain.periods",),
    "G6": ("share.recipients",),
    "G7": ("rights.complain",),
    "G8": ("rights.decisions",),
    "G9": ("protect.breach",),
    "G10": ("cookies.table",),
    "G11": ("consent.gpc",),
    "G12": ("rights.proof",),
    "G13": ("scope.accessible",),
}

IDS: tuple[str, ...] = tuple(name for names in (*ROWS.values(), *LAW.values()) for name in names)

# What must be kept by a machine already; everything else may say ``not_enforced`` with its reason.
# fmt: off
ENFORCED: frozenset[str] = frozenset((
    "changes.effective-date", "changes.date-at-top", "changes.publish", "scope.readable", "scope.services",
    "scope.closed-list", "scope.accessible", "scope.compliance", "consent.at-submission", "consent.refusal",
    "protect.password", "purpose.basis", "personal.definition", "share.nothing-else", "share.prior-approval",
    "protect.storage", "protect.transit", "rights.erase", "rights.restrict", "rights.automated", "rights.decisions",
    "rights.access", "rights.portability", "rights.object-marketing", "rights.unsubscribe", "rights.proof",
    "retain.while-used", "retain.periods", "cookies.optional", "rights.rectify", "cookies.no-personal",
    "cookies.definition", "cookies.table", "controller.identity", "consent.withdraw", "collect.newsletter",
    "collect.registration", "collect.navigation", "collect.ip-location", "purpose.analytics",
    "cookies.returning-visit", "purpose.account", "purpose.provide", "scope.third-party", "collect.cookies",
    "consent.gpc", "cookies.refuse", "links.third-party", "links.leaving", "protect.password-change",
    "protect.password-sharing",
))
# fmt: on
