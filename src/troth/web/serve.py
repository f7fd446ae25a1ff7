"""Listening: uvicorn with uvloop and httptools, TLS 1.2 or newer, and no public address without it.

Clause ``protect.transit``, mechanism ``transit.tls``: what cannot be reached in plain cannot be overheard. There is
no setting that turns this off; a proxy that ends TLS on this machine reaches Troth over loopback.
"""

from __future__ import annotations

import ipaddress
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from troth.config import Config
from troth.errors import StartRefused
from troth.web.direct import Direct

TLS_FLOOR = ssl.TLSVersion.TLSv1_2
BACKLOG = 2048
HEADER_SECONDS = 75  # an idle connection is closed after this
GRACE_SECONDS = 10  # what is under way may finish when the server stops


def is_loopback(host: str) -> bool:
    """True where ``host`` can only be reached from this machine: every address it stands for is loopback's."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    if not host:
        return False  # an empty host means every address there is
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's TLS context: 1.2 or newer, forward secrecy, no compression. StartRefused where a file does not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = TLS_FLOOR
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")  # for 1.2; 1.3 has only good ones
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as fault:
        raise StartRefused(
            f"the TLS certificate {certificate.name} and its key {key.name} cannot be used: {type(fault).__name__}; "
            "check that both files are there, in PEM, and belong together",
            clause="protect.transit",
        ) from fault
    return context


def check_address(config: Config) -> ssl.SSLContext | None:
    """The TLS context to listen with, or None on loopback without one.

    Raises ``StartRefused`` for a public address without TLS, and for a certificate without its key.
    """
    if bool(config.tls_certificate) != bool(config.tls_key):
        raise StartRefused("tls_certificate and tls_key belong together: set both", clause="protect.transit")
    if config.tls_certificate:
        return tls_context(config.path(config.tls_certificate), config.path(config.tls_key))
    if not is_loopback(config.host):
        raise StartRefused(
            f"{config.host or 'every address'} can be reached from elsewhere, and no TLS certificate is set: set "
            "tls_certificate and tls_key, or listen on 127.0.0.1 behind a proxy that ends TLS on this machine",
            clause="protect.transit",
        )
    return None


class Server(uvicorn.Server):
    """uvicorn's server, except that a signal to end is over once it has ended.

    The original raises the signal again, which would end the process before the store is closed and published.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the server, while it serves on the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {which: signal.signal(which, self.handle_exit) for which in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for which, handler in before.items():
                signal.signal(which, handler)


def server(app: Callable[..., Any], config: Config) -> uvicorn.Server:
    """A server ready to run. Nothing is logged of a request: an access log would keep addresses."""
    context = check_address(config)
    settings = uvicorn.Config(
        app,
        host=config.host,
        port=config.port,
        loop="auto",
        http=Direct,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="error",  # what a client sends wrong is answered, not logged: anybody could fill the disk
        proxy_headers=False,  # the shell asks the declared proxies only
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=HEADER_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_context_factory=(lambda _config, _default: context) if context is not None else None,
    )
    return Server(settings)


def listen(config: Config) -> socket.socket:
    """A socket bound to the configured address (port 0: any free one), checked before it is opened."""
    check_address(config)
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((config.host, config.port))
    except OSError as fault:
        bound.close()
        raise StartRefused(
            f"{config.host}:{config.port} cannot be listened on ({fault.strerror}): choose another with --port"
        ) from fault
    return bound
