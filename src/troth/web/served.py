"""What is served: every group of addresses, and every card of the console's first page.

Whoever adds a page adds its group here; the table of routes, the OpenAPI document and the access matrix follow from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from troth.web import (
    account,
    account_data,
    account_passkeys,
    api,
    api_products,
    automated,
    delegates,
    filing,
    handover,
    openid,
    privacy,
    public,
    published,
    restriction,
    second_factor,
    visits,
    websites,
)
from troth.web.console import campaigns as console_campaigns
from troth.web.console import erasures as console_erasures
from troth.web.console import holds as console_holds
from troth.web.console import imports, people, points
from troth.web.console import requests as console_requests
from troth.web.console import rooms as console
from troth.web.console import tools as console_tools
from troth.web.console import visits as console_visits
from troth.web.routes import Group

if TYPE_CHECKING:
    from troth.web.running import Running

GROUPS: tuple[Group[Running], ...] = (
    public.GROUP,
    published.GROUP,
    privacy.GROUP,
    restriction.GROUP,
    automated.GROUP,
    account.GROUP,
    account_data.GROUP,
    account_passkeys.GROUP,
    delegates.GROUP,
    second_factor.GROUP,
    openid.GROUP,
    handover.GROUP,
    api.GROUP,
    api_products.GROUP,
    filing.GROUP,
    console_requests.GROUP,
    console_holds.GROUP,
    console_erasures.GROUP,
    people.GROUP,
    points.GROUP,
    imports.GROUP,
    visits.GROUP,
    console_visits.GROUP,
    websites.GROUP,
    console_campaigns.GROUP,
    console_tools.GROUP,
)
CARDS = (
    *console.OWN_CARDS,
    console_requests.CARD,
    console_holds.CARD,
    console_campaigns.CARD,
    console_visits.CARD,
    console_tools.CARD,
    *people.CARDS,
    *points.CARDS,
    *imports.CARDS,
)
