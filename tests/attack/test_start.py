"""What is not as it must be at the start: exit status 2, one clear line, no traceback, and nothing changed."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.served import EXAMPLE, serving, set_up, troth
from troth import cli
from troth.web import serve

Break = Callable[[Path, Path], object]


def held(folder: Path) -> dict[str, object]:
    """What there is to lose: every file as bytes, and of the two databases every row but the head last published."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not path.name.endswith(("-shm", "-wal")) and path.name != "lock":
            rows = rows_of(path) if path.suffix == ".db" else None
            found |= {f"{name} {table}": each for table, each in rows.items()} if rows else {name: path.read_bytes()}
    return found


def rows_of(database: Path) -> dict[str, list[object]] | None:
    """The rows of every table; None where it is no database, or an empty one."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reading:
        try:
            tables = [name for (name,) in reading.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: reading.execute(f"SELECT * FROM {name}").fetchall() for name in tables if name != "heads"}
        except sqlite3.DatabaseError:
            return None


@pytest.fixture
def folder(used: Path, tmp_path: Path) -> Path:
    """A copy of a data folder to be broken."""
    shutil.copytree(used, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[str]]:
    """``refused(*options)``: the lines that ``troth serve`` writes when it does not start."""

    def run(*options: str) -> list[str]:
        def began(*_: object) -> None:
            raise AssertionError("it starts")

        for name in [name for name in os.environ if name.startswith("TROTH_") and name != "TROTH_PORT"]:
            monkeypatch.delenv(name)
        monkeypatch.setattr(serve, "server", began)
        monkeypatch.setattr(sys, "argv", ["troth", "serve", "--data", str(folder), "--port", "0", *options])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        assert ended.value.code == 2, told.err
        assert told.out == ""
        assert "Traceback" not in told.err
        return told.err.splitlines()

    return run


def root(folder: Path) -> Path:
    return folder / "keys" / "root.key"


def swapped(folder: Path, _: Path) -> None:
    data, keys, aside = folder / "data" / "data.db", folder / "keys" / "keys.db", folder / "aside"
    data.rename(aside)
    keys.rename(data)
    aside.rename(keys)


def of_another(*names: str) -> Break:
    def step(folder: Path, others: Path) -> None:
        for name in names:
            shutil.copyfile(others / name, folder / name)

    return step


def written(name: str, content: str | bytes) -> Break:
    def step(folder: Path, _: Path) -> None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return step


def cut(name: str, to: int) -> Break:
    return lambda folder, _: os.truncate(folder / name, to)


def gone(name: str) -> Break:
    def step(folder: Path, _: Path) -> None:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    return step


def mode(name: str, bits: int) -> Break:
    return lambda folder, _: (folder / name).chmod(bits)


def link_of_it(folder: Path, others: Path) -> None:
    root(folder).unlink()
    root(folder).mkdir()


def edited(folder: Path, _: Path) -> None:
    text = (folder / "policy.md").read_text()
    (folder / "policy.md").write_text(text.replace("privacy@example.com", "somebody@example.com"))


def settings(text: str) -> Break:
    return written("troth.toml", text)


CASES: dict[str, tuple[Break, str]] = {
    "no key file": (gone("keys/root.key"), "is missing"),
    "a key file that others can read": (mode("keys/root.key", 0o644), "others can reach the key file"),
    "a key file that its group can read": (mode("keys/root.key", 0o640), "others can reach the key file"),
    "a folder of keys that others can enter": (mode("keys", 0o755), "others can reach the folder"),
    "the key file of another system": (of_another("keys/root.key"), "not the one that this key store was made with"),
    "a key file that is none": (written("keys/root.key", "hunter2-qzx7marker"), "is not a key file of Troth"),
    "an empty key file": (written("keys/root.key", ""), "is not a key file of Troth"),
    "a folder for a key file": (link_of_it, "is not a plain file"),
    "half a key file": (cut("keys/root.key", 300), "key"),
    "keys and data swapped": (swapped, "swapped"),
    "the keys of another system": (of_another("keys/keys.db"), ""),
    "keys and key file of another system": (of_another("keys/keys.db", "keys/root.key"), "newest copy"),
    "no keys": (gone("keys/keys.db"), "not signed by"),
    "keys that are no database": (written("keys/keys.db", b"\x00qzx7marker" * 5000), "cannot be opened"),
    "no data": (gone("data/data.db"), "entries"),
    "data that is no database": (written("data/data.db", b"\x00qzx7marker" * 5000), "cannot be opened"),
    "half the data": (cut("data/data.db", 20_000), "cannot be opened"),
    "an empty data file": (cut("data/data.db", 0), "entries"),
    "no published log": (gone("evidence"), "published tiles are missing"),
    "no policy": (gone("policy.md"), "No such file"),
    "a damaged policy": (cut("policy.md", 3000), "does not compile"),
    "an empty policy": (written("policy.md", ""), "does not compile"),
    "a policy that is no text": (written("policy.md", b"\xff\xfe\x00qzx7marker"), "is not UTF-8"),
    "an edited policy": (edited, "published with another text"),
    "a configuration that is none": (settings("port = "), "is not TOML"),
    "a configuration that is no text": (written("troth.toml", b"\xff\xfe"), "is not UTF-8"),
    "an unknown setting": (settings("prot = 8420"), "prot"),
    "a word for a port": (settings('port = "qzx7marker"'), "for port"),
    "a port that there is not": (settings("port = 99999"), "for port"),
    "a port of mail that there is not": (settings("[mail]\nport = 99999"), "for mail.port"),
    "one proxy that is no list": (settings('trusted_proxies = "127.0.0.1"'), "for trusted_proxies"),
    "an address that is none": (settings('base_url = "somewhere"'), "base_url"),
    "an address with a blank": (settings('base_url = "https://a b"'), "base_url"),
    "a public address without TLS": (settings('host = "0.0.0.0"'), "tls_certificate"),
    "a certificate that is not there": (settings('tls_certificate = "a.pem"\ntls_key = "a.key"'), "a.pem"),
    "a database of another kind": (settings('data_url = "mysql://root:qzx7marker@db/x"'), "SQLite or PostgreSQL"),
    "a database that does not answer": (
        settings('data_url = "postgresql://nobody:qzx7marker@127.0.0.1:1/x"'),
        "cannot be opened",
    ),
    "no address of a database": (settings('keys_url = "qzx7marker"'), "does not fit"),
    "a database that may lose what it confirmed": (
        settings('data_url = "sqlite:////tmp/x.db?synchronous=off"'),
        "synchronous=off",
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_it_does_not_start_and_says_why_in_one_line(
    what: str, folder: Path, others: Path, refused: Callable[..., list[str]]
) -> None:
    step, words = CASES[what]
    step(folder, others)
    before = held(folder)
    first, *more = refused()
    assert first.startswith("troth: ")
    assert words in first
    assert all(line.startswith("  ") for line in more)  # where a policy does not compile: its faults
    assert "qzx7marker" not in "".join([first, *more]), "a value of a file or setting was repeated"
    after = held(folder)
    lost = [name for name in before if after.get(name) != before[name] and before[name]]
    assert not lost, "something was changed"


def test_sabotage_the_same_folder_unbroken_would_start(refused: Callable[..., list[str]]) -> None:
    with pytest.raises(AssertionError, match="it starts"):
        refused()


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_a_port_that_there_is_not(refused: Callable[..., list[str]], port: str) -> None:
    assert "--port" in refused("--port", port)[-1]


def test_a_port_in_the_environment_that_there_is_not(
    refused: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TROTH_PORT", "many")
    assert "for port" in refused()[0]


def test_a_port_that_somebody_else_has(refused: Callable[..., list[str]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (line,) = refused("--port", str(taken.getsockname()[1]))
    assert "--port" in line


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    done = troth("serve", "--data", tmp_path / "nowhere", expect=2)
    assert "does not exist" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; the next test shows it for root")
def test_a_folder_that_cannot_be_written(folder: Path, refused: Callable[..., list[str]]) -> None:
    folder.chmod(0o500)
    try:
        assert len(refused()) == 1
    finally:
        folder.chmod(0o700)


def test_a_file_where_the_folder_of_the_data_should_be(folder: Path, refused: Callable[..., list[str]]) -> None:
    shutil.rmtree(folder / "data")
    (folder / "data").write_text("")
    (line,) = refused()
    assert "data" in line


def test_a_second_process_is_sent_away_and_the_first_goes_on(tmp_path: Path) -> None:
    with serving(set_up(tmp_path / "data")) as first:
        done = troth("serve", "--data", first.folder, "--port", "0", expect=2)
        (line,) = done.stderr.splitlines()
        assert f"process {first.process.pid}" in line
        assert first.get("/health").status == 200
        assert first.stop() == 0
    assert "Traceback" not in first.said
    assert not (first.folder / "control.sock").exists()


def test_a_log_keeps_its_name_when_it_is_served_elsewhere(folder: Path) -> None:
    with serving(folder) as once:
        first = once.get("/evidence/checkpoint").body.split(b"\n")[0]
    with serving(folder) as again:
        assert again.port != once.port or again.process.pid != once.process.pid
        assert again.get("/evidence/checkpoint").body.split(b"\n")[0] == first
    assert "The evidence holds." in troth("verify", folder).stdout


def test_init_overwrites_nothing(folder: Path) -> None:
    before = held(folder)
    told = troth(
        *("init", folder, "--name", "X", "--contact", "a@example.org", "--hosts", "localhost"),
        *("--policy", EXAMPLE, "--sign-in", "link"),
        expect=2,
    )
    assert "is not empty" in told.stderr
    assert held(folder) == before
