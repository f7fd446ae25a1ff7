"""Staff: invited once, signed in by two factors, let go at once, and nothing told to who guesses."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

import troth
from tests.use.staff import OTHER_PHRASE, PHRASE, Staff
from troth.errors import Conflict, Invalid, TrothError, Unproven
from troth.store.tables import operators, sessions
from troth.use.operators import INVITATION_MS
from troth.use.roles import ROLES, SCOPES, may
from troth.use.sessions import IDLE_MS, LIFE_MS

SOURCE = Path(troth.__file__).parent


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def staff(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Staff]:
    if request.param == "sqlite":
        made = Staff(tmp_path / "troth")
        yield made
        made.close()
        return
    data, keys = request.getfixturevalue("postgres_data"), request.getfixturevalue("postgres_keys")
    urls = data.database(), keys.database()
    made = Staff(tmp_path / "troth", data_url=urls[0], keys_url=urls[1])
    yield made
    made.close()
    data.give_back(urls[0])
    keys.give_back(urls[1])


def test_the_first_link_makes_an_administrator_once(staff: Staff) -> None:
    staff.join("ada")
    assert [(o.name, o.role, o.state) for o in staff.operators.all()] == [("ada", "administrator", "active")]
    with pytest.raises(Conflict):
        staff.operators.first("eve")


def test_a_lost_first_link_can_be_had_again(staff: Staff) -> None:
    lost, found = staff.operators.first("ada"), staff.operators.first("ada")
    assert staff.operators.invited(lost).id == staff.operators.invited(found).id
    secret, sealed = staff.sign_in.new_secret(staff.operators.invited(found))
    staff.sign_in.join_by_password(found, PHRASE, sealed, staff.code(secret), staff.cookie())
    with pytest.raises(Unproven):
        staff.operators.invited(lost)


def test_an_invitation_works_once_and_for_three_days(staff: Staff) -> None:
    ada = staff.join("ada").operator
    token = staff.operators.invite("bob", "officer", ada)
    operator = staff.operators.invited(token)
    secret, sealed = staff.sign_in.new_secret(operator)
    staff.sign_in.join_by_password(token, PHRASE, sealed, staff.code(secret), staff.cookie())
    with pytest.raises(Unproven):
        staff.sign_in.join_by_password(token, OTHER_PHRASE, sealed, staff.next_code(secret), staff.cookie())
    late = staff.operators.invite("cy", "support", ada)
    staff.clock.advance(INVITATION_MS)
    with pytest.raises(Unproven):
        staff.operators.invited(late)


def test_the_token_of_an_invitation_is_nowhere_in_the_store(staff: Staff) -> None:
    token = staff.operators.first("ada")
    for file in staff.shop.folder.rglob("*"):
        if file.is_file():
            assert token.encode() not in file.read_bytes()


@pytest.mark.parametrize("name", ["", "A", "ann lee", "ann@example.org", "-ann", "a" * 41, "أحمد"])
def test_a_name_is_plain(staff: Staff, name: str) -> None:
    with pytest.raises(Invalid):
        staff.operators.first(name)


def test_a_name_is_taken_once_and_a_role_is_one_of_four(staff: Staff) -> None:
    ada = staff.join("ada").operator
    with pytest.raises(Conflict):
        staff.operators.invite("ada", "officer", ada)
    with pytest.raises(Invalid):
        staff.operators.invite("bob", "owner", ada)


def test_signing_in_takes_name_password_and_code(staff: Staff) -> None:
    ada = staff.join("ada")
    cookie = staff.cookie()
    operator = staff.sign_in.sign_in_by_password("ada", PHRASE, staff.next_code(ada.secret), cookie)
    session = staff.sign_in.session(cookie)
    assert session is not None
    assert (session.operator, session.name, session.role) == (operator.id, "ada", "administrator")
    assert len(session.csrf) == 32


def test_a_wrong_name_password_or_code_gets_the_same_words(staff: Staff) -> None:
    ada = staff.join("ada")
    code = staff.next_code(ada.secret)
    said = set()
    for name, password, typed in (
        ("eve", PHRASE, code),
        ("ada", OTHER_PHRASE, code),
        ("ada", PHRASE, "000000"),
        ("", "", ""),
        ("ada' or 1=1 --", PHRASE, code),
    ):
        with pytest.raises(Unproven) as caught:
            staff.sign_in.sign_in_by_password(name, password, typed, staff.cookie())
        said.add((str(caught.value), caught.value.clause, caught.value.gaps))
    assert len(said) == 1
    assert len(staff.entries("operator.refused")) == 5
    assert all(entry["actor"] == "visitor" for entry in staff.entries("operator.refused"))
    staff.sign_in.sign_in_by_password("ada", PHRASE, code, staff.cookie())


def test_a_code_lets_in_once_even_when_two_try_at_once(staff: Staff) -> None:
    ada = staff.join("ada")
    code = staff.next_code(ada.secret)
    outcomes: list[str] = []

    def attempt(cookie: str) -> None:
        try:
            staff.sign_in.sign_in_by_password("ada", PHRASE, code, cookie)
            outcomes.append("in")
        except Unproven:
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt, args=(staff.cookie(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["in", "refused", "refused", "refused"]


def test_the_store_holds_no_password_no_cookie_and_no_secret_in_plain(staff: Staff) -> None:
    ada = staff.join("ada")
    row = staff.store.read(lambda c: c.execute(select(operators)).one())
    assert row.password.startswith("$argon2id$")
    assert ada.secret not in row.totp
    held = staff.store.read(lambda c: c.execute(select(sessions.c.hash)).scalar_one())
    assert len(held) == 32
    for file in staff.shop.folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            for secret in (PHRASE.encode(), ada.cookie.encode(), ada.secret):
                assert secret not in content


def test_a_session_dies_when_left_idle_and_after_eight_hours(staff: Staff) -> None:
    ada = staff.join("ada")
    staff.clock.advance(IDLE_MS - 1)
    assert staff.sign_in.session(ada.cookie) is not None
    staff.clock.advance(IDLE_MS - 1)
    assert staff.sign_in.session(ada.cookie) is not None, "being used keeps it awake"
    staff.clock.advance(IDLE_MS)
    assert staff.sign_in.session(ada.cookie) is None

    again = staff.cookie()
    staff.sign_in.sign_in_by_password("ada", PHRASE, staff.next_code(ada.secret), again)
    passed = 0
    while passed < LIFE_MS:
        assert staff.sign_in.session(again) is not None
        staff.clock.advance(IDLE_MS - 1)
        passed += IDLE_MS - 1
    assert staff.sign_in.session(again) is None


def test_signing_out_ends_this_session_only(staff: Staff) -> None:
    ada = staff.join("ada")
    other = staff.cookie()
    staff.sign_in.sign_in_by_password("ada", PHRASE, staff.next_code(ada.secret), other)
    session = staff.sign_in.session(ada.cookie)
    assert session is not None
    staff.sign_in.sign_out(ada.operator, session.hash)
    assert staff.sign_in.session(ada.cookie) is None
    assert staff.sign_in.session(other) is not None


def test_who_is_let_go_is_out_at_once_and_stays_out(staff: Staff) -> None:
    ada = staff.join("ada").operator
    bob = staff.join("bob", by=ada)
    staff.operators.end(bob.operator.id, ada)
    assert staff.sign_in.session(bob.cookie) is None
    with pytest.raises(Unproven):
        staff.sign_in.sign_in_by_password("bob", PHRASE, staff.next_code(bob.secret), staff.cookie())
    with pytest.raises(Conflict):
        staff.operators.end(bob.operator.id, ada)


def test_the_last_administrator_cannot_go(staff: Staff) -> None:
    ada = staff.join("ada").operator
    with pytest.raises(Conflict):
        staff.operators.end(ada.id, ada)
    with pytest.raises(Conflict):
        staff.operators.invite_again(ada.id, ada)
    second = staff.join("bea", "administrator", by=ada).operator
    staff.operators.end(ada.id, second)


def test_who_lost_their_phone_is_invited_anew_and_the_old_means_are_dead(staff: Staff) -> None:
    ada = staff.join("ada").operator
    bob = staff.join("bob", by=ada)
    token = staff.operators.invite_again(bob.operator.id, ada)
    assert staff.sign_in.session(bob.cookie) is None
    with pytest.raises(Unproven):
        staff.sign_in.sign_in_by_password("bob", PHRASE, staff.next_code(bob.secret), staff.cookie())
    operator = staff.operators.invited(token)
    secret, sealed = staff.sign_in.new_secret(operator)
    staff.sign_in.join_by_password(token, OTHER_PHRASE, sealed, staff.code(secret), staff.cookie())
    assert operator.id == bob.operator.id


def test_a_new_password_needs_the_old_one_and_ends_other_sessions(staff: Staff) -> None:
    ada = staff.join("ada")
    other = staff.cookie()
    staff.sign_in.sign_in_by_password("ada", PHRASE, staff.next_code(ada.secret), other)
    session = staff.sign_in.session(other)
    assert session is not None
    with pytest.raises(Invalid) as caught:
        staff.sign_in.change_password(ada.operator, "not the old password", OTHER_PHRASE, session.hash)
    assert caught.value.gaps == ("old: wrong-password",)
    staff.sign_in.change_password(ada.operator, PHRASE, OTHER_PHRASE, session.hash)
    assert staff.sign_in.session(ada.cookie) is None
    assert staff.sign_in.session(other) is not None
    code = staff.next_code(ada.secret)
    with pytest.raises(Unproven):
        staff.sign_in.sign_in_by_password("ada", PHRASE, code, staff.cookie())
    staff.sign_in.sign_in_by_password("ada", OTHER_PHRASE, code, staff.cookie())


def test_a_secret_from_another_form_is_refused(staff: Staff) -> None:
    ada = staff.join("ada").operator
    bob, eve = staff.operators.invite("bob", "officer", ada), staff.operators.invite("eve", "officer", ada)
    secret, sealed = staff.sign_in.new_secret(staff.operators.invited(bob))
    for forged in (sealed, "zz", "", "00" * 60):
        with pytest.raises(Invalid):
            staff.sign_in.join_by_password(eve, PHRASE, forged, staff.code(secret), staff.cookie())


def test_every_act_is_in_the_ledger_with_the_operators_id(staff: Staff) -> None:
    ada = staff.join("wynn")
    bob = staff.join("bob", by=ada.operator)
    staff.operators.end(bob.operator.id, ada.operator)
    told = [(entry["kind"], entry["actor"]) for entry in staff.entries("operator")]
    assert told == [
        ("operator.invited", "system"),
        ("operator.joined", ada.operator.actor),
        ("operator.signed-in", ada.operator.actor),
        ("operator.invited", ada.operator.actor),
        ("operator.joined", bob.operator.actor),
        ("operator.signed-in", bob.operator.actor),
        ("operator.ended", ada.operator.actor),
    ]
    assert all(entry["mechanism"] == "operator.sign-in" for entry in staff.entries("operator"))
    assert "wynn" not in str(staff.entries()), "a name that no hex id can hold by chance"


def test_no_role_may_everything_and_unknown_roles_nothing() -> None:
    everything = frozenset().union(*SCOPES.values())
    assert set(SCOPES) == set(ROLES)
    for role in ROLES:
        assert SCOPES[role] < everything
        assert may(role, "")
    assert not any(may("owner", scope) for scope in everything)
    assert not any(may("auditor", scope) for scope in everything if not scope.endswith(".read"))
    assert not may("administrator", "subjects.find"), "who runs the system does not read people's data"


def test_every_scope_that_a_role_has_is_asked_for_somewhere() -> None:
    """By its name, in quotes or behind ``operator:``, outside of the table of roles."""
    source = "".join(f.read_text("utf-8") for f in SOURCE.rglob("*.py") if f != SOURCE / "use" / "roles.py")
    everything = frozenset().union(*SCOPES.values())
    assert [scope for scope in sorted(everything) if not re.search(rf"[\"':]{re.escape(scope)}[\"']", source)] == []


def test_refusals_carry_no_secret(staff: Staff) -> None:
    ada = staff.join("ada")
    with pytest.raises(TrothError) as caught:
        staff.sign_in.sign_in_by_password("ada", OTHER_PHRASE, staff.code(ada.secret), staff.cookie())
    assert OTHER_PHRASE not in repr(caught.value)
