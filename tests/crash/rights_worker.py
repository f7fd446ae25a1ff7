"""A process in which people ask for their rights, through the whole system, until it is killed.

It reads jobs as lines of JSON and forks a child for each: ``{folder, port, begin, seed, most, label, at, delay, ...}``.
The child starts the system with its workers and sends its mail to a real server; it sends itself SIGKILL at the
``at``-th moment of this ``label`` ("" for any), or ``delay`` milliseconds after it began. What was asked and what was
answered stands in the file ``told``, a line each: ``B number sid kind value`` before, ``A number`` or
``N number status`` after. The parent answers with the child's end: ``killed``, ``survived`` or ``failed``.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import func, select, update
from sqlalchemy.engine.default import DefaultDialect

from tests.clauses.vendor import Browser
from tests.crash.forked import serve
from tests.web.visitor import Visitor as Http
from troth.cli.setting import demonstration_config
from troth.store import Write, tables
from troth.store.engine import Database
from troth.store.tables import messages
from troth.use.messages import Messages
from troth.use.transport import SmtpLine
from troth.web.running import Running, start

HELD = "/privacy/data"
PHRASE = "eleven herons over the quay"
KINDS = ("access", "rectify", "object", "withdraw", "restrict", "erase")
WEIGHTS = (4, 4, 3, 2, 4, 2)
LABELS = ("keys before", "keys after", "data before", "data after", "log", "mail before", "mail after", "answer")
SAYS = {  # what the page says once it is done: an answer that says anything else is none
    "access": '"format"',
    "rectify": "It is corrected",
    "object": "Your objection holds",
    "withdraw": "What we hold",
    "restrict": "Your data is set aside since",
    "lift": "Why should it be set aside?",
    "erase": "Your data is ",
}
NOT_KNOWN = "It is not known whether this was done"
PATIENCE = 20.0  # seconds that a letter is waited for


class Ticking:
    """A clock that begins where a life begins, goes on as time does, and can jump."""

    def __init__(self, begin_ms: int) -> None:
        self.begin_ms = begin_ms
        self._since = time.monotonic()

    def now(self) -> int:
        """UTC milliseconds."""
        return self.begin_ms + round((time.monotonic() - self._since) * 1000)


class Death:
    """Counts moments, and ends the process at the given one."""

    def __init__(self, label: str, at: int) -> None:
        self.label = label
        self.left = at
        self._lock = threading.Lock()

    def moment(self, label: str) -> None:
        if not label.startswith(self.label):
            return
        with self._lock:
            self.left -= 1
            if self.left == 0:
                die()

    def watch(self) -> None:
        """Every COMMIT of either store, the overwriting of K's log, and each letter as the relay takes it."""
        commit: Callable[..., None] = DefaultDialect.do_commit
        checkpoint, send = Database.checkpoint, SmtpLine._content

        def do_commit(dialect: DefaultDialect, connection: Any) -> None:
            store = store_of(connection)
            self.moment(f"{store} before")
            commit(dialect, connection)
            self.moment(f"{store} after")

        def overwrite(database: Database, mode: Literal["PASSIVE", "TRUNCATE"] = "PASSIVE") -> bool:
            if mode == "TRUNCATE":
                self.moment("log")
            return checkpoint(database, mode)

        def content(line: SmtpLine, smtp: Any, data: bytes) -> Any:
            self.moment("mail before")
            outcome = send(line, smtp, data)
            self.moment("mail after")
            return outcome

        setattr(DefaultDialect, "do_commit", do_commit)  # noqa: B010 - in this process only
        setattr(Database, "checkpoint", overwrite)  # noqa: B010 - in this process only
        setattr(SmtpLine, "_content", content)  # noqa: B010 - in this process only


def die() -> None:
    """At once, with nothing tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)


def store_of(connection: Any) -> str:
    """Which of the two stores a driver's connection belongs to."""
    raw = getattr(connection, "dbapi_connection", connection)
    if not hasattr(raw, "backup"):
        return "data"  # PostgreSQL's are counted together
    return "keys" if raw.execute("PRAGMA database_list").fetchone()[2].endswith("keys.db") else "data"


