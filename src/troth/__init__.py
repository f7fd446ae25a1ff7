"""Troth: the privacy policy that runs. The way the data goes, and the folders that show it:

policy/    a document people read, with declarations under its sentences, compiles into a ``CompiledPolicy``;
           ``decide`` answers from it whether data may be used, and says which clauses said so
notice/    versions are published; consents and submissions are bound to the words that were shown
collect/   the one door in: declared fields are taken, the rest is refused with the clause that would be needed
vault/     what was taken lies sealed under keys of its subject, until its period ends or the subject says so
use/       the one gate out: a read names its purpose; messages go out through the one sender
rights/    a person's copy, erasure, objection: requests, their proofs and their clocks
evidence/  what happened, clause by clause, for people who trust neither the operator nor this code
store/     under all of it: effect and ledger entry in one transaction, jobs, the tree over the ledger
web/ cli/  how people and programs reach it; client/ is what a vendor's product embeds

The public names below are resolved on first use: importing ``troth.client`` loads neither store nor vault.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from troth.policy.compiler import Compilation
    from troth.policy.compiler import compile_policy as compile
    from troth.policy.decide import decide
    from troth.policy.model import Decision
    from troth.vault import Vault

__all__ = ["Decision", "Vault", "compile", "decide", "load"]

_HOMES = {
    "compile": ("troth.policy.compiler", "compile_policy"),
    "decide": ("troth.policy.decide", "decide"),
    "Decision": ("troth.policy.model", "Decision"),
    "Vault": ("troth.vault", "Vault"),
}


def load(path: str | Path, bindings: str | Path | None = None) -> Compilation:
    """Compile the policy in a file, under the bindings in another file if its prose is somebody else's.

    Raises OSError where a file cannot be read; whatever a file contains is in the compilation's diagnostics.
    """
    from troth.policy.compiler import compile_bytes

    laid = None if bindings is None else Path(bindings)
    return compile_bytes(
        Path(path).read_bytes(),
        filename=Path(path).name,
        bindings=None if laid is None else laid.read_bytes(),
        bindings_name="bindings.yaml" if laid is None else laid.name,
    )


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)
