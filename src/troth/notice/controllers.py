"""In whose name the policy speaks: a tenant's people are told of their own controller, not of whoever runs the system.

The declarations are the same for all; who answers for the data is the tenant (Art. 4(7)), and we work on its
instructions (Art. 28; clause ``scope.processor-role``). Clause: ``controller.identity``. Mechanism:
``controller.shown``.
"""

from __future__ import annotations

import msgspec

from troth.config import Config, Party
from troth.policy.model import CompiledPolicy, Controller


def controllers(config: Config) -> dict[str, Controller]:
    """Tenant -> its controller; who is not in it is the policy's own."""
    return {name: controller(tenant.controller) for name, tenant in config.tenants.items()}


def controller(party: Party) -> Controller:
    """A configured party as the policy's model has it."""
    return Controller(party.name, party.contact, party.country, party.address)


def in_name_of(policy: CompiledPolicy, who: Controller | None) -> CompiledPolicy:
    """The same policy, in which this controller answers."""
    return policy if who is None else msgspec.structs.replace(policy, controller=who)
