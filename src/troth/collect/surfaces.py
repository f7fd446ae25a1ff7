"""Which surface a request came to: host -> surface -> policy; a host that no clause names collects nothing.

Clause: ``scope.services``. Mechanism: ``scope.surface``.
"""

from __future__ import annotations

from troth.config import Config, Place, host_name
from troth.errors import Denied, StartRefused
from troth.policy.model import CompiledPolicy


def surface_of(policy: CompiledPolicy, host: str, place: Place | None = None) -> str:
    """The one surface that this host (with or without a port) belongs to; ``Denied`` if it is none or several.

    At a tenant's place it is the surface that the tenant is on.
    """
    if place is not None and place.surface:
        return place.surface
    name = host_name(host)
    found = [surface for surface, hosts in policy.surfaces.items() if name in hosts]
    if len(found) != 1:
        raise Denied(
            "this host belongs to no surface of the policy, so nothing is collected on it: name it in the clause "
            "that defines the surfaces",
            clause="scope.services",
            gaps=("surface",),
        )
    return found[0]


def check_tenants(policy: CompiledPolicy, config: Config) -> None:
    """``StartRefused`` for a tenant on a surface that the policy does not open to tenants, or on a host of our own."""
    ours = {host: surface for surface, hosts in policy.surfaces.items() for host in hosts}
    for name, tenant in config.tenants.items():
        if tenant.surface not in let(policy):
            raise StartRefused(
                f"tenants.{name}: the policy does not let tenants on surface {tenant.surface}: say tenants: true "
                "there, in the clause that defines the surfaces",
                clause="scope.services",
            )
        for host in set(tenant.hosts) & set(ours):
            raise StartRefused(
                f"tenants.{name}: {host} is a host of our own ({ours[host]}): a tenant has its own",
                clause="scope.services",
            )


def let(policy: CompiledPolicy) -> frozenset[str]:
    """The surfaces that the policy declares with ``tenants: true``: other controllers run parts of them."""
    defined = [
        clause.body["define"].get("surfaces") or {} for clause in policy.clauses.values() if clause.verb == "define"
    ]
    return frozenset(name for surfaces in defined for name, of in surfaces.items() if of.get("tenants"))
