"""Hooks: telling the tools that a vendor keeps of objections, erasures, restrictions and changes of consent (Art. 19).

A hook is thin: what happened, and the reference by which a product made the person known here. The tool asks back what
it may still do. It is signed as Standard Webhooks 1.0 has it (HMAC-SHA256 over id, time and body), delivered by the job
table until a 2xx answer acknowledges it, and its id stays the same, so that a tool takes it once however often it
comes. A tool that does not answer is left alone for a while, each time longer, with everything that waits for it.
Only a product that has a key here is told. Clause: that of the right. Mechanism: ``share.deny``.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException

import msgspec
from sqlalchemy import Connection, select

from troth.collect.forms import is_email
from troth.config import Hook
from troth.errors import Denied, StartRefused
from troth.store import DataTx, Store
from troth.store.announce import Told, unheard
from troth.store.jobs import Job, Later
from troth.store.tables import jobs
from troth.use.disclosures import Disclosures
from troth.use.openid_provider import Untouched, trusted
from troth.use.products import Products
from troth.use.transport import Outcome
from troth.vault import Vault
from troth.world import DAY_MS

HOOK_JOB = "use.hook"
SECONDS = 5.0  # to connect, and for each part of an answer
FIRST_REST_MS = 2_000
LONGEST_REST_MS = 3_600_000
DEADLINE_MS = 3 * DAY_MS  # without undue delay (Art. 19): what nobody acknowledged by then is a broken promise
CLAUSES = {
    "consent.changed": "consent.withdraw",
    "objection.made": "rights.object-marketing",
    "erasure.ordered": "rights.erase",
    "restriction.changed": "rights.restrict",
}
WAITING = select(jobs.c.ref).where(jobs.c.kind == HOOK_JOB, jobs.c.state != "done").order_by(jobs.c.id)


@dataclass(frozen=True)
class Waiting:
    """A hook that nobody has acknowledged: which tool, what happened, and since when (UTC milliseconds)."""

    tenant: str
    tool: str
    event: str
    eid: bytes
    since_ms: int

    @property
    def id(self) -> str:
        """The message's id: the same at each attempt, and not the ledger's."""
        return "msg_" + hashlib.sha256(self.eid + f"{self.event}/{self.tool}".encode()).hexdigest()[:32]

    @property
    def ref(self) -> str:
        """As it stands in the job."""
        return f"{self.tenant}/{self.tool}/{self.event}/{self.eid.hex()}/{self.since_ms}"

    def overdue(self, now: int) -> bool:
        """Whether it is past its deadline."""
        return now > self.since_ms + DEADLINE_MS


def waiting_from(ref: str) -> Waiting:
    """What a job's reference says."""
    tenant, tool, event, eid, since = ref.split("/")
    return Waiting(tenant, tool, event, bytes.fromhex(eid), int(since))


def waiting(connection: Connection) -> list[Waiting]:
    """Every hook that is not acknowledged, the oldest first."""
    return [waiting_from(ref) for ref in connection.execute(WAITING).scalars()]


class Hooks:
    """Tells the configured tools. Safe from any thread."""

    def __init__(
        self, store: Store, vault: Vault, products: Products, disclosures: Disclosures, tools: Mapping[str, Hook]
    ) -> None:
        for name, tool in tools.items():
            if not trusted(tool.url):
                raise StartRefused(f"hooks.{name}.url must begin with https:// (http:// on this machine alone)")
        self.store = store
        self.vault = vault
        self.products = products
        self.disclosures = disclosures
        self.tools = tools
        self._opener = urllib.request.build_opener(Untouched)
        self._rests: dict[str, tuple[int, int]] = {}  # tool -> until when nobody asks it, and for how long
        self._lock = threading.Lock()

    def secret(self, name: str) -> bytes:
        """The key that signs what this tool is told."""
        return hmac.digest(self.vault.secret("hooks"), name.encode(), "sha256")

    def announce(self, tenant: str, sid: bytes, event: str) -> Told:
        """What tells of it in the transaction of its entry. Prepared while the person's keys are there."""
        names = [name for name, tool in self.tools.items() if tool.tenant == tenant and event in tool.events]
        reference = self.products.reference_of(tenant, sid) if names else None
        if reference is None:
            return unheard(tenant, sid, event)
        sealed = self.vault.transit_seal(reference.encode())

        def tell(tx: DataTx, eid: bytes) -> None:
            for name in names:
                tx.enqueue(HOOK_JOB, Waiting(tenant, name, event, eid, tx.now).ref, payload=sealed)

        return tell

    def job(self, job: Job) -> None:
        """Tell one tool once; ``Later`` until it has acknowledged it."""
        due, now = waiting_from(job.ref), self.store.clock.now()
        tool = self.tools.get(due.tool)
        until = self._rests.get(due.tool, (0, 0))[0]
        if until > now:
            raise Later(until - now)
        assert job.payload is not None
        reference = self.vault.transit_open(job.payload).decode()
        try:
            told = self.disclosures.tell(
                self.products.named(due.tenant, tool.product) if tool else None,
                CLAUSES[due.event],
                self._deliver(due, tool.url if tool else "", reference),
                refers=due.eid,
                facts={"event": due.event, "tool": due.tool},
                gaps=("reference:address",) if is_email(reference) else (),
            )
        except Denied:
            if tool is None:  # it is not kept any more: the entry says that nobody was told
                return
            raise Later(LONGEST_REST_MS) from None
        if told.kind != "made":
            raise Later(self._rest(due.tool, now))
        with self._lock:
            self._rests.pop(due.tool, None)

    def waiting(self, tenant: str) -> list[Waiting]:
        """What nobody of this tenant's tools has acknowledged, the oldest first."""
        return [one for one in self.store.read(waiting) if one.tenant == tenant]

    def _rest(self, name: str, now: int) -> int:
        with self._lock:
            before = self._rests.get(name, (0, FIRST_REST_MS // 2))[1]
            pause = min(2 * before, LONGEST_REST_MS)
            self._rests[name] = (now + pause, pause)
        return pause

    def _deliver(self, due: Waiting, url: str, reference: str) -> Callable[[], Outcome]:
        at = dt.datetime.fromtimestamp(due.since_ms / 1000, tz=dt.UTC).isoformat(timespec="milliseconds")
        said = {"type": due.event, "timestamp": at.replace("+00:00", "Z"), "data": {"reference": reference}}
        body = msgspec.json.encode(said)

        def deliver() -> Outcome:
            headers = signed(self.secret(due.tool), due.id, self.store.clock.now() // 1000, body)
            return self._post(url, body, headers | {"content-type": "application/json", "user-agent": "troth"})

        return deliver

    def _post(self, url: str, body: bytes, headers: dict[str, str]) -> Outcome:
        request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310  # ``trusted`` at the start
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                status = answer.status
        except urllib.error.HTTPError as fault:  # 3xx too: nobody follows
            with fault:
                status = fault.code
        except (OSError, HTTPException):  # nobody knows what the tool has heard; its id tells it the second time
            return Outcome("unknown", "no answer")
        return Outcome("sent", "acknowledged") if 200 <= status < 300 else Outcome("deferred", f"answered {status}")


def signed(secret: bytes, id_: str, at_s: int, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks 1.0."""
    mac = hmac.digest(secret, f"{id_}.{at_s}.".encode() + body, "sha256")
    signature = f"v1,{base64.b64encode(mac).decode()}"
    return {"webhook-id": id_, "webhook-timestamp": str(at_s), "webhook-signature": signature}


def shown(secret: bytes) -> str:
    """A secret as tools take it."""
    return f"whsec_{base64.b64encode(secret).decode()}"
