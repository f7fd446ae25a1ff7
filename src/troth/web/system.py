"""What the web shell needs of the running system. The composition root's own class has more; this is the least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from troth.config import Config
from troth.policy.model import CompiledPolicy
from troth.world import Clock, Randomness


class System(Protocol):
    """A running system, as far as the shell is concerned. Attributes are read at every request."""

    @property
    def config(self) -> Config:
        """The configuration it was started with."""
        ...

    @property
    def clock(self) -> Clock:
        """Tells the time."""
        ...

    @property
    def randomness(self) -> Randomness:
        """Gives nonces and tokens."""
        ...

    @property
    def policy(self) -> CompiledPolicy:
        """The version in force now."""
        ...

    @property
    def checkpoint(self) -> str:
        """The newest checkpoint of the ledger in one short line, or "" before the first."""
        ...

    def faults(self) -> Sequence[str]:
        """What is not as it must be just now, as short names without personal data; empty means healthy."""
        ...
