"""The console over HTTP, without a script: invitations, two factors, roles, approvals, and what strangers learn."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.use.staff import OTHER_PHRASE, PHRASE, Member, Staff, as_typed
from tests.web import vendor
from tests.web.visitor import Visitor
from troth.config import Config
from troth.policy.model import CompiledPolicy
from troth.use.approvals import Approvals
from troth.use.operators import Operators
from troth.web.app import build
from troth.web.console.guard import Desk
from troth.web.console.rooms import group
from troth.web.shell import Shell
from troth.world import Clock, Randomness


@dataclass
class Office:
    """A running system with staff."""

    staff: Staff
    policy: CompiledPolicy = vendor.POLICY
    checkpoint: str = ""
    visitors: list[Visitor] = field(default_factory=list)

    @property
    def config(self) -> Config:
        return Config(base_url="http://testserver")

    @property
    def clock(self) -> Clock:
        return self.staff.clock

    @property
    def randomness(self) -> Randomness:
        return self.staff.store.randomness

    @property
    def operators(self) -> Operators:
        return self.staff.operators

    @property
    def approvals(self) -> Approvals:
        return self.staff.approvals

    def desk(self, tenant: str) -> Desk:
        assert tenant == "main"
        return Desk(self.staff.operators, self.staff.sign_in, self.staff.approvals)

    def faults(self) -> tuple[str, ...]:
        return ()

    @cached_property
    def app(self) -> Shell[Any]:
        """The application over it."""
        return build(self, [group()])

    def visitor(self, address: str = "127.0.0.1") -> Visitor:
        """A browser of its own."""
        visitor = Visitor(self.app, address=address)
        self.visitors.append(visitor)
        return visitor

    def browser(self, member: Member) -> Visitor:
        """A browser in which this member is signed in."""
        visitor = self.visitor()
        visitor.client.cookies.set("troth_console", member.cookie)
        return visitor


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    staff = Staff(tmp_path / "troth")
    office = Office(staff)
    yield office
    for visitor in office.visitors:
        visitor.close()
    staff.close()


@pytest.fixture
def ada(office: Office) -> Member:
    """The first administrator."""
    return office.staff.join("ada")


def hidden(page: httpx.Response, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text)
    assert found is not None, name
    return html.unescape(found[1])


def join(office: Office, token: str, password: str = PHRASE) -> tuple[Visitor, httpx.Response, bytes]:
    """Accept an invitation as a person does, in a browser without scripts."""
    visitor = office.visitor()
    page = visitor.page(f"/console/invitation/{token}")
    shown = re.search(r'class="secret"><bdi><code>([A-Z2-7 ]+)<', page.text)
    assert shown is not None
    secret = as_typed(shown[1])
    form = {"sealed": hidden(page, "sealed"), "password": password, "code": office.staff.code(secret)}
    return visitor, visitor.post(f"/console/invitation/{token}", form), secret


def sign_in(office: Office, visitor: Visitor, name: str, password: str, code: str) -> httpx.Response:
    """Send the form of the sign-in."""
    return visitor.post(
        "/console/sign-in", {"name": name, "password": password, "code": code}, headers={"accept": "text/html"}
    )


def test_from_the_first_link_to_the_console_and_out_again(office: Office) -> None:
    visitor, answer, secret = join(office, office.operators.first("ada"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    home = visitor.page("/console")
    assert home.status_code == 200
    assert home.headers["cache-control"] == "no-store"
    out = visitor.post("/console/sign-out", {"csrf_token": hidden(home, "csrf_token")})
    assert out.headers["location"] == "/console/sign-in"
    assert visitor.page("/console").headers["location"] == "/console/sign-in"
    again = sign_in(office, visitor, "ada", PHRASE, office.staff.next_code(secret))
    assert (again.status_code, again.headers["location"]) == (303, "/console")
    assert visitor.page("/console").status_code == 200


def test_the_cookie_is_declared_random_and_for_this_site_only(office: Office) -> None:
    _, answer, _ = join(office, office.operators.first("ada"))
    cookie = answer.headers["set-cookie"]
    assert re.fullmatch(r"troth_console=[A-Za-z0-9_-]{43}; HttpOnly; Max-Age=28800; Path=/; SameSite=strict", cookie), (
        cookie
    )


def test_where_the_policy_declares_no_such_cookie_nobody_signs_in(office: Office, ada: Member) -> None:
    import msgspec

    office.policy = msgspec.structs.replace(vendor.POLICY, cookies={})
    answer = sign_in(office, office.visitor(), "ada", PHRASE, office.staff.next_code(ada.secret))
    assert answer.status_code == 422
    assert "set-cookie" not in answer.headers
    assert "collect.cookies" in answer.text


def test_the_door_shows_a_page_to_people_and_a_problem_to_programs(office: Office) -> None:
    visitor = office.visitor()
    assert visitor.page("/console").status_code == 303
    answer = visitor.get("/console", headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unproven")


def test_every_room_is_closed_to_strangers(office: Office) -> None:
    visitor = office.visitor()
    for route in office.app.table.routes:
        if route.guarded == "operator":
            path = route.path.replace("{id}", "0" * 32)
            answer = visitor.request(route.method, path)
            assert answer.status_code == 401, route.path


def test_a_wrong_name_password_or_code_reads_the_same(office: Office, ada: Member) -> None:
    code = office.staff.next_code(ada.secret)
    pages = set()
    for name, password, typed in (("eve", PHRASE, code), ("ada", OTHER_PHRASE, code), ("ada", PHRASE, "123456")):
        answer = sign_in(office, office.visitor(), name, password, typed)
        assert answer.status_code == 401
        assert password not in answer.text
        plain = re.sub(
            r'value="(eve|ada)"|name="ceremony" value="\w+"|data-options="[^"]*"|nonce="[^"]+"', "", answer.text
        )
        pages.add(plain)
    assert len(pages) == 1


def test_guessing_at_one_name_is_slowed_down_wherever_it_comes_from(office: Office, ada: Member) -> None:
    seen = []
    for turn in range(12):
        visitor = office.visitor(f"198.51.100.{turn}")
        seen.append(sign_in(office, visitor, "nobody-here", PHRASE, "123456").status_code)
    assert seen[:10] == [401] * 10
    assert seen[10:] == [429, 429]


def test_a_short_password_and_a_wrong_code_come_back_beside_their_fields(office: Office) -> None:
    token = office.operators.first("ada")
    visitor = office.visitor()
    page = visitor.page(f"/console/invitation/{token}")
    sealed = hidden(page, "sealed")
    answer = visitor.post(
        f"/console/invitation/{token}",
        {"sealed": sealed, "password": "short", "code": "000000"},
        headers={"accept": "text/html"},
    )
    assert answer.status_code == 422
    assert 'href="#field-password"' in answer.text
    assert "at least 15 characters" in answer.text
    assert hidden(answer, "sealed") == sealed, "the key already in the app must stay the same"
    assert "short" not in re.sub(r"too short", "", answer.text)


def test_an_invitation_that_was_used_says_so(office: Office) -> None:
    token = office.operators.first("ada")
    join(office, token)
    answer = office.visitor().page(f"/console/invitation/{token}")
    assert answer.status_code == 401
    assert office.visitor().page("/console/invitation/nonsense").status_code == 401


def test_inviting_shows_the_link_once_and_it_works(office: Office, ada: Member) -> None:
    visitor = office.browser(ada)
    page = visitor.page("/console/operators")
    token = hidden(page, "csrf_token")
    made = visitor.post("/console/operators", {"csrf_token": token, "name": "olga", "role": "officer"})
    link = re.search(r'class="link">http://testserver/console/invitation/([\w-]{43})<', made.text)
    assert link is not None
    assert link[1] not in visitor.page("/console/operators").text
    olga, answer, _ = join(office, link[1])
    assert answer.status_code == 303
    assert olga.page("/console/operators").status_code == 200
    assert "invite" not in re.findall(r'action="([^"]*)"', olga.page("/console/operators").text)


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"name": "Olga Petrovna", "role": "officer"}, 422, "letters a-z"),
        ({"name": "olga", "role": "owner"}, 422, "one of the options"),
        ({"name": "ada", "role": "officer"}, 409, "taken"),
    ],
)
def test_an_invitation_that_does_not_fit(
    office: Office, ada: Member, form: dict[str, str], status: int, words: str
) -> None:
    visitor = office.browser(ada)
    token = hidden(visitor.page("/console/operators"), "csrf_token")
    answer = visitor.post("/console/operators", {"csrf_token": token, **form}, headers={"accept": "text/html"})
    assert answer.status_code == status
    assert words in answer.text


def test_what_a_role_does_not_cover_is_refused_even_when_the_address_is_known(office: Office, ada: Member) -> None:
    sam = office.staff.join("sam", "support", by=ada.operator)
    visitor = office.browser(sam)
    token = hidden(visitor.page("/console/account"), "csrf_token")
    assert visitor.page("/console/operators").status_code == 403
    answer = visitor.post("/console/operators", {"csrf_token": token, "name": "eve", "role": "administrator"})
    assert answer.status_code == 403
    ended = visitor.post(f"/console/operators/{ada.operator.id.hex()}/end", {"csrf_token": token})
    assert ended.status_code == 403
    assert office.operators.get(ada.operator.id).state == "active"


def test_a_form_without_the_sessions_own_token_is_refused(office: Office, ada: Member) -> None:
    bob = office.staff.join("bob", "officer", by=ada.operator)
    theirs = hidden(office.browser(bob).page("/console/account"), "csrf_token")
    visitor = office.browser(ada)
    for form in ({}, {"csrf_token": ""}, {"csrf_token": theirs}):
        answer = visitor.post(f"/console/operators/{bob.operator.id.hex()}/end", form)
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/cross-site")
    assert office.operators.get(bob.operator.id).state == "active"


def test_letting_somebody_go_ends_their_session_at_once(office: Office, ada: Member) -> None:
    bob = office.staff.join("bob", "officer", by=ada.operator)
    browser = office.browser(bob)
    assert browser.page("/console").status_code == 200
    visitor = office.browser(ada)
    token = hidden(visitor.page("/console/operators"), "csrf_token")
    visitor.post(f"/console/operators/{bob.operator.id.hex()}/end", {"csrf_token": token})
    assert browser.page("/console").status_code == 303


def test_one_asks_and_another_approves_on_the_page(office: Office, ada: Member) -> None:
    sam = office.staff.join("sam", "support", by=ada.operator)
    olga = office.staff.join("olga", "officer", by=ada.operator)
    asked = office.approvals.ask("legal.disclose", "case-7", sam.operator)
    path = f"/console/approvals/{asked.id.hex()}"

    support, officer = office.browser(sam), office.browser(olga)
    page = support.page("/console/approvals")
    assert "case-7" in page.text
    assert f"{path}/give" not in page.text
    assert support.post(f"{path}/give", {"csrf_token": hidden(page, "csrf_token")}).status_code == 403
    waiting = officer.page("/console/approvals")
    assert f"{path}/give" in waiting.text
    assert officer.post(f"{path}/give", {"csrf_token": hidden(waiting, "csrf_token")}).status_code == 303
    assert office.approvals.get(asked.id).state == "approved"
    assert officer.post(f"{path}/give", {"csrf_token": hidden(waiting, "csrf_token")}).status_code == 409


def test_the_home_page_shows_what_a_role_may_see(office: Office, ada: Member) -> None:
    sam = office.staff.join("sam", "support", by=ada.operator)
    assert "can sign in" in office.browser(ada).page("/console").text
    assert "can sign in" not in office.browser(sam).page("/console").text


def test_changing_ones_password_on_the_page(office: Office, ada: Member) -> None:
    visitor = office.browser(ada)
    token = hidden(visitor.page("/console/account"), "csrf_token")
    wrong = visitor.post(
        "/console/account/password", {"csrf_token": token, "old": OTHER_PHRASE, "password": OTHER_PHRASE}
    )
    assert wrong.status_code == 422
    assert 'href="#field-old"' in wrong.text
    right = visitor.post("/console/account/password", {"csrf_token": token, "old": PHRASE, "password": OTHER_PHRASE})
    assert right.status_code == 200
    code = office.staff.next_code(ada.secret)
    assert sign_in(office, office.visitor(), "ada", PHRASE, code).status_code == 401
    assert sign_in(office, office.visitor(), "ada", OTHER_PHRASE, code).status_code == 303


@pytest.mark.parametrize("where", ["zz", "0" * 31, "0" * 33, "ab"])
def test_an_id_that_is_none_is_nowhere(office: Office, ada: Member, where: str) -> None:
    visitor = office.browser(ada)
    token = hidden(visitor.page("/console/account"), "csrf_token")
    assert visitor.post(f"/console/approvals/{where}/give", {"csrf_token": token}).status_code == 404
    assert visitor.post(f"/console/operators/{'0' * 32}/end", {"csrf_token": token}).status_code == 404


@pytest.mark.parametrize("answer", ["", "{}", "[]", "null", '{"rawId": "AAAA"}', '{"rawId": 5}', "x" * 5000])
def test_a_passkey_answer_that_is_none_is_refused(office: Office, ada: Member, answer: str) -> None:
    visitor = office.visitor()
    page = visitor.page("/console/sign-in")
    sent = visitor.post("/console/sign-in/passkey", {"ceremony": hidden(page, "ceremony"), "answer": answer})
    assert sent.status_code == 401
    assert "set-cookie" not in sent.headers
