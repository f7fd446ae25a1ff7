"""Nobody's password, token or second factor stands in a log, mail, error page or file: planted, and looked for."""

from __future__ import annotations

import base64
import logging
from pathlib import Path

import pytest

from tests.clauses.test_accounts import act, member, sign_in
from tests.clauses.test_second_factor import set_up
from tests.clauses.vendor import Person, Vendor, word
from tests.residue import find, spellings
from tests.use.staff import OTHER_PHRASE
from troth.use import totp
from troth.use.approvals import LASTS_MS


def test_what_was_planted_is_found_nowhere(
    vendor: Vendor, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    ann, first, second, wrong = Person(), *(f"{word()} {word()} {word()}" for _ in range(3))
    answers: list[str] = []
    browser = member(vendor, ann, first)
    answers.append(browser.answer.body.decode())
    app = set_up(vendor, browser)  # its page shows the codes, once: that answer is the person's own
    cookies = {cookie for cookie in browser.cookies.values() if len(cookie) > 30}

    for password in (wrong, first):  # refused, and let in up to the second factor
        sign_in(browser, ann.email, password)
        answers.append(browser.answer.body.decode())
    for code in ("000000", app.paper[1][:-1] + "x", app.code()):
        browser.send(browser.address, code=code)
        answers.append(browser.answer.body.decode())
    cookies |= {cookie for cookie in browser.cookies.values() if len(cookie) > 30}
    act(browser, "/account/password", old=wrong, password=second)
    act(browser, "/account/password", old=first, password="short")
    act(browser, "/account/password", old=first, password=second)
    answers.append(browser.answer.body.decode())
    browser.http.request("POST", "/account/sign-in", json={"email": ann.email, "password": second})
    browser.http.request("GET", f"/account/sign-in?password={second}")  # a form that was sent by mistake as a link
    browser.http.request("POST", "/console/sign-in", data={"name": "ada", "password": second, "code": "123456"})

    keys, staff = product_and_staff(vendor)
    vendor.system.inspector.now()
    mails = "\n".join(letter.text for letter in vendor.letters())
    vendor.clock.advance(LASTS_MS)
    vendor.system.work()

    secret = base64.b32encode(app.secret).decode()
    words = {first, second, wrong, OTHER_PHRASE}
    paper = {code for code in app.paper if code != app.paper[0]}
    needles = spellings(words | paper | {secret}) | spellings({app.secret, staff})
    needles |= spellings({each.encode() for each in cookies | keys})
    ours = [record for record in caplog.records if not record.name.startswith("http")]
    said = "\n".join([*capfd.readouterr(), mails, *answers, *(f"{r.getMessage()} {r.__dict__}" for r in ours)]).encode()
    assert {how for needle, how in needles.items() if needle in said} == set()
    assert find(vendor.folder, words | paper | {secret}) == []
    assert find(vendor.folder, {app.secret, staff, *(each.encode() for each in cookies | keys)}) == []


def product_and_staff(vendor: Vendor) -> tuple[set[str], bytes]:
    """A product's key, and the app's secret of somebody of staff who also mistypes their password."""
    _, key = vendor.system.products.create("main", "Desktop")
    vendor.browser().http.request("POST", "/api/v1/decisions", headers={"authorization": f"Bearer {key}"}, json={})
    own, sign_in = vendor.system.operators, vendor.system.sign_in
    link = own.first("ada")
    secret, sealed = sign_in.new_secret(own.invited(link))
    cookie = f"{word()}{word()}{word()}"
    code = totp.code(secret, totp.step_at(vendor.clock.now()))
    sign_in.join_by_password(link, OTHER_PHRASE, sealed, code, cookie)
    vendor.browser().open("/console/sign-in")
    return {key, link, cookie}, secret


def test_a_secret_that_is_written_down_is_noticed(vendor: Vendor) -> None:
    ann, phrase = Person(), f"{word()} {word()}"
    member(vendor, ann, phrase)
    assert find(vendor.folder, {phrase}) == []
    (Path(vendor.folder) / "debug.log").write_text(f"sign-in of somebody with {base64.b64encode(phrase.encode())!r}")
    assert find(vendor.folder, {phrase})
