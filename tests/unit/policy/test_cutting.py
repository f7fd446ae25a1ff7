"""What of an address is kept: nothing that points at a person, and what a site's owner wants to know."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.collect.visits.agents import device_of, is_bot
from troth.policy import cutting


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("/", "/"),
        ("/blog/spring-backups", "/blog/spring-backups"),
        ("/blog/2026/03/restores", "/blog/2026/03/restores"),
        ("/docs/v2.1/install", "/docs/v2.1/install"),
        ("/search?q=ann", "/search"),
        ("/a#section", "/a"),
        ("/a;jsessionid=B65LwTHXyh", "/a"),
        ("/welcome/ann@example.org", "/welcome/…"),
        ("/welcome/ann%40example.org/next", "/welcome/…/next"),
        ("/welcome/ann%2540example.org", "/welcome/…"),
        ("/call/+353-1-555-1234", "/call/…"),
        ("/call/0035315551234", "/call/…"),
        ("/reset/8c7e5a9b3f2d41e6a0b1", "/reset/…"),
        ("/u/9b2f6c1e-1111-4222-8333-444455556666", "/u/…"),
        ("/a/key=value", "/a/…"),
        ("/caf%C3%A9", "/café"),
        ("/a\x00b", "/…"),
        ("relative", ""),
        ("https://elsewhere.example/a", ""),
        ("", ""),
    ],
)
def test_a_path_is_cut_where_it_could_point_at_somebody(said: str, kept: str) -> None:
    assert cutting.path(said) == kept


@given(st.text(max_size=400))
def test_whatever_is_said_a_path_holds_no_query_no_address_and_no_number_to_call(said: str) -> None:
    kept = cutting.path("/" + said)
    assert len(kept) <= cutting.MOST
    assert not set("?#@&=") & set(kept)
    assert all(sum(c.isdigit() for c in part) < cutting.DIGITS for part in kept.split("/"))
    assert cutting.path(kept) in (kept, "") or "%" in kept


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("News.Example.org", "news.example.org"),
        ("https://news.example.org/a", ""),
        ("localhost", ""),
        ("192.0.2.7", ""),
        ("[2001:db8::1]", ""),
        ("a_b.example.org", ""),
        ("", ""),
    ],
)
def test_of_a_referrer_its_host_is_kept(said: str, kept: str) -> None:
    assert cutting.host(said) == kept


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("signup", "signup"),
        ("spring / mail / 2026", "spring / mail / 2026"),
        ("ann@example.org", ""),
        ("0035315551234", ""),
        ("outbound:example.net", "outbound:example.net"),
        ("download:/files/setup.exe", "download:/files/setup.exe"),
        ("outbound:javascript", ""),
        ("mailto:ann", ""),
        ("x" * 81, ""),
    ],
)
def test_an_event_has_a_plain_name(said: str, kept: str) -> None:
    assert cutting.event(said) == kept


PHONE = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36"


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "desktop"),
        (PHONE, "phone"),
        (PHONE.replace(" Mobile", ""), "tablet"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile", "phone"),
    ],
)
def test_of_a_browser_the_kind_of_device_is_kept(agent: str, device: str) -> None:
    assert device_of(agent) == device
    assert not is_bot(agent)


@pytest.mark.parametrize(
    "agent",
    ["", "curl/8.9", "Mozilla/5.0 (compatible; Examplebot/2.1; +http://example.org/bot)", "python-requests/2.32 long"],
)
def test_a_program_that_says_so_is_no_visitor(agent: str) -> None:
    assert is_bot(agent)
