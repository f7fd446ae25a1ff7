"""Listening: no public address without TLS, nothing older than 1.2, and no way to turn that off."""

from __future__ import annotations

import datetime as dt
import inspect
import socket
import ssl
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.web.vendor import Standing
from troth.config import Config
from troth.errors import StartRefused
from troth.web import serve
from troth.web.app import build


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that is valid today, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "tls.pem", folder / "tls.key"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.invalid", "2001:db8::1"])
def test_a_public_address_is_not_served_without_tls(host: str) -> None:
    for refused in (serve.check_address, serve.listen):
        with pytest.raises(StartRefused) as caught:
            refused(Config(host=host, port=0))
        assert caught.value.clause == "protect.transit"
        assert "tls_certificate" in caught.value.detail


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_loopback_may_do_without(host: str) -> None:
    assert serve.check_address(Config(host=host)) is None


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartRefused):
        serve.check_address(Config(data_folder=str(tmp_path), tls_certificate="tls.pem"))
    with pytest.raises(StartRefused):
        serve.check_address(Config(data_folder=str(tmp_path), tls_key="tls.key"))


@pytest.mark.parametrize("spoil", ["missing", "not pem", "another key"])
def test_a_certificate_that_cannot_be_used_is_one_clear_error(tmp_path: Path, spoil: str) -> None:
    certificate_file, key_file = certificate(tmp_path)
    if spoil == "missing":
        certificate_file.unlink()
    elif spoil == "not pem":
        certificate_file.write_text("certificate")
    else:
        (tmp_path / "other").mkdir()
        key_file.write_bytes(certificate(tmp_path / "other")[1].read_bytes())
    with pytest.raises(StartRefused) as caught:
        serve.check_address(Config(data_folder=str(tmp_path), tls_certificate="tls.pem", tls_key="tls.key"))
    assert "tls.pem" in caught.value.detail


def test_a_taken_port_is_one_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StartRefused) as caught:
            serve.listen(Config(host="127.0.0.1", port=taken.getsockname()[1]))
    assert "--port" in caught.value.detail


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A server that speaks TLS on every address of this machine; its port and certificate."""
    certificate_file, _ = certificate(tmp_path)
    config = Config(data_folder=str(tmp_path), host="0.0.0.0", port=0, tls_certificate="tls.pem", tls_key="tls.key")
    bound = serve.listen(config)
    running = serve.server(build(Standing(config=config), []), config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not running.started:
        thread.join(0.01)
        assert thread.is_alive()
    yield bound.getsockname()[1], certificate_file
    running.should_exit = True
    thread.join(20)
    bound.close()


def ask(port: int, context: ssl.SSLContext) -> tuple[str, bytes]:
    """GET /health over TLS: the protocol spoken, and the answer."""
    with (
        socket.create_connection(("127.0.0.1", port), 20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        wrapped.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        answer = b""
        while piece := wrapped.recv(65536):
            answer += piece
        return wrapped.version() or "", answer


def test_with_tls_a_public_address_is_served(secure: tuple[int, Path]) -> None:
    port, certificate_file = secure
    version, answer = ask(port, ssl.create_default_context(cafile=str(certificate_file)))
    assert version == "TLSv1.3"
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"strict-transport-security: max-age=63072000" in answer
    assert b"server:" not in answer.lower()


def test_tls_1_2_is_spoken_with_forward_secrecy_only(secure: tuple[int, Path]) -> None:
    port, certificate_file = secure
    context = ssl.create_default_context(cafile=str(certificate_file))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert ask(port, context)[0] == "TLSv1.2"
    context.set_ciphers("AES128-SHA:AES256-GCM-SHA384")
    with pytest.raises(OSError, match=r"(?i)handshake|eof|reset"):
        ask(port, context)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_1_1_is_not_spoken(secure: tuple[int, Path]) -> None:
    port, certificate_file = secure
    context = ssl.create_default_context(cafile=str(certificate_file))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r"(?i)version|eof|reset|protocol"):
        ask(port, context)


def test_plain_text_gets_no_answer_from_a_tls_port(secure: tuple[int, Path]) -> None:
    with socket.create_connection(("127.0.0.1", secure[0]), 20) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        try:
            answer = plain.recv(65536)
        except ConnectionResetError:
            answer = b""
    assert b"200" not in answer


def test_nothing_turns_it_off() -> None:
    source = inspect.getsource(serve)
    for switch in ("verify=False", "CERT_NONE", "_create_unverified", "insecure", "environ"):
        assert switch not in source
    assert not [name for name in Config.__struct_fields__ if "insecure" in name or "verify" in name]


def test_no_access_log_keeps_addresses() -> None:
    made = serve.server(build(Standing(), []), Config())
    assert made.config.access_log is False
    assert made.config.proxy_headers is False
