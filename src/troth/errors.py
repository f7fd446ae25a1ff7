"""Every refusal Troth can give, as values with a status, a stable code and the clause behind them.

No exception carries a personal value: messages name fields, clauses and places, never contents. The HTTP
form is RFC 9457 problem+json, made in ``web``; the command line prints the same three facts: what happened,
where, and what to do.
"""

from __future__ import annotations


class TrothError(Exception):
    """Base of all errors that Troth raises on purpose.

    ``detail`` says what happened and what to do; ``clause`` names the clause that refuses (or that would be
    needed); ``gaps`` lists what is missing, as ids of guards, fields or clauses.
    """

    status = 500
    code = "internal"
    title = "Something went wrong inside"

    def __init__(self, detail: str, *, clause: str | None = None, gaps: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.clause = clause
        self.gaps = gaps


class Invalid(TrothError):
    """The input does not have the declared shape. ``gaps`` holds one ``pointer: message`` per fault."""

    status = 422
    code = "invalid"
    title = "The input does not fit"


class Undeclared(TrothError):
    """A field, purpose, cookie, recipient or template that no clause declares (promise 1)."""

    status = 422
    code = "undeclared"
    title = "No clause declares this"


class Denied(TrothError):
    """The decision was no. ``clause`` is the closest clause, ``gaps`` the guards or grants that are missing."""

    status = 403
    code = "denied"
    title = "The policy does not permit this"


class Unproven(TrothError):
    """The caller has not shown who they are (sign-in, link or key is missing, wrong, used or expired)."""

    status = 401
    code = "unproven"
    title = "Please show who you are"


class Forbidden(TrothError):
    """The caller is known but their role does not cover this."""

    status = 403
    code = "forbidden"
    title = "Your role does not cover this"


class NotFound(TrothError):
    """There is nothing at this address, or nothing that this caller may know of."""

    status = 404
    code = "not-found"
    title = "There is nothing here"


class NotAllowed(TrothError):
    """A method that this address does not take. ``methods`` are those it takes."""

    status = 405
    code = "not-allowed"
    title = "This address does not take this method"

    def __init__(self, detail: str, *, methods: tuple[str, ...]) -> None:
        super().__init__(detail)
        self.methods = methods


class CrossSite(TrothError):
    """A form that changes something was sent from somebody else's page, or its token is stale."""

    status = 403
    code = "cross-site"
    title = "This did not come from our own page"


class Unsupported(TrothError):
    """The body comes in a form that this address does not read."""

    status = 415
    code = "unsupported"
    title = "This form of body is not read here"


class Conflict(TrothError):
    """The same idempotency key came with another body, or the state moved on meanwhile."""

    status = 409
    code = "conflict"
    title = "This contradicts what is recorded"


class TooLarge(TrothError):
    """The body is larger than this address takes."""

    status = 413
    code = "too-large"
    title = "That is too much at once"


class BadRequest(TrothError):
    """What arrived is no request that can be read."""

    status = 400
    code = "bad-request"
    title = "This cannot be read"


class TooSlow(TrothError):
    """The request did not arrive in time."""

    status = 408
    code = "too-slow"
    title = "This took too long to arrive"


class HeadTooLarge(TrothError):
    """The address and headers are larger than any that are needed here."""

    status = 431
    code = "head-too-large"
    title = "The headers are too large"


class TooMany(TrothError):
    """A rate limit was reached; nothing was read or written."""

    status = 429
    code = "too-many"
    title = "Please slow down"

    def __init__(self, detail: str, *, retry_after: int = 60) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Busy(TrothError):
    """A queue is full. Nothing was read or written; try again after ``retry_after`` seconds."""

    status = 503
    code = "busy"
    title = "Too busy just now"

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Unknown(TrothError):
    """A commit failed in a way that leaves its outcome open: ask again with the same idempotency key."""

    status = 503
    code = "unknown-outcome"
    title = "It is not known whether this was done"


class Unavailable(TrothError):
    """The ledger or a store cannot be written: nothing is read or written until it can (promise 3)."""

    status = 503
    code = "unavailable"
    title = "Not available"


class Damaged(TrothError):
    """What is stored does not open or does not fit: altered, mixed up, or damaged. Nothing is guessed."""

    code = "damaged"
    title = "What is stored was altered or damaged"


class StartRefused(TrothError):
    """Troth does not start: configuration, keys, integrity or durability are not as they must be."""

    code = "start-refused"
    title = "Troth does not start"
