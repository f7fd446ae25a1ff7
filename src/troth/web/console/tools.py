"""Tools that a vendor keeps and that are told of people's rights: what they have not acknowledged, and how old it is.

Nobody is named: a line is a tool, what happened and since when. Clause: ``rights.object-marketing``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.web.console.rooms import fragment
from troth.web.console.views import HomeCard
from troth.web.pages import page
from troth.web.person import tenant_of
from troth.web.routes import Group, Route

if TYPE_CHECKING:
    from troth.web.running import Running

TOOLS = "/console/tools"
MOST = 200  # rows; the oldest


async def tools_page(request: Request, system: Running) -> Response:
    """What waits, the oldest first."""
    tenant, now = tenant_of(request), system.store.now()
    due = await run_in_threadpool(system.hooks.waiting, tenant)
    kept = sorted(name for name, tool in system.hooks.tools.items() if tool.tenant == tenant)
    shown = [(one, one.event.replace(".", "-"), one.overdue(now)) for one in due[:MOST]]
    return page(request, "console/tools.html", kept=kept, waiting=shown, count=len(due), now=now)


async def tools_card(request: Request, system: Running) -> Markup | None:
    """How much waits, and how much for too long; nothing where no tool is kept."""
    tenant, now = tenant_of(request), system.store.now()
    if tenant not in {tool.tenant for tool in system.hooks.tools.values()}:
        return None
    due = await run_in_threadpool(system.hooks.waiting, tenant)
    return fragment(request, "tools.html", count=len(due), late=sum(one.overdue(now) for one in due))


CARD = HomeCard("tools.title", 35, "points.read", tools_card, TOOLS)
GROUP: Group[Running] = Group(
    "console.tools", [Route("GET", TOOLS, tools_page, "rights.object-marketing", "operator:points.read")]
)
