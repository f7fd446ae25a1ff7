"""``troth bench nginx``: what the generated map costs an nginx that stands before a site.

One nginx with one worker, two servers in it: one passes everything on to the vendor's server, the other does so with
the generated map and its headers. The vendor's server is an nginx of its own. Turns alternate in one run, and what
counts is the median of the rounds' ratios, in answers a second and in the processor time of that worker. The question
that is written after a page is left out: what it costs is Troth's own answer.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from troth.policy.compiler import compile_policy
from troth.policy.nginx import BANNER, nginx_conf
from troth.policy.site import Site, site_of

ROOT = Path(__file__).parents[1]
BAR = 0.7
AT_ONCE = 32  # requests on their way on one connection: the load costs less than the answers
CONNECTIONS = 8
TICKS = os.sysconf("SC_CLK_TCK")
FRAME = """
daemon off; master_process off; pid FOLDER/NAME.pid; error_log FOLDER/NAME.log warn; USER
events { worker_connections 512; }
http {
    access_log off; keepalive_requests 1000000000; types { text/html html; text/css css; text/javascript js; }
    client_body_temp_path FOLDER/NAME-a; proxy_temp_path FOLDER/NAME-b; fastcgi_temp_path FOLDER/NAME-c;
    uwsgi_temp_path FOLDER/NAME-d; scgi_temp_path FOLDER/NAME-e;
    include FOLDER/NAME-sites.conf;
}
"""
VENDOR = "server { listen unix:FOLDER/vendor.sock; root FOLDER; }"
PLAIN = """
server {
    listen 127.0.0.1:PORT;
    location / {
        proxy_pass http://unix:FOLDER/vendor.sock:;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header Connection "";
    }
}
"""


class Turn(NamedTuple):
    """Answers a second, and the microseconds of the worker's processor for each."""

    rate: float
    micros: float


class Front(NamedTuple):
    """A running nginx: its process, and the ports of the two servers in it."""

    pid: int
    ports: dict[str, int]


def free_port() -> int:
    """A port of loopback that nobody uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def program() -> str:
    """The nginx there is; ``SystemExit`` says what to install."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    return found


def answers(at: str | tuple[str, int]) -> bool:
    """Whether somebody listens there."""
    with socket.socket(socket.AF_UNIX if isinstance(at, str) else socket.AF_INET) as attempt:
        return attempt.connect_ex(at) == 0


@contextlib.contextmanager
def running(folder: Path, name: str, sites: str, at: str | tuple[str, int]) -> Iterator[int]:
    """An nginx with these sites as long as the block lasts; its process id. It is there when it answers ``at``."""
    (folder / f"{name}-sites.conf").write_text(sites.replace("FOLDER", str(folder)))
    frame = FRAME.replace("FOLDER", str(folder)).replace("NAME", name)
    file = folder / f"{name}.conf"
    file.write_text(frame.replace("USER", "user root;" if os.geteuid() == 0 else ""))
    process = subprocess.Popen([program(), "-p", str(folder), "-c", str(file)])
    try:
        until = time.monotonic() + 20
        while not answers(at):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"nginx does not start: {(folder / f'{name}.log').read_text()}")
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def servers(site: Site, extra: str = "") -> Iterator[Front]:
    """The vendor's server, and before it the nginx with both servers. ``extra`` stands in ours besides: for tests."""
    with tempfile.TemporaryDirectory(prefix="troth-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        (folder / "index.html").write_text(f"<!doctype html><html><body>{'<p>Shop</p>' * 400}</body></html>")
        (folder / "script.js").write_text("var x = 1;" * 400)
        stack.enter_context(running(folder, "vendor", VENDOR, str(folder / "vendor.sock")))
        ports = {"plain": free_port(), "map": free_port()}
        ours = nginx_conf(
            site,
            vendor=f"unix:{folder}/vendor.sock:",
            troth="127.0.0.1:1",
            listen=f"127.0.0.1:{ports['map']}",
            names=("www.example.com",),
        ).replace(f"add_after_body {BANNER};", extra)
        sites = PLAIN.replace("PORT", str(ports["plain"])) + ours
        pid = stack.enter_context(running(folder, "front", sites, ("127.0.0.1", ports["map"])))
        yield Front(pid, ports)


def kinds(site: Site) -> dict[str, bytes]:
    """What is asked for: a page before a choice, a page after a yes among other cookies, a script."""
    flag = f"{site.choices.cookie}={site.choices.value(site.choices.purposes)}"
    others = "sessionid=q7Zb2kXw9LmN4pRt6vYc1A; theme=plain"

    def request(path: str, accept: str, *cookies: str) -> bytes:
        cookie = f"Cookie: {'; '.join(cookies)}\r\n" if cookies else ""
        return f"GET {path} HTTP/1.1\r\nHost: www.example.com\r\nAccept: {accept}\r\n{cookie}\r\n".encode()

    return {
        "a page before a choice": request("/index.html", "text/html"),
        "a page after a yes": request("/index.html", "text/html", others, flag),
        "a script": request("/script.js", "*/*", others, flag),
    }


def length_of(port: int, request: bytes) -> int:
    """The bytes of an answer, the same each time; ``SystemExit`` where it is no 200."""
    with socket.create_connection(("127.0.0.1", port), 10) as asking:
        asking.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            got += asking.recv(65536)
        head = got.partition(b"\r\n\r\n")[0].lower()
        if not head.startswith(b"http/1.1 200") or b"content-length: " not in head:
            raise SystemExit(f"nginx answers otherwise than it should: {head.decode('latin-1')}")
        return len(head) + 4 + int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])


