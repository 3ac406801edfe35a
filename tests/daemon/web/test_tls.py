"""TLS by certificate files, renewed under a listener that stays open."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx2
import pytest
import structlog.testing
import trio
import trustme
from cryptography.hazmat.primitives import serialization

from daemon.app import warn_of_certificate
from daemon.web.app import create_app
from daemon.web.server import hypercorn_config, serve_app, tcp_listener
from daemon.web.tls import Tls, tls_of
from proto.errors import ConfigError
from tests.daemon.web.fakes import World


class Files:
    """A certificate of an authority of our own, in files."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.trust = ssl.create_default_context()
        self.authority.configure_trust(self.trust)
        self.renew()

    def renew(self, not_after: datetime | None = None) -> int:
        """Writes another certificate and returns its serial number."""
        issued = self.authority.issue_cert("127.0.0.1", not_after=not_after)
        issued.private_key_pem.write_to_path(str(self.key))
        self.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        from cryptography import x509

        return x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).serial_number


async def serial_of(port: int, trust: ssl.SSLContext) -> int:
    stream = trio.SSLStream(
        await trio.open_tcp_stream("127.0.0.1", port), trust, server_hostname="127.0.0.1", https_compatible=True
    )
    async with stream:
        await stream.do_handshake()
        found = stream.getpeercert()
        return int(found["serialNumber"], 16)


async def test_a_renewed_certificate_is_served_and_open_connections_stay(tmp_path: Path, nursery: trio.Nursery) -> None:
    files = Files(tmp_path)
    first = files.renew()
    tls = Tls(files.cert, files.key)
    listener = tcp_listener("127.0.0.1", 0)
    port = listener.getsockname()[1]
    config = hypercorn_config(keep_alive_seconds=5.0, graceful_seconds=1.0)
    await nursery.start(partial(serve_app, create_app(World([]).services()), config, [listener], trio.Event(), tls=tls))
    url = f"https://127.0.0.1:{port}"
    async with httpx2.AsyncClient(base_url=url, verify=files.trust, trust_env=False) as http:
        reply = await http.get("/healthz")
        assert reply.status_code == 200
        assert await serial_of(port, files.trust) == first
        second = files.renew()
        tls.context = tls.read()
        assert await serial_of(port, files.trust) == second != first
        assert (await http.get("/healthz")).status_code == 200
    with pytest.raises(trio.BrokenResourceError):
        await serial_of(port, ssl.create_default_context())
    nursery.cancel_scope.cancel("end of the test")


def test_the_start_warns_of_a_certificate_that_has_ended(tmp_path: Path) -> None:
    files = Files(tmp_path)
    with structlog.testing.capture_logs() as told:
        warn_of_certificate(Tls(files.cert, files.key))
    assert told == []
    files.renew(datetime.now(UTC) - timedelta(days=1))
    with structlog.testing.capture_logs() as told:
        warn_of_certificate(Tls(files.cert, files.key))
    ((event, reason),) = [(one["event"], one["reason"]) for one in told]
    assert (event, "certificate has expired" in reason) == ("no client takes the certificate", True)


def test_files_that_do_not_fit_are_refused_and_what_is_in_force_stays(tmp_path: Path) -> None:
    files = Files(tmp_path)
    tls = Tls(files.cert, files.key)
    before = tls.context
    other = trustme.CA().issue_cert("127.0.0.1")
    other.private_key_pem.write_to_path(str(files.key))
    with pytest.raises(ConfigError, match="cannot be used"):
        tls.read()
    files.key.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        tls.read()
    files.key.write_text("nonsense")
    with pytest.raises(ConfigError, match="cannot be used"):
        tls.read()
    issued = files.authority.issue_cert("127.0.0.1")
    files.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    encoded = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    files.key.write_bytes(key.private_bytes(*encoded, serialization.BestAvailableEncryption(b"secret")))
    with pytest.raises(ConfigError, match="the key has a password"):
        tls.read()
    assert tls.context is before
    assert before.minimum_version is ssl.TLSVersion.TLSv1_2
    assert tls_of("", "") is None
