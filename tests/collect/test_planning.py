"""Which column is what, what a time is, and what a row becomes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from troth.cli.init import example
from troth.collect.importing.layouts import layout_of, recognised
from troth.collect.importing.planning import Held, Planner, Spare, Take, moment
from troth.collect.importing.reading import Row
from troth.errors import Invalid
from troth.policy import compile as compile_policy
from troth.policy.model import Field, Point

NOW = 1_772_452_800_000
POLICY = compile_policy(example(), filename="policy.md").policy
assert POLICY is not None
NEWSLETTER, REGISTRATION = POLICY.points["newsletter"], POLICY.points["registration"]
COLUMNS = ("email", "name", "evidence", "source", "status", "how")


def planner(columns: tuple[str, ...] = COLUMNS, point: Point = NEWSLETTER, kind: str = "people") -> Planner:
    layout = layout_of(columns, point, format=None, evidence=None, only_address=kind != "people")
    return Planner(kind, point, layout, None, None, NOW)


@pytest.mark.parametrize(
    ("columns", "format_"),
    [
        ("email,name", "table"),
        ("uuid,email,name,attributes,status,created_at,updated_at", "listmonk"),
        ("uuid,email,name,attribs,status", "listmonk"),
        ("email,name,status", "table"),
        ("Email Address,First Name,Last Name,MEMBER_RATING,OPTIN_TIME,CONFIRM_TIME,LEID", "mailchimp"),
        ("Email Address,First Name,UNSUB_TIME,UNSUB_REASON", "mailchimp-unsubscribed"),
        ("Email Address,CLEAN_TIME,CLEAN_CAMPAIGN_TITLE", "mailchimp-cleaned"),
        ("Email Address,First Name", "table"),
    ],
)
def test_a_format_is_recognised_by_its_header(columns: str, format_: str) -> None:
    assert recognised(tuple(columns.split(","))) == format_


@pytest.mark.parametrize(
    "columns", [(), ("name",), ("ann@x.org", "Ann"), ("Email", "email"), ("e mail", "e-mail", "email")]
)
def test_a_header_that_does_not_say_where_the_address_is_is_refused(columns: tuple[str, ...]) -> None:
    with pytest.raises(Invalid) as caught:
        layout_of(columns, NEWSLETTER, format=None, evidence=None, only_address=False)
    assert "ann@x.org" not in repr(caught.value)


@pytest.mark.parametrize("name", ["ip", "OPTIN_IP", "Confirm IP", "ip-address", "remote_addr"])
@pytest.mark.parametrize("format_", ["table", "mailchimp"])
def test_a_column_of_network_addresses_is_never_taken_whatever_a_field_is_called(name: str, format_: str) -> None:
    field = replace_field(name)
    point = changed(NEWSLETTER, fields=(*NEWSLETTER.fields, field))
    columns = ("email", "Email Address", "name", name)
    layout = layout_of(columns, point, format=format_, evidence=None, only_address=False)
    assert name in layout.dropped


def replace_field(name: str) -> Field:
    return changed(NEWSLETTER.fields[0], name=name, required=False, category="user.device.ip")


def test_a_field_called_as_a_column_of_ours_is_the_field() -> None:
    status = changed(NEWSLETTER.fields[0], name="status", required=False)
    point = changed(NEWSLETTER, fields=(*NEWSLETTER.fields, status))
    layout = layout_of(("email", "name", "status"), point, format=None, evidence=None, only_address=False)
    assert (layout.status, layout.fields["status"]) == (None, ("status",))


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2024-05-06", 1_714_953_600_000),
        ("2024-05-06 07:08", 1_714_979_280_000),
        ("2024-05-06 07:08:09", 1_714_979_289_000),
        ("2024-05-06T07:08:09Z", 1_714_979_289_000),
        ("2024-05-06T09:08:09+02:00", 1_714_979_289_000),
        ("2024-05-06T09:08:09.5+0200", 1_714_979_289_500),
        ("2024-05-06 07:08:09.123456789 +0000 UTC", 1_714_979_289_123),
    ],
)
def test_times_are_read_as_others_write_them(text: str, ms: int) -> None:
    assert moment(text) == ms


@pytest.mark.parametrize(
    "text",
    ["", "yes", "1", "2024-13-01", "2024-02-30", "0001-01-01 00:00:00 +0000 UTC", "06/05/2024", "2024-05-06 25:00"],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert moment(text) is None


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(COLUMNS), st.text(max_size=40) | st.sampled_from(["2024-01-01", "a@x.org", "enabled"])
    )
)
def test_a_plan_is_always_one_of_three_and_holds_a_reason_without_a_value(cells: dict[str, str]) -> None:
    for kind in ("people", "consents", "suppressions"):
        plan = planner(kind=kind).plan(Row(7, cells))
        assert plan.line == 7
        if isinstance(plan, Held):
            assert plan.reason.isascii()
            assert all(len(value) < 6 or value not in plan.reason for value in cells.values())
        elif isinstance(plan, Take):
            assert plan.source
            assert 0 < plan.agreed_ms <= NOW
            assert set(plan.values) <= {"email", "name"}
        else:
            assert isinstance(plan, Spare)


def test_half_a_character_is_held_and_breaks_nothing() -> None:
    good = {"email": "a@x.org", "name": "A", "evidence": "2024-01-01", "source": "s", "how": "h", "status": ""}
    assert isinstance(planner().plan(Row(2, good)), Take)
    for name in ("email", "name", "source", "how"):
        for kind in ("people", "consents"):
            plan = planner(kind=kind).plan(Row(2, good | {name: good[name] + "\ud800"}))
            assert isinstance(plan, Held) or (kind == "consents" and name == "name")


def test_a_row_that_could_not_be_read_is_held_for_that() -> None:
    assert planner().plan(Row(3, {}, "cells")) == Held(3, "cells")


def test_names_apart_fill_fields_apart_and_names_together_fill_one() -> None:
    columns = ("Email Address", "First Name", "Last Name", "CONFIRM_TIME")
    cells = {
        "Email Address": "a@x.org",
        "First Name": "Ann",
        "Last Name": "Quill",
        "CONFIRM_TIME": "2024-01-01 00:00:00",
    }
    for point, values in (
        (NEWSLETTER, {"email": "a@x.org", "name": "Ann Quill"}),
        (REGISTRATION, {"email": "a@x.org", "first_name": "Ann", "last_name": "Quill"}),
    ):
        plan = replace(planner(columns, point), source="s").plan(Row(2, cells))
        assert isinstance(plan, Take)
        assert plan.values == values
