"""A town of people with rights, the processes that carry these until they die, and what must hold afterwards."""

from __future__ import annotations

import contextlib
import json
import random
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from tests.clauses.test_accounts import act
from tests.clauses.test_restoring_on_postgresql import OnPostgresql
from tests.clauses.vendor import BEGIN, TENANT, Person, example
from tests.crash.rights_worker import LABELS, PHRASE
from troth.cli.postbox import Letter, Postbox
from troth.cli.setting import demonstration_config, postbox
from troth.evidence.verify import verify_folder
from troth.store import jobs, tables
from troth.store.ledger import opening_key, opens
from troth.web.running import Running, start
from troth.world import SetClock

ROOT = Path(__file__).parents[2]
MINUTE_MS = 60_000
ENTRIES = {  # what a request leaves in the ledger, once
    "access": "access.prepared",
    "rectify": "data.rectified",
    "object": "objection.made",
    "withdraw": "objection.made",
    "restrict": "restriction.begun",
    "lift": "restriction.ended",
}
GONE = ("erase.ordered", "erase.done")
LETTERS = {"objection.made": "rights.objection-done", "restriction.begun": "rights.restricted"}
REGISTER = {"access.prepared": "access", "data.rectified": "rectification", "restriction.begun": "restriction"}
GUARDS = {"objection.made": "objected", "data.rectified": "rectified", "restriction.begun": "restricted"}


@dataclass
class Asked:
    """One request, as the people themselves know of it."""

    number: int
    sid: bytes
    kind: str
    value: str
    answer: str = ""  # "" (it died before the answer), "done" or "refused"


