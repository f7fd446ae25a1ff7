"""``troth messages`` and ``troth dkim``, and a system that takes what comes back."""

from __future__ import annotations

import smtplib
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from sqlalchemy import select

from tests.clauses.vendor import Person, vendor_at
from tests.smtp import relay
from tests.use.test_bounces import report
from tests.use.test_sender import until
from troth.cli import troth
from troth.config import Mail
from troth.errors import StartRefused
from troth.store.tables import messages
from troth.web.control import perform
from troth.web.running import start


def test_the_dns_records_are_told_and_keys_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "troth.toml").write_text('[mail]\nsender = "post@example.org"\n', "utf-8")
    run = CliRunner().invoke
    with pytest.raises(StartRefused, match="dkim --new"):
        run(troth, ["dkim", "--data", str(tmp_path)], catch_exceptions=False, standalone_mode=False)
    told = run(troth, ["dkim", "--data", str(tmp_path), "--new", "t1"], standalone_mode=False).output
    assert "t1r._domainkey.example.org. IN TXT" in told
    assert "t1e._domainkey.example.org. IN TXT" in told
    again = run(troth, ["dkim", "--data", str(tmp_path), "--new", "t1"], standalone_mode=False)
    assert isinstance(again.exception, StartRefused)
    assert run(troth, ["dkim", "--data", str(tmp_path)], standalone_mode=False).output == told


def test_what_comes_back_by_mail_reaches_its_message(tmp_path: Path) -> None:
    with vendor_at(tmp_path / "vendor") as vendor, relay() as post:
        vendor.system.close()
        mail = Mail(
            host=post.host,
            port=post.port,
            sender="post@example.org",
            bounces="bounce@example.org",
            inbound="127.0.0.1:0",
        )
        vendor.system = start(msgspec.structs.replace(vendor.system.config, mail=mail), clock=vendor.clock)
        system, workers = vendor.system, vendor.system.start_worker()
        try:
            vendor.submit("newsletter", Person())
            (letter,) = post.wait(1)
            assert letter.sender.startswith("bounce+")
            assert workers.inbound is not None
            until(lambda: system.messages.counts() == {"sent": 1})
            with smtplib.SMTP("127.0.0.1", workers.inbound.port, timeout=10) as smtp:
                smtp.sendmail("", [letter.sender], report())
            states = system.store.read(lambda c: c.execute(select(messages.c.state)).scalars().all())
            assert states == ["bounced"]
            found = perform(system, {"do": "messages"})
            assert (found["states"], found["unresolved"], found["away"]) == ({"bounced": 1}, [], None)
        finally:
            workers.close()
