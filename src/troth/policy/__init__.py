"""The policy file and its meaning. Pure: nothing here touches a clock, a disk or a network.

``parse`` (or ``bindings``) makes a document of a text; ``compiler`` makes the compiled policy of a document, with
every diagnostic at once; ``decide`` answers questions from it; ``render`` makes the published page. The names below
are resolved on first use, so that who only decides need not load what reads Markdown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from troth.policy.compiler import Compilation, compile_bytes
    from troth.policy.compiler import compile_policy as compile

__all__ = ["Compilation", "compile", "compile_bytes"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from troth.policy import compiler

    return getattr(compiler, "compile_policy" if name == "compile" else name)
