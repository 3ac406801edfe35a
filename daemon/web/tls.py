"""TLS by certificate files, which are read again without closing the listener."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from proto.errors import ConfigError

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
PROTOCOLS = ["h2", "http/1.1"]


class Tls:
    """The certificate in force. Connections that are open keep theirs."""

    def __init__(self, cert_file: Path, key_file: Path) -> None:
        """Raises ConfigError."""
        self._cert_file, self._key_file = cert_file, key_file
        self.context = self.read()

    def read(self) -> ssl.SSLContext:
        """Of the files as they are now. Raises ConfigError for a pair that cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(PROTOCOLS)
        try:
            context.load_cert_chain(self._cert_file, self._key_file, password=_no_password)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"http.tls_cert_file, http.tls_key_file: {self._cert_file} and {self._key_file} cannot be used: {_words(error)}; "
                "expected a certificate with its chain and the key that belongs to it, in PEM, without a password"
            ) from error
        return context

    def ends_at(self) -> float:
        """When the certificate in the files ends, in epoch seconds. Raises ConfigError for one that no client takes, such as one that
        has ended: a handshake in memory, with a client that trusts this very certificate, tells."""
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        client.load_verify_locations(self._cert_file)
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        asking, answering = client.wrap_bio(back, there), self.read().wrap_bio(there, back, server_side=True)
        try:
            for one in (asking, answering, asking):
                with suppress(ssl.SSLWantReadError):
                    one.do_handshake()
        except ssl.SSLError as error:
            words = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else _words(error)
            raise ConfigError(
                f"http.tls_cert_file: {self._cert_file}: no client takes it: {words}; renew it"
            ) from error
        return float(ssl.cert_time_to_seconds(str((asking.getpeercert() or {})["notAfter"])))


class TlsListener(trio.abc.Listener[trio.SSLStream[trio.SocketStream]]):
    """Every connection begins with the certificate that is in force then."""

    def __init__(self, listener: trio.SocketListener, tls: Tls) -> None:
        self._listener, self._tls = listener, tls

    async def accept(self) -> trio.SSLStream[trio.SocketStream]:
        stream = await self._listener.accept()
        return trio.SSLStream(stream, self._tls.context, server_side=True, https_compatible=True)

    async def aclose(self) -> None:
        await self._listener.aclose()


def tls_of(cert_file: str, key_file: str) -> Tls | None:
    """None where none is configured. Raises ConfigError."""
    return Tls(Path(cert_file), Path(key_file)) if cert_file else None


def _words(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _no_password(*_: Any) -> str:
    """Else OpenSSL would ask for it on the terminal."""
    raise ValueError("the key has a password")