def spent(pid: int) -> int:
    """The ticks of processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def turn(front: Front, server: str, request: bytes, seconds: float) -> Turn:
    """Ask one server for the same thing again and again."""
    port = front.ports[server]
    whole = length_of(port, request) * AT_ONCE
    asking = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(CONNECTIONS)]
    began, before, answers = time.monotonic(), spent(front.pid), 0
    while time.monotonic() - began < seconds:
        for one in asking:
            one.sendall(request * AT_ONCE)
        for one in asking:
            left = whole
            while left:
                got = len(one.recv(min(left, 1 << 20)))
                if not got:
                    raise SystemExit("nginx closed a connection")
                left -= got
            answers += AT_ONCE
    elapsed, ticks = time.monotonic() - began, spent(front.pid) - before
    for one in asking:
        one.close()
    return Turn(answers / elapsed, ticks / TICKS / answers * 1e6)


def measure(seconds: float, rounds: int, extra: str = "") -> dict[str, dict[str, list[Turn]]]:
    """What was asked for -> server -> one turn a round."""
    compiled = compile_policy((ROOT / "policies/example/policy.md").read_text("utf-8"), filename="policy.md").policy
    assert compiled is not None
    site, found = site_of(compiled), {}
    with servers(site, extra) as front:
        for kind, request in kinds(site).items():
            turns: dict[str, list[Turn]] = {server: [] for server in front.ports}
            for number in range(rounds + 1):
                for server in front.ports if number % 2 else reversed(front.ports):
                    one = turn(front, server, request, seconds)
                    if number:  # the first warms up
                        turns[server].append(one)
            found[kind] = turns
    return found


def ratios(turns: dict[str, list[Turn]]) -> Turn:
    """The medians, over the rounds, of what the map leaves: of the rate, and of the answers for the same processor."""
    pairs = list(zip(turns["map"], turns["plain"], strict=True))
    return Turn(
        statistics.median(ours.rate / plain.rate for ours, plain in pairs),
        statistics.median(plain.micros / ours.micros for ours, plain in pairs),
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and say by the exit status whether the bar is met."""
    parser = argparse.ArgumentParser(prog="troth bench nginx", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each turn is")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args(arguments)
    found = measure(chosen.seconds, chosen.rounds)
    for kind, turns in found.items():
        rate, processor = ratios(turns)
        told = ", ".join(
            f"{server} {statistics.median(one.rate for one in each):.0f}/s" for server, each in turns.items()
        )
        print(f"{kind}: {told}; with the map {rate:.2f} of the rate, {processor:.2f} for the same processor time")
    met = all(min(ratios(turns)) >= BAR for turns in found.values())
    print(f"{'met' if met else 'NOT met'}: at least {BAR} of the same nginx without the map")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
