"""From ``troth init`` to a served system, and the commands beside it: one process works, the others ask it."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.served import serving, troth
from troth.cli import troth as command
from troth.cli.setting import postbox
from troth.cli.walk import link_in
from troth.errors import NotFound, TrothError
from troth.evidence.verify import verify_folder
from troth.store.lock import Locked

ANN = "annabeth.fennimore@example.org"
ANSWERS = ("--name", "Quillwright Ltd", "--contact", "privacy@quillwright.example", "--hosts", "localhost")
INVITATION = re.compile(r"http://localhost:8420/console/invitation/[\w-]{43}")


def said(*words: str | Path) -> str:
    """What a command prints that runs here, in another process than the server's. Raises what it is refused with."""
    done = CliRunner().invoke(command, [str(word) for word in words], standalone_mode=False)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_five_questions_make_a_system_that_only_its_owner_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    told = said("init", folder, *ANSWERS, "--policy", "", "--sign-in", "account")
    assert INVITATION.search(told)
    assert stat.S_IMODE((folder / "keys" / "root.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    policy = (folder / "policy.md").read_text("utf-8")
    assert "name: Quillwright Ltd" in policy
    assert "name: Example Backup Ltd" not in policy
    root = (folder / "keys" / "root.key").read_bytes()
    with pytest.raises(TrothError, match="not empty"):
        said("init", folder, *ANSWERS, "--policy", "", "--sign-in", "link")
    assert (folder / "keys" / "root.key").read_bytes() == root


def test_beside_a_served_system_every_command_asks_it(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    first = INVITATION.search(said("init", folder, *ANSWERS, "--policy", "", "--sign-in", "account"))
    with postbox() as box:
        settings = folder / "troth.toml"
        settings.write_text(settings.read_text("utf-8").replace("port = 25\n", f"port = {box.port}\n"), "utf-8")
        with serving(folder) as server:
            health = server.get("/health")
            assert (health.status, health.json()["status"]) == (200, "ok")

            second = troth("serve", "--data", folder, "--port", "0", expect=2)
            assert "another Troth process" in second.stderr
            assert len(second.stderr.strip().splitlines()) == 1
            with pytest.raises(Locked):
                said("serve", "--data", folder, "--port", "0")

            values = {"name": "Annabeth Fennimore", "email": ANN}
            body = {"point": "newsletter", "surface": "site:www", "values": values, "consents": ["newsletter"]}
            assert server.send("/api/v1/submissions", body).status == 201
            link = link_in(box.wait(1, 60)[0], "/confirm/")
            assert server.ask("POST", link, b"", {"content-type": "application/x-www-form-urlencoded"}).status == 200

            invited = INVITATION.search(said("operator", "--data", folder))
            assert invited
            assert first
            assert invited[0] != first[0]
            key = said("product", "Desktop", "--data", folder, "--surface", "product:desktop").strip()
            asked = {"reference": "customer-1", "purpose": "account", "fields": ["reference"]}
            told = server.send("/api/v1/decisions", asked, authorization=f"Bearer {key}")
            assert told.status in (200, 404), told.body  # the key is good at once; the customer is unknown
            assert server.send("/api/v1/decisions", asked, authorization="Bearer another").status == 401

            copy = json.loads(said("subject", "access", ANN, "--data", folder))
            assert [record["values"] for record in copy["records"]] == [values]
            assert "marketing is stopped" in said("subject", "object", ANN, "marketing", "--data", folder)
            erased = json.loads(said("subject", "erase", ANN, "--yes", "--data", folder))
            assert erased["state"] == "gone"
            assert erased["not_covered"]
            with pytest.raises(TrothError, match="nobody is held under this address"):
                said("subject", "access", ANN, "--data", folder)

            rows = {row["clause"]: row for row in json.loads(said("prove", "--json", "--data", folder))}
            assert [clause for clause, row in rows.items() if row["status"] == "FAIL"] == []
            assert rows["rights.erase"]["entries"] >= 2
            assert server.get("/health").status == 200
            assert ANN not in server.said
        assert server.stop() == 0

    assert verify_folder(folder / "evidence").ok
    with pytest.raises(NotFound):  # now the command opens the system itself, and says the same
        said("subject", "access", ANN, "--data", folder)
