"""D: requests, erasures, restrictions and holds."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKeyConstraint, Index, Integer, Table, Text

from troth.store.tables.shapes import Id, Ms, data

rights_requests = Table(
    "rights_requests",
    data,
    Column("id", Id, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("sid", Id),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),  # requested | proven | accepted | fulfilled | refused | held | failed
    Column("received_ms", Ms, nullable=False),  # when it reached us: the clock starts here
    Column("due_ms", Ms, nullable=False),
    Column("ended_ms", Ms),
    Column("facts", Text, nullable=False, server_default="{}"),  # counts, times, classes; never a personal value
    Column("road", Text, nullable=False, server_default="centre"),  # how it came: centre | letter | telephone | ...
    Column("on_behalf", Text),  # parent | representative | heir, where another asks for the person
    Column("acknowledged_ms", Ms),
    Column("proven_ms", Ms),  # when it was shown who asks
    Column("extended_ms", Ms),
    Column("reminded", Integer, nullable=False, server_default="0"),  # the last alarm: 10 or 3 days before the end
    Column("reason", Text),  # of a delay or a refusal, from a closed list
    Index("ix_rights_requests_sid", "tenant", "sid"),
)

erasures = Table(
    "erasures",
    data,
    Column("ordered", Id, primary_key=True),  # eid of erase.ordered
    Column("tenant", Text, nullable=False),
    Column("sid", Id, nullable=False),
    Column("cause", Text, nullable=False),  # right | retention | refusal | child | undo
    Column("state", Text, nullable=False),  # ordered | unreadable | gone | held
    Column("ordered_ms", Ms, nullable=False),
    Column("unreadable_ms", Ms),  # t1: keys and tags destroyed and looked for on a new connection
    Column("gone_ms", Ms),  # t2: rows gone and looked for
    Column("destroyed_ms", Ms),  # t3: the epoch destroyed; empty until the provider answered
    Column("destruction", Text),
    Column("done", Id),
    Column("counts", Text, nullable=False, server_default="{}"),
    Column("epoch", Integer),  # the current one when the keys went: old copies open until it is destroyed
    Column("plan", Text),  # what was to be done, signed before anything was: kinds, tables and counts
)

restrictions = Table(
    "restrictions",  # whose data is set aside; the mode in ``subjects`` is what the gate reads
    data,
    Column("eid", Id, primary_key=True),  # the entry restriction.begun
    Column("tenant", Text, nullable=False),
    Column("sid", Id, nullable=False),
    Column("ground", Text, nullable=False),  # GDPR Art. 18(1): accuracy | unlawful | claims | objection
    Column("since_ms", Ms, nullable=False),
    Column("announced_ms", Ms),  # when the person was written to that it will be lifted
    Column("notice", Id),  # that message
    Column("ended_ms", Ms),
    Column("ended_by", Text),  # subject | operator
    ForeignKeyConstraint(["tenant", "sid"], ["subjects.tenant", "subjects.sid"], ondelete="RESTRICT"),
    Index("ix_restrictions_sid", "tenant", "sid"),
)

holds = Table(
    "holds",  # what is kept because a law or a claim needs it; their data is set aside meanwhile
    data,
    Column("eid", Id, primary_key=True),  # the entry hold.set
    Column("tenant", Text, nullable=False),
    Column("sid", Id, nullable=False),
    Column("reason", Text, nullable=False),  # GDPR Art. 17(3): law | claims
    Column("since_ms", Ms, nullable=False),
    Column("set_ms", Ms, nullable=False),  # when its end was set last
    Column("until_ms", Ms, nullable=False),
    Column("set_by", Text, nullable=False),  # who did: operator:... | system
    Column("ended_ms", Ms),
    Column("ended_by", Text),  # operator | time
    ForeignKeyConstraint(["tenant", "sid"], ["subjects.tenant", "subjects.sid"], ondelete="RESTRICT"),
    Index("ix_holds_sid", "tenant", "sid"),
)
