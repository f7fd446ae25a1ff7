"""The composition root of the web: the shell's own routes and everybody else's groups become one application."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from troth.web import health
from troth.web.catalogue import Catalogue, read_catalogue
from troth.web.metrics import Metrics
from troth.web.pages import Pages
from troth.web.routes import Group
from troth.web.shell import Hook, Shell
from troth.web.static import Static
from troth.web.system import System

S = TypeVar("S", bound=System)


def build(
    system: S,
    groups: Sequence[Group[S]],
    *,
    texts: Sequence[Path] = (),
    catalogue: Catalogue | None = None,
    templates: Sequence[Path] = (),
    on_start: Sequence[Hook] = (),
    on_stop: Sequence[Hook] = (),
) -> Shell[S]:
    """The ASGI application over ``system``.

    ``texts`` and ``templates`` are folders of the vendor's own that are laid over ours; ``catalogue`` is for who has
    read the texts already. ValueError where two routes claim one address, or a route has a scope that no group's guard
    proves.
    """
    static, metrics = Static(), Metrics()
    pages = Pages(catalogue or read_catalogue(*texts), static, templates)
    own: Group[S] = Group("shell", [*static.routes(), *health.routes(metrics, lambda: shell.table.routes)])
    shell: Shell[S] = Shell(system, [own, *groups], pages, metrics, on_start=on_start, on_stop=on_stop)
    return shell
