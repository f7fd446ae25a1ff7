"""The published versions of the policy: what was promised when, chained by hash, never edited.

Which version is in force is a function of the ledger: of what was published, and of a time that never runs
backwards. Clauses: ``changes.effective-date``, ``changes.publish``. Mechanisms: ``policy.publish``,
``policy.effective``.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import insert, select

from troth.errors import Conflict, Invalid, StartRefused, Unavailable
from troth.notice.controllers import in_name_of
from troth.policy import compile as compile_policy
from troth.policy.model import CompiledPolicy, Controller, History
from troth.store import Store, Write
from troth.store.ledger import EntryDraft
from troth.store.tables import policy_versions, tree
from troth.store.writer import DataTx
from troth.world import Clock

INSERT = insert(policy_versions)
ALL = select(policy_versions).order_by(policy_versions.c.published_ms, policy_versions.c.effective_ms)
NEWEST_TIME = select(tree.c.at_ms)


def compiled(source: str, bindings: str | None, filename: str) -> CompiledPolicy:
    """Compile one version; ``Invalid`` with every error as ``file:line:column: code message`` if it has any."""
    compilation = compile_policy(source, filename=filename, bindings=bindings)
    if compilation.policy is None:
        errors = [d for d in compilation.diagnostics if d.severity == "error"]
        raise Invalid(
            f"{filename} does not compile: {len(errors)} errors; `troth check` shows them all",
            gaps=tuple(f"{d.file}:{d.line}:{d.column}: {d.code} {d.message}" for d in errors),
        )
    return compilation.policy


class Versions:
    """Every version ever published here, and which of them is in force at a time."""

    def __init__(self, store: Store, clock: Clock, controllers: Mapping[str, Controller] | None = None) -> None:
        """``controllers`` are the tenants' own (tenant -> controller)."""
        self.store = store
        self.clock = clock
        self.controllers = controllers or {}
        self.history = History(())
        self._published: dict[str, int] = {}
        self._floor = 0
        self._texts: dict[tuple[str, str | None], CompiledPolicy] = {}

    def _compile(self, source: str, bindings: str | None, filename: str) -> CompiledPolicy:
        """As ``compiled``, each text once: a start reads the configured file and the stored version of it."""
        known = self._texts.get((source, bindings))
        if known is None:
            known = self._texts[source, bindings] = compiled(source, bindings, filename)
        return known

    def load(self) -> History:
        """Read what was published. A stored text whose hash is not the recorded one stops the start."""
        rows = self.store.read(lambda connection: connection.execute(ALL).mappings().all())
        versions = []
        for row in rows:
            version = self._compile(row["source"], row["bindings"], f"version {row['version']}")
            if version.sha256 != row["sha256"]:
                raise StartRefused(
                    f"the stored text of version {row['version']} is not the one that was published: restore it, "
                    "or take the data from a backup",
                    clause="changes.effective-date",
                )
            versions.append(version)
            self._published[version.version] = row["published_ms"]
        self.history = History(tuple(versions))
        self._floor = self.store.read(lambda connection: connection.execute(NEWEST_TIME).scalar()) or 0
        return self.history

    def publish(self, source: str, bindings: str | None = None, *, actor: str = "system") -> CompiledPolicy:
        """Publish a version: the text is stored whole, and the entry chains its hash to the one before.

        The same text again changes nothing. ``Conflict``: this version exists with another text (nothing is edited
        silently). ``Invalid``: it does not compile, or it would bind from a day that has passed.
        """
        for version in self.history.versions:
            if (version.source, version.bindings) == (source, bindings):
                return version
        policy = self._compile(source, bindings, "the policy")
        known = {version.version: version for version in self.history.versions}
        same = known.get(policy.version)
        if same is not None:
            if same.sha256 != policy.sha256:
                raise Conflict(
                    f"version {policy.version} was published with another text: give the changed text a version "
                    "of its own",
                    clause="changes.effective-date",
                )
            return same
        now = self.clock.now()
        if known and policy.effective_ms < now:
            raise Invalid(
                f"version {policy.version} says it binds from {policy.effective}, which has passed: a later version "
                "cannot begin before it is published",
                clause="changes.effective-date",
            )
        self.store.write(Write(body=lambda tx: self._record(tx, policy, actor)))
        self.load()
        return policy

    def hash_of(self, source: str, bindings: str | None) -> str | None:
        """The hash under which this text would be published; None if it does not compile."""
        try:
            return self._compile(source, bindings, "the policy").sha256
        except Invalid:
            return None

    def put_back(self, source: str, bindings: str | None, *, published_ms: int, eid: bytes) -> None:
        """After a restore: a version whose publication the log has already (entry ``eid``), stored again."""
        policy = self._compile(source, bindings, "the policy")
        self.store.write(Write(body=lambda tx: self._store(tx, policy, published_ms, eid)))
        self.load()

    def _record(self, tx: DataTx, policy: CompiledPolicy, actor: str) -> None:
        before = self.history.versions[-1].sha256 if self.history.versions else ""
        entry = tx.append(
            EntryDraft(
                kind="policy.published",
                clause="changes.publish",
                mechanism="policy.publish",
                actor=actor,
                facts={
                    "version": policy.version,
                    "sha256": policy.sha256,
                    "effective": policy.effective_ms,
                    "previous": before,
                },
            )
        )
        self._store(tx, policy, tx.now, entry.eid)

    @staticmethod
    def _store(tx: DataTx, policy: CompiledPolicy, published_ms: int, eid: bytes) -> None:
        tx.execute(
            INSERT,
            {
                "version": policy.version,
                "policy": policy.policy,
                "sha256": policy.sha256,
                "source": policy.source,
                "bindings": policy.bindings,
                "effective_ms": policy.effective_ms,
                "published_ms": published_ms,
                "eid": eid,
            },
        )

    def now(self) -> int:
        """The clock's time, but never before the newest entry that was found at the start."""
        return max(self.clock.now(), self._floor)

    def in_force(self, at_ms: int) -> CompiledPolicy | None:
        """The version that binds at this time: of those published and effective by then, the latest; or None.

        The first version ever may be effective from before its publication here: it was in force on paper.
        """
        found: CompiledPolicy | None = None
        for at, version in enumerate(self.history.versions):  # a plain loop: every visit asks
            if version.effective_ms > at_ms or (at and self._published[version.version] > at_ms):
                continue
            if found is None or (version.effective_ms, version.version) > (found.effective_ms, found.version):
                found = version
        return found

    def named(self, tenant: str) -> dict[str, str]:
        """What an entry's facts say of the tenant: its name, nothing where it is whoever runs the system."""
        return {"tenant": tenant} if tenant in self.controllers else {}

    def current(self, tenant: str = "") -> CompiledPolicy:
        """The version in force now, in the name of this tenant's controller if it has one of its own.

        ``Unavailable`` while none is in force (nothing may be collected then).
        """
        policy = self.in_force(self.now())
        if policy is None:
            raise Unavailable("no version of the policy is in force yet", clause="changes.effective-date")
        return in_name_of(policy, self.controllers.get(tenant))
