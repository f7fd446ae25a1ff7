"""Invariant 3, seen at the socket: while the commit of an answer's entry is held up, not one byte of it leaves."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from troth.cli.demo import EXAMPLE, served
from troth.cli.visitor import Visitor
from troth.cli.walk import ANN, Show, Stage, link_in, submit
from troth.config import Config
from troth.store import Lane, Write
from troth.use.opening import Prepared
from troth.web.serve import listen, server

Message = MutableMapping[str, Any]
LISTEN_SECONDS = 0.15
FIELDS = frozenset({"email", "first_name"})


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The example vendor on a real socket, with Annabeth registered."""
    with served(tmp_path_factory.mktemp("spy") / "data", 0, EXAMPLE, None, Show(quiet=True)) as stage:
        submit(stage, Visitor(stage.port, stage.host), stage.system.policy.points["registration"], ANN)
        yield stage


class Spy:
    """One request on a raw socket, listened to while each commit of D is held up before it begins."""

    def __init__(self, stage: Stage, port: int, request: bytes) -> None:
        database = stage.system.store.data
        commit = database.commit
        self.early: list[bool] = []  # for each commit: had anything arrived before it
        self.answer = b""
        self._turn = threading.Lock()
        with socket.create_connection(("127.0.0.1", port), timeout=30) as wire:

            def held(transaction: Any) -> None:
                with self._turn:
                    self.early.append(bool(select.select([wire], [], [], LISTEN_SECONDS)[0]))
                commit(transaction)

            database.commit = held  # type: ignore[method-assign]  # the moment before the entry is durable
            try:
                wire.sendall(request)
                while chunk := wire.recv(1 << 16):
                    self.answer += chunk
                stage.system.store.writer.control(lambda: None).result(30)  # what was handed over is committed
            finally:
                database.commit = commit  # type: ignore[method-assign]

    @property
    def status(self) -> int:
        return int(self.answer.split(b" ", 2)[1])


def asking(stage: Stage, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {stage.host}", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def centre(stage: Stage) -> dict[str, str]:
    """Annabeth's cookie in her privacy centre."""
    visitor, before = Visitor(stage.port, stage.host), len(stage.box.letters)
    visitor.open("/privacy")
    visitor.send("/privacy", email=ANN["email"])
    visitor.open(link_in(stage.letter(before), "/privacy/open/"))
    visitor.send()
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())}


@pytest.mark.parametrize("path", ["/privacy/copy.json", "/privacy/data"])
def test_nothing_of_a_persons_copy_leaves_before_its_entry_is_committed(stage: Stage, path: str) -> None:
    spy = Spy(stage, stage.port, asking(stage, "GET", path, {"Accept": "text/html", **centre(stage)}))
    assert spy.status == 200
    assert ANN["email"].encode() in spy.answer
    assert spy.early
    assert not any(spy.early)


def test_nothing_of_a_decision_leaves_before_its_entry_is_committed(stage: Stage) -> None:
    products, tenant = stage.system.products, stage.system.config.tenant
    product, key = products.create(tenant, "Licence server")
    products.register(product, "customer-1")
    body = json.dumps({"reference": "customer-1", "purpose": "account", "fields": ["reference"]}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Accept": "application/json"}
    spy = Spy(stage, stage.port, asking(stage, "POST", "/api/v1/decisions", headers, body))
    assert spy.status == 200, spy.answer
    assert spy.early
    assert not any(spy.early)


@pytest.fixture
def reading(stage: Stage, tmp_path: Path) -> Iterator[Callable[[Callable[[bytes], Awaitable[dict[str, Any]]]], int]]:
    """Serves an application that answers with what ``read`` gives for Annabeth; its port."""
    running: list[tuple[Any, threading.Thread]] = []

    def serve(read: Callable[[bytes], Awaitable[dict[str, Any]]]) -> int:
        sid = stage.system.vault.find(stage.system.config.tenant, "email", ANN["email"])
        assert sid is not None

        async def app(scope: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
            if scope["type"] == "lifespan":
                while (await receive())["type"] != "lifespan.shutdown":
                    await send({"type": "lifespan.startup.complete"})
                await send({"type": "lifespan.shutdown.complete"})
                return
            body = json.dumps(await read(sid)).encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

        config = Config(data_folder=str(tmp_path), port=0)
        bound = listen(config)
        bound.listen()
        web = server(app, config)
        thread = threading.Thread(target=web.run, args=([bound],), daemon=True)
        thread.start()
        running.append((web, thread))
        return int(bound.getsockname()[1])

    yield serve
    for web, thread in running:
        web.should_exit = True
        thread.join(20)


def test_nothing_that_the_gate_opened_leaves_before_its_block_is_committed(
    stage: Stage, reading: Callable[..., int]
) -> None:
    opening = stage.system.gate.open("account")

    async def read(sid: bytes) -> dict[str, Any]:
        return (await opening.aread(stage.system.config.tenant, sid, FIELDS)).values

    spy = Spy(stage, reading(read), asking(stage, "GET", "/", {}))
    assert ANN["email"].encode() in spy.answer
    assert spy.early == [False]


def test_sabotage_an_answer_that_does_not_wait_is_seen_at_the_socket(stage: Stage, reading: Callable[..., int]) -> None:
    opening, gate = stage.system.gate.open("account"), stage.system.gate

    async def hasty(sid: bytes) -> dict[str, Any]:
        tenant = stage.system.config.tenant
        found = opening.open_rows(tenant, sid, FIELDS, gate.fetch(tenant, sid), gate.clock.now())
        assert isinstance(found, Prepared)
        gate.store.submit(Write(lambda tx: gate.reads.append(tx, [found.read]), lane=Lane.READ))
        return found.values

    spy = Spy(stage, reading(hasty), asking(stage, "GET", "/", {}))
    assert ANN["email"].encode() in spy.answer
    assert any(spy.early)
