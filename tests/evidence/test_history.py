"""Any history of appends: every proof holds in every writing, and nothing but the history itself does."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.evidence.checkers import CHECKERS, by_library, by_standalone, standalone
from tests.evidence.log import SECRET, START_MS, Log, block, canonical, entry_id
from troth.evidence import entries
from troth.evidence.entries import BadEntry, read_entry
from troth.evidence.tiles import level_sizes, tiles_of
from troth.evidence.verify import root_of
from troth.store.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    subtree_of,
    verify_consistency,
    verify_inclusion,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
FACTS = st.dictionaries(
    TEXTS,
    TEXTS
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.lists(TEXTS | st.integers(0, 9) | st.lists(TEXTS), max_size=3),
    max_size=4,
)


@st.composite
def histories(draw: st.DrawFn) -> Log:
    """A log with a policy and any mix of entries, some about a person."""
    log = Log()
    log.publish(policy="")
    for _ in range(draw(st.integers(0, 40))):
        number = len(log.bodies)
        log.record(
            draw(st.sampled_from(["read.scan", "message.queued", "erase.ordered", "intake.accepted"])),
            secret=SECRET if draw(st.booleans()) else None,
            facts=draw(FACTS) or None,
            refers=entry_id(draw(st.integers(0, number - 1))) if draw(st.booleans()) else None,
            at=START_MS + number * 1000 + draw(st.integers(-9_000, 9_000)),
        )
    return log


@given(histories())
@settings(max_examples=60, deadline=None)
def test_any_honest_history_has_no_fault(log: Log) -> None:
    number = len(log.bodies) // 2
    secret = SECRET if b'"subject"' in log.bodies[number] else None
    receipts = [("receipt", block(log.receipt(number, secret=secret)))]
    witnesses = [(str(size), log.checkpoint(size)) for size in range(len(log.bodies) + 1)]
    for check in CHECKERS.values():
        outcome = check(log.files(), trusted=log.key, witnesses=witnesses, receipts=receipts)
        assert outcome.ok, outcome.faults


@given(st.integers(1, 90), st.data())
@settings(max_examples=60, deadline=None)
def test_every_proof_holds_for_its_entry_and_size_and_for_no_other(size: int, data: st.DataObject) -> None:
    log = Log()
    for number in range(size):
        log.append(b"entry %d" % number)
    leaves = [leaf_hash(body) for body in log.bodies]
    index, older = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    proof = inclusion_proof(index, size, subtree_of(leaves))
    assert proof == log.path(index, size)
    assert standalone.root_from_proof(index, size, leaves[index], proof) == log.root() == root_of(leaves)
    steps = consistency_proof(older, size, subtree_of(leaves))
    assert steps == (log.subproof(older, size) if older else [])
    assert verify_consistency(older, size, log.root(older), log.root(), steps)
    wrong = data.draw(st.integers(0, size))
    if wrong != index:
        assert not verify_inclusion(leaves[index], wrong, size, proof, log.root())
        assert standalone.root_from_proof(wrong, size, leaves[index], proof) != log.root()
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        bent = [*proof[:at], bytes([proof[at][0] ^ 1]) + proof[at][1:], *proof[at + 1 :]]
        assert standalone.root_from_proof(index, size, leaves[index], bent) != log.root()
    if older != wrong:
        assert not verify_consistency(wrong, size, log.root(older), log.root(), steps)


@given(histories(), st.data())
@settings(max_examples=60, deadline=None)
def test_no_two_histories_pass_for_each_other(log: Log, data: st.DataObject) -> None:
    """Drop, repeat, swap or alter an entry and write everything anew: the signed checkpoint still tells."""
    bodies = list(log.bodies)
    at = data.draw(st.integers(0, len(bodies) - 1))
    act = data.draw(st.sampled_from(["drop", "repeat", "alter", "append"]))
    if act == "drop":
        del bodies[at]
    elif act == "repeat":
        bodies.insert(at, bodies[at])
    elif act == "alter":
        bodies[at] = canonical(json.loads(bodies[at]) | {"clause": "painted.over"})
    else:
        bodies.append(bodies[at])
    other = Log(log.name)
    other.bodies = bodies
    honest = bodies[: len(log.bodies)] == log.bodies  # the signed history is still the beginning of this one
    for check in CHECKERS.values():
        assert check(other.files() | {"checkpoint": log.checkpoint()}).ok == honest
        assert ("witnesses" in check(other.files(), witnesses=[("kept", log.checkpoint())]).steps) == (not honest)


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_no_bytes_at_all_make_a_verifier_raise(raw: bytes) -> None:
    log = Log()
    log.publish(policy="")
    for name in log.files():
        files = log.files() | {name: raw}
        one, two = by_library(files), by_standalone(files)
        assert not one.ok
        assert one.places == two.places
    receipts = [("receipt", raw)]
    assert not by_library(log.files(), receipts=receipts, witnesses=[("w", raw)]).ok
    assert not by_standalone(log.files(), receipts=receipts, witnesses=[("w", raw)]).ok


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*standalone.MEMBERS, "more"]), JSON, max_size=4))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_both_writings_take_the_same_entries(changes: dict[str, object]) -> None:
    log = Log()
    log.record("read.scan")
    body = json.dumps(
        json.loads(log.bodies[0]) | changes, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode("utf-8", "surrogatepass")
    try:
        read_entry(body)
        taken = True
    except BadEntry:
        taken = False
    try:
        standalone.parse_entry(body)
    except standalone.Bad:
        assert not taken
    else:
        assert taken


@given(st.integers(0, 2**40))
def test_both_writings_count_the_same_hashes_on_each_level(size: int) -> None:
    assert level_sizes(size) == {level: count for level, count in standalone.Check.counts(size).items() if size}
    if size < 10**6:
        assert {tile.name for tile in tiles_of(size)} == {tile.name for tile in standalone.tiles_of(size)}


def test_both_writings_pair_the_same_intents_and_outcomes() -> None:
    assert {kind: set(ends) for kind, ends in entries.OUTCOMES.items()} == standalone.OUTCOMES
    assert standalone.MUST_ANSWER == entries.MUST_ANSWER
    assert standalone.TOLERANCE_MS == entries.TOLERANCE_MS
