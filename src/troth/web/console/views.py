"""What the console's pages show."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from starlette.requests import Request


@dataclass(frozen=True)
class HomeCard:
    """Something on the console's home page, for roles that have ``scope`` ("" is everybody).

    ``render`` gives the card's content as safe markup (from a template), or None where there is nothing to show.
    ``href`` is where its title leads, "" for nowhere.
    """

    title_key: str
    order: int
    scope: str
    render: Callable[[Request, Any], Awaitable[Markup | None]]
    href: str = ""


@dataclass(frozen=True)
class ShownCard:
    """A card as the page shows it."""

    title: str
    content: Markup
    href: str = ""


@dataclass(frozen=True)
class ApprovalLine:
    """An approval that waits."""

    id: str
    act: str
    ref: str
    asked_by: str
    asked_ms: int
    expires_ms: int
    given: int
    needed: int
    state: str
    may_give: bool
    may_refuse: bool
