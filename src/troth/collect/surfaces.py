"""Which surface a request came to: host -> surface -> policy; a host that no clause names collects nothing.

Clause: ``scope.services``. Mechanism: ``scope.surface``.
"""

from __future__ import annotations

from troth.errors import Denied
from troth.policy.model import CompiledPolicy


def surface_of(policy: CompiledPolicy, host: str) -> str:
    """The one surface that this host (with or without a port) belongs to; ``Denied`` if it is none or several."""
    name = host.rsplit("]", 1)[0].lstrip("[") if host.startswith("[") else host.rsplit(":", 1)[0]
    found = [surface for surface, hosts in policy.surfaces.items() if name.lower().rstrip(".") in hosts]
    if len(found) != 1:
        raise Denied(
            "this host belongs to no surface of the policy, so nothing is collected on it: name it in the clause "
            "that defines the surfaces",
            clause="scope.services",
            gaps=("surface",),
        )
    return found[0]
