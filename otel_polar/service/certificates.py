"""TLS for both ports, from files that are read again when they have been renewed."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import grpc

from otel_polar.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.delivery.notices import Notices
    from otel_polar.settings.serve import ServeSettings


class Certificates:
    """A certificate with its key and, for mTLS, whose clients are let in.

    New connections get what was read last; those that exist stay.
    """

    def __init__(self, certificate: Path, key: Path, client_authorities: Path | None, notices: Notices) -> None:
        """Read them.

        Raises:
            ConfigError: if they cannot be used.
        """
        self._certificate, self._key, self._client_authorities = certificate, key, client_authorities
        self._notices = notices
        self._seen = self._identity()
        try:
            self.context = self._latest = self._context()
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"serve.tls_cert_file ({certificate}), serve.tls_key_file ({key}) and serve.tls_client_ca_file"
                f" ({client_authorities}) cannot be used: {error}"
            ) from error
        # Who listens keeps the first one, and every handshake goes on with the latest: in one that is used, nothing can
        # be taken back, neither an authority nor a certificate whose key does not fit.
        self.context.sni_callback = self._go_on_with_latest
        self._for_grpc = self._given_to_grpc = self._configuration()

    @classmethod
    def of(cls, settings: ServeSettings, notices: Notices) -> Certificates | None:
        """Those that *settings* name, ``None`` if they name none."""
        if settings.tls_cert_file is None or settings.tls_key_file is None:
            return None
        return cls(settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file, notices)

    def credentials(self) -> grpc.ServerCredentials:
        """The same for gRPC."""
        return grpc.dynamic_ssl_server_credentials(
            self._given_to_grpc,
            self._fetch,  # type: ignore[arg-type]  # gRPC: "or None if no change"
            require_client_authentication=self._client_authorities is not None,
        )

    def look_again(self) -> None:
        """Read the files again if they have changed. What cannot be used is said, and what was read before stays."""
        try:
            seen = self._identity()
            if seen == self._seen:
                return
            latest = self._context()
            self._for_grpc = self._configuration()
            self._latest, self._seen = latest, seen
        except (ConfigError, OSError, ValueError) as error:
            self._notices.error("certificates", "the renewed certificate cannot be used: %s", error)
        else:
            self._notices.over("certificates", "the certificate can be used again")

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """What new connections get, if it is not what they got so far."""
        # gRPC asks from threads of its own.
        fresh = self._for_grpc
        if fresh is self._given_to_grpc:
            return None
        self._given_to_grpc = fresh
        return fresh

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Nothing else is spoken there, and a client that asks for HTTP/2 is to hear it.
        context.set_alpn_protocols(["http/1.1"])
        # With a password, or OpenSSL asks for it on the terminal.
        context.load_cert_chain(self._certificate, self._key, password="")
        if self._client_authorities is not None:
            context.load_verify_locations(self._client_authorities)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _go_on_with_latest(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._latest

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        authorities = None if self._client_authorities is None else self._client_authorities.read_bytes()
        pairs = [(self._key.read_bytes(), self._certificate.read_bytes())]
        return grpc.ssl_server_certificate_configuration(pairs, root_certificates=authorities)

    def _identity(self) -> tuple[tuple[int, int], ...]:
        paths = [path for path in (self._certificate, self._key, self._client_authorities) if path is not None]
        try:
            return tuple((status.st_ino, status.st_mtime_ns) for status in (path.stat() for path in paths))
        except OSError as error:
            raise ConfigError(f"a file of TLS cannot be read: {error}") from error
