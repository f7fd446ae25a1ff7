"""Faults planted in the decision, one at a time: the property that guards it must find each of them.

A fault is a piece of source and what a hand could have written instead. The mutated modules run beside the real ones,
under the same property as the engine, so that this measures the property and not the faults.
"""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.property.agreement import Decide, assert_agreement
from troth.policy import decide, narrow


class Fault(NamedTuple):
    """``was`` stands once in the module; ``becomes`` is the fault."""

    name: str
    module: str
    was: str
    becomes: str


FAULTS = tuple(
    Fault(**entry) for entry in yaml.safe_load(Path(__file__).with_name("faults.yaml").read_text(encoding="utf-8"))
)

_serial = itertools.count()


def _load(fault: Fault | None) -> Decide:
    """``decide``, with the fault in it, from modules of its own."""
    number = next(_serial)
    names = {"narrow": f"planted_narrow_{number}", "decide": f"planted_decide_{number}"}
    loaded = {}
    for module in (narrow, decide):
        short = module.__name__.rpartition(".")[2]
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        if fault is not None and fault.module == short:
            assert source.count(fault.was) == 1, f"{fault.name}: the place must be there once"
            source = source.replace(fault.was, fault.becomes)
        source = source.replace("from troth.policy.narrow import", f"from {names['narrow']} import")
        planted = types.ModuleType(names[short])
        sys.modules[names[short]] = planted
        exec(compile(source, names[short], "exec"), planted.__dict__)  # our own source, with one change
        loaded[short] = planted
    made: Decide = loaded["decide"].decide
    return made


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.startswith("planted_")]:
        del sys.modules[name]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_the_property_finds(fault: Fault) -> None:
    planted = _load(fault)
    with pytest.raises(AssertionError):
        assert_agreement(planted)


def test_without_a_fault_it_finds_nothing() -> None:
    assert_agreement(_load(None), histories=40)


def test_there_are_at_least_twenty_different_faults() -> None:
    assert len({(fault.module, fault.was, fault.becomes) for fault in FAULTS}) == len(FAULTS) >= 20