class People:
    """Everybody who comes by in one life, each through the pages."""

    def __init__(self, job: dict[str, Any], death: Death, clock: Ticking) -> None:
        self.job = job
        self.death = death
        self.clock = clock
        self.chance = random.Random(job["seed"])
        self.letters = Path(job["letters"])
        self.told = os.open(job["told"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.system: Running | None = None
        self.https: list[Http] = []
        self.browsers: dict[str, Browser] = {}
        self.number = int(job["first"])

    def say(self, *words: object) -> None:
        os.write(self.told, (" ".join(map(str, words)) + "\n").encode())

    # --- coming in ---

    def browser(self) -> Browser:
        assert self.system is not None
        address = f"198.18.{self.chance.randrange(256)}.{self.chance.randrange(256)}"
        self.https.append(Http(self.system.shell, base="http://localhost", address=address))
        return Browser(self.https[-1])

    def enter(self, person: dict[str, str]) -> Browser | None:
        """In the centre: with the password, or by the link that comes by mail; None where neither lets them in."""
        browser = self.browser()
        if person["road"] == "password":
            browser.open("/account/sign-in")
            with self.looking(person, browser):
                browser.send("/account/sign-in", email=person["email"], password=PHRASE)
            return browser if browser.answer.status == 200 and browser.address != "/account/sign-in" else None
        before = self.letters.stat().st_size
        browser.open("/privacy")
        browser.send("/privacy", email=person["email"])
        until = time.monotonic() + self.job.get("patience", PATIENCE)
        while not (found := self.links(person["email"], before)):
            if time.monotonic() > until:
                return None
            time.sleep(0.01)  # a condition is waited for, not a time
        browser.open(found[-1])
        with self.looking(person, browser):
            browser.send()
        return browser if browser.address == "/privacy/data" else None

    def links(self, email: str, after: int) -> list[str]:
        """Where the letters to this address lead that open the centre, of those that came after so many bytes."""
        with self.letters.open("rb") as letters:
            letters.seek(after)
            came = letters.read().decode()
        found = [json.loads(line) for line in came.split("\n")[:-1] if email in line]
        return [m[0] for one in found if (m := re.search(r"/privacy/open/[\w-]+", one["text"]))]

    def opened(self, person: dict[str, str], browser: Browser, page: str) -> bool:
        """Open a page of the centre; False where the session is over."""
        with self.looking(person, browser, page == HELD):
            return browser.open(page).status == 200

    @contextlib.contextmanager
    def looking(self, person: dict[str, str], browser: Browser, looks: bool = True) -> Iterator[None]:
        """What leads to the page of what is held is a request for access too."""
        self.number += looks
        number = self.number
        if looks:
            self.say("B", number, person["sid"], "access", "-")
        yield
        if looks:
            self.say(
                "A" if (browser.answer.status, browser.address) == (200, HELD) else "N", number, browser.answer.status
            )

    # --- asking ---

    def ask(self, person: dict[str, str], kind: str) -> None:
        """One request, said before and after."""
        browser = self.browsers.get(person["sid"]) or self.enter(person)
        if browser is None:
            return
        self.browsers[person["sid"]] = browser
        self.number += 1
        number, value = self.number, "-"
        if kind == "rectify":
            value = f"+3531{number:07}"
        if kind == "object":
            value = self.chance.choice(("marketing", "newsletter"))
        if kind == "restrict":
            browser.open("/privacy/restrict")
            kind = "restrict" if "Why should it be set aside?" in browser.page.text else "lift"
        page, path, form = {
            "access": ("", "/privacy/copy.json", {}),
            "rectify": ("/privacy/correct/registration", "", {"phone": value}),
            "object": ("/privacy/object", "", {"purpose": value}),
            "withdraw": ("/privacy/data", "/privacy/withdraw/newsletter", {}),
            "restrict": ("/privacy/restrict", "", {"ground": "claims"}),
            "lift": ("/privacy/restrict", "/privacy/restrict/lift", {}),
            "erase": ("/privacy/erase", "", {"sure": "yes"}),
        }[kind]
        if page and not self.opened(person, browser, page):
            self.browsers.pop(person["sid"])  # the session is over: the next time they come in again
            return
        self.say("B", number, person["sid"], kind, value)
        if self.job.get("sabotage") == "early":
            self.say("A", number)
            self.death.moment("early")
        if page:
            with self.looking(person, browser, kind == "withdraw"):
                browser.send(path or page, **form)
        else:
            browser.open(path)
        self.death.moment("answer")
        done = browser.answer.status == 200 and SAYS[kind] in browser.answer.body.decode()
        if done:
            self.say("A", number)
        elif NOT_KNOWN not in browser.answer.body.decode():  # which says honestly where it stands
            self.say("N", number, browser.answer.status)
        if kind == "erase" and done:
            self.browsers.pop(person["sid"])

    def live(self) -> None:
        """So many requests, of whoever is there."""
        gone: set[str] = set()
        for turn in range(self.job["most"]):
            there = [one for one in self.job["people"] if one["sid"] not in gone]
            person = self.chance.choice(there)
            most = len(KINDS) - (len(there) <= self.job["keep"])  # the last of them are not erased: others go on
            kind = self.chance.choices(KINDS[:most], WEIGHTS[:most])[0]
            self.ask(person, kind)
            if kind == "erase":
                gone.add(person["sid"])
            if turn + 1 in self.job.get("jumps", {}):
                self.clock.begin_ms += self.job["jumps"][turn + 1]


def run(job: dict[str, Any]) -> None:
    """One child: never returns to the loop."""
    death, clock = Death(job["label"], job["at"]), Ticking(job["begin"])
    job["jumps"] = {int(turn): by for turn, by in job.get("jumps", {}).items()}
    people = People(job, death, clock)
    if job.get("sabotage") == "resend":  # what was being sent is sent again, as if nobody had noted it
        forget = update(messages).where(messages.c.state == "sending").values(state="queued")
        setattr(Messages, "resolve", lambda own: own.store.write(Write(lambda tx: tx.execute(forget).rowcount)))  # noqa: B010
    if job["at"] and job.get("early"):
        death.watch()
    if job["delay"]:
        timer = threading.Timer(job["delay"] / 1000, die)
        timer.daemon = True
        timer.start()
    people.system = system = start(demonstration_config(Path(job["folder"]), 0, job["port"], *job["urls"]), clock=clock)
    if job["at"] and not job.get("early"):
        death.watch()
    workers = system.start_worker()
    people.say("R")
    people.live()
    until = time.monotonic() + job.get("rest", 0)
    while job.get("rest") and not at_rest(system):
        if time.monotonic() > until:
            raise TimeoutError("the work does not end")
        time.sleep(0.01)  # a condition is waited for, not a time
    workers.close()
    for http in people.https:
        http.close()
    system.close()


def at_rest(system: Running) -> bool:
    """Whether no letter waits and no job is due."""
    jobs = tables.jobs.c
    due = select(func.count()).where(jobs.state.in_(("ready", "leased")), jobs.run_ms <= system.store.now())
    waiting = system.store.read(lambda connection: int(connection.execute(due).scalar_one()))
    return not waiting and not system.messages.counts().keys() & {"queued", "sending"}


if __name__ == "__main__":
    serve(run)