@dataclass
class Town:
    """Where everything lies, the relay, and what was asked so far."""

    folder: Path
    home: Path
    urls: tuple[str, str]
    box: Postbox
    process: subprocess.Popen[str]
    people: dict[bytes, Person]
    roads: dict[bytes, str]
    arrived: Counter[str] = field(default_factory=Counter)
    asked: list[Asked] = field(default_factory=list)
    begin: int = BEGIN + 60 * MINUTE_MS
    lives: int = 0
    deaths: Counter[str] = field(default_factory=Counter)

    def life(self, **wishes: Any) -> str:
        """One process, from its start to its end: how it ended."""
        self.lives += 1
        self.begin += MINUTE_MS
        told = self.folder / f"told-{self.lives}"
        erased = {one.sid for one in self.asked if one.kind == "erase" and one.answer != "refused"}
        there = [{"sid": s.hex(), "email": p.email, "road": self.roads[s]} for s, p in self.people.items()]
        job = {"folder": str(self.home), "port": self.box.port, "begin": self.begin, "told": str(told)}
        job |= {"letters": str(self.folder / "letters"), "first": self.lives * 100, "seed": self.lives, "most": 12}
        job |= {"people": [one for one in there if bytes.fromhex(one["sid"]) not in erased]}
        job |= {"urls": self.urls, "keep": len(self.people) // 3, "label": "", "at": 0, "delay": 0} | wishes
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        ended = self.process.stdout.readline().strip()
        self._hear(told.read_text().splitlines() if told.exists() else [])
        self.deaths[f"{ended} {job['label']}".strip()] += 1
        return ended

    def _hear(self, lines: list[str]) -> None:
        by_number: dict[int, Asked] = {}
        for word, *rest in map(str.split, lines):
            if word == "B":
                number, sid, kind, value = rest
                by_number[int(number)] = Asked(int(number), bytes.fromhex(sid), kind, value)
            elif word in "AN":
                by_number[int(rest[0])].answer = "done" if word == "A" else "refused"
        self.asked += by_number.values()

    def kill(self, times: int, seed: int, **wishes: Any) -> None:
        """So many deaths: at a named moment, at any, or at any time; some while the system starts."""
        chance, killed = random.Random(seed), 0
        for turn in range(3 * times):
            how: dict[str, Any] = {"label": "", "at": chance.randint(1, 120)}
            if turn % 3 == 0:
                how = {"label": LABELS[turn // 3 % len(LABELS)], "at": chance.randint(1, 25)}
            elif turn % 3 == 1:
                how = {"at": 0, "delay": chance.randint(100, 4000)}
            killed += self.life(early=turn % 5 == 0, **how, **wishes) == "killed"
            if killed == times:
                return
        raise AssertionError(f"only {killed} of {times} died")

    def rest(self, **wishes: Any) -> None:
        """One life in which nobody dies and everything that is owed is done."""
        assert self.life(most=0, rest=60, **wishes) == "survived"

    def opened(self) -> Running:
        """The system, to be looked at."""
        return start(demonstration_config(self.home, 0, self.box.port, *self.urls), clock=SetClock(self.begin))


@contextlib.contextmanager
def town(folder: Path, count: int, disk: Path | None = None, urls: tuple[str, str] = ("", "")) -> Iterator[Town]:
    """So many registered people who agreed to the newsletter; every other one has a password.

    The system's own folder lies on another ``disk`` where one is given, its databases at these ``urls``.
    """
    home = (disk or folder) / "system"
    arrived: Counter[str] = Counter()
    letters = folder / "letters"
    folder.mkdir(parents=True, exist_ok=True)

    class Noted(Postbox):
        def take(self, letter: Letter) -> None:
            arrived[re.sub(r"[<>]|@.*", "", str(letter.message["Message-ID"]))] += 1
            line = {"to": list(letter.recipients), "subject": letter.subject, "text": letter.text}
            with letters.open("a", encoding="utf-8") as out:
                out.write(json.dumps(line) + "\n")
            super().take(letter)

    with postbox(Noted()) as box:
        people, roads = settled(home, box, count, urls)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.rights_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        try:
            seen = [Asked(0, sid, "access", "-", "done") for sid, road in roads.items() if road == "password"]
            yield Town(folder, home, urls, box, process, people, roads, arrived, seen)  # these looked when they set it
        finally:
            process.communicate(timeout=120)
            shutil.rmtree(home)


def settled(
    folder: Path, box: Postbox, count: int, urls: tuple[str, str]
) -> tuple[dict[bytes, Person], dict[bytes, str]]:
    """So many people, registered; and by which road each comes in."""
    people: dict[bytes, Person] = {}
    roads: dict[bytes, str] = {}
    vendor = OnPostgresql(folder, box, example(), urls)
    try:
        for number in range(count):
            person = Person()
            sid = vendor.join("registration", person)
            vendor.join("newsletter", person)
            people[sid], roads[sid] = person, ("password", "link")[number % 2]
            if number % 2 == 0:
                vendor.system.store.write(vendor.system.requests.ask_write(TENANT, person.email, "en"))
                browser = vendor.browser(f"198.19.{number // 250}.{number % 250}")
                browser.open(f"/privacy/open/{vendor.token(person.email, '/privacy/open/')}")
                browser.send()
                assert act(browser, "/account/password", password=PHRASE) == 200
        vendor.letters()
    finally:
        vendor.close()
    return people, roads


# --- what must hold ---


def faults(place: Town) -> list[str]:
    """Everything that is lost, doubled or half there, once nothing is owed any more."""
    system = place.opened()
    try:
        return [*of_people(place, system), *of_letters(place, system), *of_the_whole(place, system)]
    finally:
        system.close()


def of_people(place: Town, system: Running) -> Iterator[str]:
    """Each request of each person: its entry, its row, its guard and its letter, once."""
    by_person: dict[bytes, list[Asked]] = defaultdict(list)
    for one in place.asked:
        by_person[one.sid].append(one)
    entries = ledger_of(system)
    for sid, asked in by_person.items():
        told = [one for one in asked if one.kind == "erase"]
        gone = system.store.read(lambda c, of=sid: not system.vault.exists(c, TENANT, of))  # type: ignore[misc]  # a default binds the loop's value
        if gone:
            if not any(one.answer != "refused" for one in told):
                yield "somebody is erased who did not ask for it"
            yield from of_erased(place, system, sid)
            continue
        if any(one.answer == "done" for one in told):
            yield "an acknowledged erasure is lost"
        yield from of_living(place, system, sid, asked, entries)


def of_living(
    place: Town, system: Running, sid: bytes, asked: list[Asked], entries: list[tuple[bytes, bytes, str]]
) -> Iterator[str]:
    secret = system.vault.opening(TENANT, sid)
    own = [(eid, kind) for eid, body, kind in entries if opens(opening_key(secret, eid), body)]
    counts = Counter(kind for _, kind in own)
    for entry in sorted(set(ENTRIES.values())):
        kinds = [kind for kind, of in ENTRIES.items() if of == entry]
        done = sum(one.answer == "done" for one in asked if one.kind in kinds)
        unknown = sum(one.answer == "" for one in asked if one.kind in kinds)
        if counts[entry] < done:
            yield f"{entry}: acknowledged and lost"
        if counts[entry] > done + unknown:
            yield f"{entry}: doubled"
    rows = read(system, tables.rights_requests, sid)
    for entry, kind in REGISTER.items():
        if sum(row["kind"] == kind and row["state"] == "fulfilled" for row in rows) != counts[entry]:
            yield f"{entry}: not as often in the register"
    letters = Counter(row["template"] for row in read(system, tables.messages, sid))
    for entry, template in LETTERS.items():
        if letters[template] != counts[entry]:
            yield f"{entry}: not as many letters"
    guards = read(system, tables.guards, sid, keys=True)
    for entry, kind in GUARDS.items():
        if Counter(bytes(row["eid"]) for row in guards if row["kind"] == kind) != Counter(
            eid for eid, of in own if of == entry
        ):
            yield f"{entry}: its guards are others"
    phones = [one for one in asked if one.kind == "rectify" and one.answer != "refused"]
    last = max((one.number for one in phones if one.answer == "done"), default=-1)
    may = {one.value for one in phones if one.number >= last} | ({place.people[sid].phone} if last < 0 else set())
    held = {str(one.content["phone"]) for one in system.rectification.opened(TENANT, sid) if "phone" in one.content}
    if len(held) != 1 or not held <= may:
        yield "a corrected value is not what it was corrected to"
    state, mode, _ = system.store.read(lambda c: system.vault.state_of(c, TENANT, sid))
    stops = {stop.purpose for stop in state.stops}
    wanted = {one.value for one in asked if one.kind == "object" and one.answer == "done"}
    wanted |= {"newsletter" for one in asked if one.kind == "withdraw" and one.answer == "done"}
    if not wanted <= stops:
        yield "an objection does not hold"
    email = place.people[sid].email
    if not all(system.vault.suppressed(TENANT, "email", email, purpose) for purpose in stops):
        yield "an objection is not suppressed"
    held_back = system.restrictions.of(TENANT, sid) is not None
    if held_back != (mode == "restricted") or held_back != (
        counts["restriction.begun"] - counts["restriction.ended"] == 1
    ):
        yield "a restriction is half there"


def of_erased(place: Town, system: Running, sid: bytes) -> Iterator[str]:
    orders = read(system, tables.erasures, sid)
    if [row["state"] for row in orders] != ["gone"]:
        yield "an erasure is not done, or done twice"
    if tuple(system.vault.look(TENANT, sid)) != (0, 0):
        yield "keys of an erased person"
    for table in tables.data.sorted_tables:
        if "sid" in table.c and table.name != "erasures" and read(system, table, sid):
            yield f"rows of an erased person in {table.name}"
    if sum(row["kind"] == "erased" for row in read(system, tables.guards, sid, keys=True)) != 1:
        yield "an erasure without its guard"


def of_letters(place: Town, system: Running) -> Iterator[str]:
    """Each letter arrived once, or it stands there that nobody knows; none waits."""
    if any(count > 1 for count in place.arrived.values()):
        yield "a letter arrived twice"
    ended: dict[str, str] = {}
    for _, body, kind in ledger_of(system, letters=True):
        facts = json.loads(body).get("facts", {})
        if "message" in facts:
            ended[facts["message"]] = kind
    for mid, kind in ended.items():
        if kind == "message.sent" and place.arrived[mid] != 1:
            yield "a letter is said to be sent and did not arrive"
    if system.messages.counts().keys() & {"queued", "sending"}:
        yield "a letter was left"
    if any(ended.get(mid) not in ("message.sent", "message.unknown") for mid in place.arrived):
        yield "a letter arrived of which nothing is said"


def of_the_whole(place: Town, system: Running) -> Iterator[str]:
    entries = [(kind, json.loads(body)) for _, body, kind in ledger_of(system, everything=True)]
    ordered = Counter(body["eid"] for kind, body in entries if kind == "erase.ordered")
    done = Counter(body["refers"] for kind, body in entries if kind == "erase.done")
    if ordered != done:
        yield "orders and ends of erasures are not the same"
    if jobs.counts(system.store).get("failed"):
        yield "a job failed for good"
    system.store.publish()
    if not verify_folder(place.home / "evidence").ok:
        yield "the evidence does not hold"


def ledger_of(system: Running, *, letters: bool = False, everything: bool = False) -> list[tuple[bytes, bytes, str]]:
    """(eid, body, kind) of the entries that requests leave; of letters; or of everything."""
    ledger = tables.ledger.c
    statement = select(ledger.eid, ledger.body, ledger.kind).order_by(ledger.seq)
    if letters:
        statement = statement.where(ledger.kind.like("message.%"))
    elif not everything:
        statement = statement.where(ledger.kind.in_(set(ENTRIES.values())))
    return system.store.read(lambda c: [(bytes(row.eid), bytes(row.body), row.kind) for row in c.execute(statement)])


def read(system: Running, table: Any, sid: bytes, *, keys: bool = False) -> list[Any]:
    """The rows of one person in a table of D or K."""
    statement = select(table).where(table.c.sid == sid)
    reading = system.store.read_keys if keys else system.store.read
    return reading(lambda connection: list(connection.execute(statement).mappings()))
