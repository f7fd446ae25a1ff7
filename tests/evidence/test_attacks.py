"""What an operator may try: cut the log, rewrite it, swap entries, forge signatures, show two faces. Each is named."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.evidence.checkers import Checker, standalone
from tests.evidence.log import POLICY, SECRET, START_MS, Log, block, canonical, entry_id, sha, story
from troth.evidence.receipts import BadReceipt, parse_receipt


def resigned(log: Log, bodies: list[bytes]) -> Log:
    """Another history under the same name and key: what only the operator can make."""
    other = Log(log.name)
    assert other.key == log.key
    other.bodies = list(bodies)
    return other


def small(count: int = 30) -> Log:
    return story(count)


# --- the signature and the key ---


def test_a_checkpoint_signed_by_somebody_else_is_refused(check: Checker, log: Log) -> None:
    thief = Log(log.name, seed=b"t" * 32)
    thief.bodies = log.bodies
    outcome = check(log.files() | {"checkpoint": thief.checkpoint()})
    assert outcome.steps == {"checkpoint"}
    assert outcome.names("checkpoint")


def test_a_signature_by_another_key_under_the_logs_own_key_id_is_refused(check: Checker, log: Log) -> None:
    thief = Log(log.name, seed=b"t" * 32)
    thief.bodies, raw = log.bodies, thief.checkpoint().decode()
    text, _, line = raw.rpartition("\u2014 ")
    blob = base64.b64decode(line.split(" ")[1])
    forged = f"{text}\u2014 {log.name} {base64.b64encode(log.key_id + blob[4:]).decode()}\n"
    assert check(log.files() | {"checkpoint": forged.encode()}).steps == {"checkpoint"}


def test_a_whole_log_under_another_key_holds_only_for_whoever_did_not_name_the_key(check: Checker, log: Log) -> None:
    thief = Log(log.name, seed=b"t" * 32)
    thief.bodies = log.bodies
    assert check(thief.files()).ok  # which is why the fingerprint is to be compared
    outcome = check(thief.files(), trusted=log.key)
    assert outcome.steps == {"key"}
    assert "not the key that you trust" in outcome.faults[0].message


@pytest.mark.parametrize(
    "key",
    [b"", b"nonsense", b"a+b+c", b"\xff\xfe", b"log.example.org+00000000+AAAA\n"],
)
def test_a_malformed_key_is_refused(check: Checker, log: Log, key: bytes) -> None:
    outcome = check(log.files() | {"log.pub": key})
    assert outcome.steps == {"key"}
    assert "checkpoint" not in outcome.done


def test_other_signers_lines_on_a_checkpoint_are_ignored_as_the_format_asks(check: Checker, log: Log) -> None:
    witness = Log("witness.example.net", seed=b"w" * 32)
    own = log.checkpoint().decode()
    text = own.rpartition("\n\n")[0] + "\n"
    cosigned = own + witness.sign(text).decode().rpartition("\n\n")[2]
    assert check(log.files() | {"checkpoint": cosigned.encode()}).ok
    forged = own + cosigned.removeprefix(own).replace("\u2014 witness.example.net", f"\u2014 {log.name}")
    assert check(log.files() | {"checkpoint": forged.encode()}).ok  # another key id: unknown, and ignored
    without = text + "\n" + cosigned.removeprefix(own)
    assert check(log.files() | {"checkpoint": without.encode()}).steps == {"checkpoint"}


def test_further_lines_that_the_format_allows_are_taken_as_signed_and_opaque(check: Checker, log: Log) -> None:
    root = base64.b64encode(log.root()).decode()
    note = log.sign(f"{log.name}\n{len(log.bodies)}\n{root}\nsomething else\n")
    assert check(log.files() | {"checkpoint": note}).ok


@pytest.mark.parametrize(
    "text",
    [
        "{name}\n0303\n{root}\n",
        "{name}\n-303\n{root}\n",
        "{name}\n303\n{short}\n",
        "{name}\n{root}\n303\n",
        "\n303\n{root}\n",
    ],
)
def test_a_signed_note_that_is_not_exactly_a_checkpoint_is_refused(check: Checker, log: Log, text: str) -> None:
    root = base64.b64encode(log.root()).decode()
    note = log.sign(text.format(name=log.name, root=root, short=root[:-8]))
    assert check(log.files() | {"checkpoint": note}).steps == {"checkpoint"}


# --- rollback and split view ---


def test_an_older_checkpoint_put_back_is_named_as_rollback_by_a_receipt_and_by_a_witness(
    check: Checker, log: Log
) -> None:
    cut = log.files(200)
    assert check(cut, trusted=log.key).ok  # nothing in the folder itself can show it
    kept = [("mail-footer.txt", log.checkpoint(250))]
    outcome = check(cut, witnesses=kept)
    assert outcome.steps == {"witnesses"}
    assert "ROLLBACK" in outcome.faults[0].message
    assert outcome.names("mail-footer.txt")
    outcome = check(cut, receipts=[("mine.json", block(log.receipt(3, 250)))])
    assert outcome.steps == {"receipts"}
    assert "ROLLBACK" in outcome.faults[0].message


def test_an_older_checkpoint_over_newer_tiles_is_noticed_as_not_yet_signed(check: Checker, log: Log) -> None:
    outcome = check(log.files() | {"checkpoint": log.checkpoint(200)})
    assert outcome.ok
    assert {note.file for note in outcome.notes if "not yet signed" in note.message} == {
        "tile/entries/000",
        "tile/0/000",
        "tile/1/000.p/1",
        f"tile/entries/001.p/{len(log.bodies) - 256}",
        f"tile/0/001.p/{len(log.bodies) - 256}",
    }


def test_two_histories_under_one_key_are_named_as_split_view(check: Checker, log: Log) -> None:
    other = resigned(log, [*log.bodies[:100], log.bodies[101], log.bodies[100], *log.bodies[102:]])
    outcome = check(log.files(), witnesses=[("hers", other.checkpoint(150)), ("older", other.checkpoint(100))])
    assert [(fault.step, fault.file) for fault in outcome.faults] == [("witnesses", "hers")]
    assert "SPLIT VIEW" in outcome.faults[0].message


def test_a_receipt_from_the_other_history_is_named(check: Checker, log: Log) -> None:
    changed = json.loads(log.bodies[3]) | {"clause": "other.clause"}
    other = resigned(log, [*log.bodies[:3], canonical(changed), *log.bodies[4:]])
    outcome = check(log.files(), receipts=[("hers.json", block(other.receipt(3)))])
    assert any("SPLIT VIEW" in fault.message for fault in outcome.faults)
    assert any("log: this log holds another entry here" in fault.message for fault in outcome.faults)


def test_a_checkpoint_of_another_log_by_the_same_key_is_no_witness(check: Checker, log: Log) -> None:
    root = base64.b64encode(log.root(9)).decode()
    outcome = check(log.files(), witnesses=[("w", log.sign(f"other.example.org\n9\n{root}\n"))])
    assert outcome.steps == {"witnesses"}


def test_every_older_checkpoint_of_the_same_history_is_consistent(check: Checker, log: Log) -> None:
    kept = [(str(size), log.checkpoint(size)) for size in (0, 1, 2, 255, 256, 257, len(log.bodies))]
    assert check(log.files(), witnesses=kept).ok


def head_line(log: Log, size: int) -> str:
    """Size and root, as a footer shows them."""
    return f"{size} {base64.b64encode(log.root(size)).decode()}"


def test_a_mail_or_a_page_that_somebody_kept_is_a_witness_too(check: Checker, log: Log) -> None:
    mail = f"Dear reader,\n\nNewest checkpoint of our ledger: {log.name} {head_line(log, 250)}\n".encode()
    page = f"<p>Newest checkpoint: <bdi><code>{head_line(log, 100)}</code></bdi></p>".encode()
    kept = [("letter.eml", mail), ("policy.html", page)]
    assert check(log.files(), witnesses=kept).ok
    outcome = check(log.files(200), witnesses=kept)
    assert [(fault.file, fault.message[:8]) for fault in outcome.faults] == [("letter.eml", "ROLLBACK")]
    assert "not signed" in outcome.faults[0].message
    other = resigned(log, [*log.bodies[:50], log.bodies[51], log.bodies[50], *log.bodies[52:]])
    outcome = check(other.files(), witnesses=kept)
    assert [(fault.file, fault.message[:10]) for fault in outcome.faults] == [
        ("letter.eml", "SPLIT VIEW"),
        ("policy.html", "SPLIT VIEW"),
    ]


def test_a_text_without_any_checkpoint_is_no_witness(check: Checker, log: Log) -> None:
    outcome = check(log.files(), witnesses=[("letter.eml", b"Dear reader, all is well.")])
    assert outcome.steps == {"witnesses"}
    damaged = head_line(log, 9)[:-2] + chr(ord(head_line(log, 9)[-2]) + 1) + "="
    assert check(log.files(), witnesses=[("letter.eml", damaged.encode())]).steps == {"witnesses"}


# --- what everybody may have: the hashes without the entries ---


def hashes(log: Log) -> dict[str, bytes]:
    return {name: data for name, data in log.files().items() if not name.startswith("tile/entries/")}


def test_the_hashes_alone_prove_receipts_and_consistency_and_say_what_was_not_looked_at(
    check: Checker, log: Log
) -> None:
    receipts, kept = [("r", block(log.receipt(3, 200)))], [("w", log.checkpoint(100))]
    outcome = check(hashes(log), hashes_only=True, receipts=receipts, witnesses=kept)
    assert outcome.ok
    assert outcome.done == {"key", "checkpoint", "files", "tree", "witnesses", "receipts"}
    assert any("not looked at" in note.message for note in outcome.notes)


def test_missing_entries_are_a_fault_unless_one_asked_for_hashes_only(check: Checker, log: Log) -> None:
    outcome = check(hashes(log))
    assert outcome.steps == {"files"}
    assert not outcome.done & {"content", "order", "pairs", "policy"}


def test_a_flip_in_the_hashes_alone_is_found(check: Checker, log: Log) -> None:
    for name, data in hashes(log).items():
        if name.startswith("tile/"):
            outcome = check(hashes(log) | {name: data[:-1] + bytes([data[-1] ^ 1])}, hashes_only=True)
            assert not outcome.ok, name


# --- tiles and bundles ---


def test_swapped_entries_are_named_with_where_they_belong(check: Checker) -> None:
    log = small()
    files = log.files()
    bodies = list(log.bodies)
    bodies[4], bodies[9] = bodies[9], bodies[4]
    name = next(name for name in files if name.startswith("tile/entries/"))
    files[name] = resigned(log, bodies).files()[name]
    outcome = check(files)
    assert outcome.steps == {"tree"}
    told = {fault.entry: fault.message for fault in outcome.faults}
    assert set(told) == {4, 9}
    assert "signed as entry 9" in told[4]
    assert "signed as entry 4" in told[9]


def test_an_entry_rewritten_together_with_its_tile_is_still_named(check: Checker, log: Log) -> None:
    changed = json.loads(log.bodies[50]) | {"clause": "painted.over"}
    other = resigned(log, [*log.bodies[:50], canonical(changed), *log.bodies[51:]])
    outcome = check(other.files() | {"checkpoint": log.checkpoint()})
    assert not outcome.ok
    assert any("neither the entries nor the tiles add up" in fault.message for fault in outcome.faults)


@pytest.mark.parametrize("level", ["entries", "0"])
@pytest.mark.parametrize("cut", [1, 31, 32, 64])
def test_a_truncated_partial_tile_is_named(check: Checker, log: Log, level: str, cut: int) -> None:
    files = log.files()
    name = next(name for name in files if name.startswith(f"tile/{level}/001.p/"))
    outcome = check(files | {name: files[name][:-cut]})
    assert outcome.steps == {"tree"}
    assert outcome.names(name)


@pytest.mark.parametrize("tail", [b"\0", b"\0\0", b"x" * 32])
def test_bytes_behind_a_tile_are_named(check: Checker, log: Log, tail: bytes) -> None:
    files = log.files()
    for name in [name for name in files if name.startswith("tile/")]:
        outcome = check(files | {name: files[name] + tail})
        assert outcome.steps == {"tree"}, name
        assert outcome.names(name)


def test_each_missing_file_is_named(check: Checker, log: Log) -> None:
    files = log.files()
    for name in files:
        outcome = check({other: data for other, data in files.items() if other != name})
        assert not outcome.ok
        assert outcome.names(name), outcome.faults


def test_each_emptied_file_is_named(check: Checker, log: Log) -> None:
    files = log.files()
    for name in files:
        outcome = check(files | {name: b""})
        assert outcome.names(name), outcome.faults


@pytest.mark.parametrize(
    "name", ["notes.txt", "tile/0/000.bak", "tile/entries/000.p/256", "checkpoint~", "tile/00/000"]
)
def test_files_that_no_log_has_are_named(check: Checker, log: Log, name: str) -> None:
    outcome = check(log.files() | {name: b"x"})
    assert [(fault.step, fault.file) for fault in outcome.faults] == [("files", name)]


@pytest.mark.parametrize("name", ["tile/0/000.p/9.new", ".checkpoint.swp", "checkpoint.tmp"])
def test_a_file_that_is_just_being_written_is_a_note(check: Checker, log: Log, name: str) -> None:
    outcome = check(log.files() | {name: b"x"})
    assert outcome.ok
    assert [note.file for note in outcome.notes] == [name]


def test_outdated_partial_tiles_are_held_to_the_log_as_well(check: Checker, log: Log) -> None:
    older = {name: data for name, data in log.files(100).items() if ".p/" in name}
    assert check(log.files() | older).ok
    for name, data in older.items():
        outcome = check(log.files() | older | {name: data[:-1] + bytes([data[-1] ^ 1])})
        assert outcome.names(name)


def test_a_wider_tile_may_stand_in_for_a_partial_one(check: Checker, log: Log) -> None:
    """A reader with an older checkpoint, in a folder that has grown since and dropped its partial tiles."""
    outcome = check(log.files() | {"checkpoint": log.checkpoint(100)}, trusted=log.key)
    assert outcome.ok
    assert "tree" in outcome.done


# --- what the entries say: signed, and yet wrong ---


def entries(check: Checker, *records: dict[str, Any], publish: bool = True) -> Any:
    log = Log()
    if publish:
        log.publish(policy="")
    for record in records:
        log.record(**({"kind": "read.scan"} | record))
    outcome = check(log.files())
    return outcome, log


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({"v": 2}, "v"),
        ({"v": True}, ""),
        ({"eid": "00"}, "eid"),
        ({"eid": "AA" * 16}, "eid"),
        ({"at": -1}, ""),
        ({"at": 1.5}, ""),
        ({"at": "1"}, "at"),
        ({"kind": "Read.Scan"}, "kind"),
        ({"clause": None}, "clause"),
        ({"clause": "a\nb"}, "clause"),
        ({"actor": "alice@example.org"}, "actor"),
        ({"actor": "operator:alice"}, "actor"),
        ({"subject": "alice"}, "subject"),
        ({"refers": "x"}, "refers"),
        ({"email": "alice@example.org"}, ""),
        ({"facts": {"weight": 1.5}}, ""),
        ({"facts": {"nothing": [None]}}, ""),
        ({"facts": {"deep": {"er": 1}}}, ""),
        ({"facts": []}, "facts"),
    ],
)
def test_an_entry_of_another_shape_is_named_though_it_was_signed(
    check: Checker, members: dict[str, Any], word: str
) -> None:
    outcome, _ = entries(check, {}, members, {})
    assert {(fault.step, fault.entry) for fault in outcome.faults} == {("content", 2)}
    assert word in outcome.faults[0].message
    assert "alice" not in outcome.faults[0].message  # a fault never repeats what it complains of


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"v":1}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"v":1e400}',
        b'{"eid":"\\ud800"}',
    ],
)
def test_bytes_that_are_no_entry_are_named_and_break_nothing(check: Checker, body: bytes) -> None:
    log = Log()
    log.publish(policy="")
    log.append(body)
    outcome = check(log.files())
    assert {(fault.step, fault.entry) for fault in outcome.faults} == {("content", 1)}


def test_an_entry_spelt_in_another_way_is_named(check: Checker) -> None:
    log = Log()
    log.publish(policy="")
    log.record("read.scan")
    value = json.loads(log.bodies[1])
    spellings = [
        json.dumps(value, sort_keys=True).encode(),
        json.dumps(dict(reversed(value.items())), separators=(",", ":")).encode(),
        log.bodies[1] + b"\n",
        log.bodies[1].replace(b'"v":1', b'"v":1.0'),
        log.bodies[1].replace(b'"v":1', b'"v":1,"v":1'),
        log.bodies[1].replace(b'"read.scan"', b'"read\\u002escan"'),
    ]
    for body in spellings:
        outcome = check(resigned(log, [log.bodies[0], body]).files())
        assert {(fault.step, fault.entry) for fault in outcome.faults} == {("content", 1)}, body


def test_an_id_used_twice_is_named(check: Checker) -> None:
    outcome, _ = entries(check, {}, {"eid": entry_id(1)})
    assert [(fault.step, fault.entry) for fault in outcome.faults] == [("order", 2)]


def test_back_dated_entries_are_named_and_a_little_disorder_is_not(check: Checker) -> None:
    at = START_MS + 10**6
    outcome, _ = entries(check, {"at": at}, {"at": at - 50_000}, {"at": at - 61_000}, {"at": at + 1})
    assert [(fault.step, fault.entry) for fault in outcome.faults] == [("order", 3)]


def test_a_reference_to_nothing_or_forward_is_named(check: Checker) -> None:
    outcome, _ = entries(check, {"refers": "00" * 16}, {"refers": entry_id(3)}, {})
    assert [(fault.step, fault.entry) for fault in outcome.faults] == [("order", 1), ("order", 2)]


def test_an_erasure_that_nobody_ordered_is_named(check: Checker) -> None:
    outcome, _ = entries(
        check, {"kind": "erase.done"}, {"kind": "read.scan"}, {"kind": "erase.done", "refers": entry_id(2)}
    )
    assert [(fault.step, fault.entry) for fault in outcome.faults] == [("pairs", 1), ("pairs", 3)]


def test_an_erasure_reported_twice_is_named(check: Checker) -> None:
    done = {"kind": "erase.done", "refers": entry_id(1)}
    outcome, _ = entries(check, {"kind": "erase.ordered"}, dict(done), dict(done))
    assert [(fault.step, fault.entry) for fault in outcome.faults] == [("pairs", 3)]


def test_an_intent_without_outcome_is_listed_as_open_with_its_age(check: Checker) -> None:
    outcome, log = entries(
        check,
        {"kind": "erase.ordered"},
        {"kind": "message.queued"},
        {"kind": "message.sent", "refers": entry_id(2)},
        {"kind": "message.queued"},
        {"kind": "approval.intent"},
        {"kind": "approval.given", "refers": entry_id(5)},
    )
    assert outcome.ok
    assert [(note.step, note.entry) for note in outcome.notes] == [("pairs", 1), ("pairs", 4)]
    assert "erase.ordered is open for 5 s" in outcome.notes[0].message
    report = standalone.Check(log.files(), log.files().__getitem__).run()
    assert [intent["kind"] for intent in report.open] == ["erase.ordered", "message.queued"]


def test_a_message_is_followed_over_every_attempt_to_its_end(check: Checker) -> None:
    steps = ["queued", "sending", "deferred", "sending", "sent"]
    chain = [{"kind": "message.queued"}]
    chain += [{"kind": f"message.{step}", "refers": entry_id(number)} for number, step in enumerate(steps[1:], 1)]
    for length in range(1, len(chain) + 1):
        outcome, _ = entries(check, *chain[:length])
        assert outcome.ok
        assert [note.entry for note in outcome.notes] == ([length] if length < len(chain) else [])


def version(name: str, previous: str = "", **members: Any) -> dict[str, Any]:
    effective = members.pop("effective", 0)
    facts = {"version": name, "sha256": sha(name.encode()).hex(), "previous": previous, "effective": effective}
    return {"kind": "policy.published", "facts": facts} | members


FIRST = sha(POLICY.encode()).hex()


def test_a_version_that_was_never_published_is_named(check: Checker) -> None:
    outcome, _ = entries(check, {"policy": "1999-01-01"})
    assert [(fault.step, fault.entry) for fault in outcome.faults] == [("policy", 1)]
    outcome, _ = entries(check, {"policy": "1999-01-01"}, version(POLICY, policy=""), publish=False)
    assert [(fault.step, fault.entry) for fault in outcome.faults] == [("policy", 0)] or (
        [(fault.step, fault.entry) for fault in outcome.faults] == [("policy", None)]
    )


def test_a_version_edited_silently_is_named(check: Checker) -> None:
    again = version(POLICY, FIRST)
    again["facts"]["sha256"] = "ab" * 32
    outcome, _ = entries(check, again)
    assert [(fault.step, fault.entry) for fault in outcome.faults] == [("policy", 1)]


def test_a_version_that_hides_the_one_before_it_is_named(check: Checker) -> None:
    outcome, _ = entries(check, version("2", "", effective=START_MS + 10**9))
    assert [(fault.step, fault.entry) for fault in outcome.faults] == [("policy", 1)]
    outcome, _ = entries(check, version("2", FIRST, effective=START_MS + 10**9))
    assert outcome.ok


def test_a_back_dated_version_is_named(check: Checker) -> None:
    outcome, _ = entries(check, version("2", FIRST, effective=START_MS - 10**7))
    assert [(fault.step, fault.entry) for fault in outcome.faults] == [("policy", 1)]


def test_an_entry_that_cites_a_version_not_in_force_is_named(check: Checker) -> None:
    later = START_MS + 10**9
    outcome, _ = entries(
        check,
        version("2", FIRST, effective=later),
        {"policy": "2"},  # too early
        {"policy": POLICY, "at": later - 1},
        {"policy": "2", "at": later + 10**6},
        {"policy": POLICY, "at": later + 10**6},  # too late
    )
    assert [(fault.step, fault.entry) for fault in outcome.faults] == [("policy", 2), ("policy", 5)]


def test_a_version_that_comes_into_force_unpublished_is_named(check: Checker) -> None:
    outcome, _ = entries(check, {"kind": "policy.effective", "facts": {"version": "3"}})
    assert [(fault.step, fault.entry) for fault in outcome.faults] == [("policy", 1)]


# --- receipts ---


def test_a_receipt_opens_its_own_entry_and_no_other(check: Checker, log: Log) -> None:
    assert check(log.files(), receipts=[("r", block(log.receipt(3, secret=SECRET)))]).ok
    stolen = log.receipt(3) | {"opening": log.opening(4, SECRET).hex()}
    outcome = check(log.files(), receipts=[("r", block(stolen))])
    assert [(fault.step, fault.entry) for fault in outcome.faults] == [("receipts", 3)]
    assert outcome.faults[0].message.startswith("subject:")


def test_a_receipt_that_discloses_nobody_says_so(check: Checker, log: Log) -> None:
    outcome = check(log.files(), receipts=[("r", block(log.receipt(3)))])
    assert outcome.ok
    assert any("not disclosed" in note.message for note in outcome.notes)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"seq": 4}, "proof"),
        ({"seq": -1}, "proof"),
        ({"proof": []}, "proof"),
        ({"checkpoint": "x"}, "signature"),
        ({"key": Log(seed=b"t" * 32).key}, "key"),
        ({"format": "troth-receipt-9"}, "block"),
        ({"more": 1}, "block"),
        ({"seq": True}, "block"),
        ({"seq": "3"}, "block"),
        ({"proof": ["AB" * 32]}, "block"),
        ({"proof": ["00"]}, "block"),
        ({"proof": [1]}, "block"),
        ({"opening": 1}, "block"),
        ({"opening": None}, "block"),
        ({"entry": ""}, "proof"),
    ],
)
def test_a_forged_receipt_fails_at_its_step(check: Checker, log: Log, change: dict[str, Any], word: str) -> None:
    outcome = check(log.files(), receipts=[("r", block(log.receipt(3) | change))])
    assert outcome.steps == {"receipts"}
    assert outcome.faults[0].message.startswith(word + ":")


@pytest.mark.parametrize("raw", [b"", b"{", b"{}", b"[]", b"\xff", b"<html>", b'{"proof":' + b"[" * 50_000])
def test_what_is_no_receipt_is_told_so(check: Checker, log: Log, raw: bytes) -> None:
    outcome = check(log.files(), receipts=[("r", raw)])
    assert outcome.steps == {"receipts"}
    with pytest.raises(BadReceipt):
        parse_receipt(raw)


def test_receipts_are_still_checked_where_the_log_itself_does_not_hold(check: Checker, log: Log) -> None:
    files = log.files() | {"checkpoint": b"gone"}
    good, bad = block(log.receipt(3)), block(log.receipt(3) | {"seq": 4})
    outcome = check(files, receipts=[("good", good), ("bad", bad)])
    assert {fault.file for fault in outcome.faults} == {"checkpoint", "bad"}
