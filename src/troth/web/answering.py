"""An answer at a site's question, where histories are kept: a no ends this browser's history at once, scripts or not.

The visitor's cookie is the only proof of whose history it is. So it is forgotten after the history, never before: where
the history cannot be ended now, the cookie stays and the collector ends it with the next page. Clauses:
``cookies.returning-visit``, ``consent.withdraw``. Mechanism: ``consent.withdraw``.
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp

from troth.client.website import ASGI, Front, jar
from troth.client.website.front import Asking, Reply
from troth.policy.choices import VISITOR
from troth.web import problems
from troth.web.collector import Counted


class Answering(ASGI):
    """A front that does what its answers say."""

    def __init__(self, system: Counted, application: ASGIApp, front: Front) -> None:
        super().__init__(application, front)
        self.system = system

    async def answered(self, asking: Asking, reply: Reply) -> Reply:
        """End the history of a browser that said no; forget a number that nobody has any more."""
        token = jar.sent_value(asking.header("cookie"), VISITOR, tls=asking.tls)
        if token and reply.granted is not None and await self._over(asking.name, reply.granted, token):
            reply.headers.append(("set-cookie", jar.make(VISITOR, "", seconds=0, tls=asking.tls)))
        return reply

    async def _over(self, host: str, granted: frozenset[str], token: str) -> bool:
        """Whether nothing is kept under this number after this answer."""
        rules, visitors = self.system.visits.rules(), self.system.visitors
        if rules is None or rules.ask is None or host not in rules.surfaces:
            return False
        try:
            if rules.ask.purpose in granted:
                return await run_in_threadpool(visitors.known, token) is None
            await run_in_threadpool(visitors.withdraw, token)
        except Exception as fault:  # the rim, as in the collector: the answer itself is taken all the same
            problems.record(fault)
            return False
        return True
