"""Options of the service: where it listens, who may send, and how much it takes at once."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_polar import converters
from otel_polar.errors import ConfigError
from otel_polar.settings.field import load_values, setting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MIB: Final = 2**20
_LAST_PORT: Final = 65_535
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII)


def _topic(name: str, value: object) -> str:
    checked = converters.text(name, value)
    if not _TOPIC.fullmatch(checked):
        raise ConfigError(f"{name} is {checked!r}: a topic has 1 to 249 letters, digits, '.', '_' and '-'")
    return checked


def _properties(name: str, value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise ConfigError(f"{name} must be a table of librdkafka's properties, not {type(value).__name__}")
    for key, held in value.items():
        if not isinstance(held, str | int | float | bool):
            raise ConfigError(f"{name}: {key} must be text, a number, true or false, not {type(held).__name__}")
    return tuple((key, str(held).lower() if isinstance(held, bool) else str(held)) for key, held in value.items())


@dataclass(frozen=True, kw_only=True)
class KafkaSettings:
    """A topic to read from, as the Collector's Kafka exporter writes it with ``encoding: otlp_proto``."""

    brokers: str | None = setting(
        None,
        variable="OTEL_POLAR_SERVE_KAFKA_BROKERS",
        unit="`host:port`, several separated by commas",
        about="Read from Kafka as well. Default: do not.",
        convert=converters.text,
    )
    topic: str = setting(
        "otlp_spans",
        variable="OTEL_POLAR_SERVE_KAFKA_TOPIC",
        unit="text",
        about="The topic, with OTLP as protobuf in each message.",
        convert=_topic,
    )
    group: str = setting(
        "otel-polar",
        variable="OTEL_POLAR_SERVE_KAFKA_GROUP",
        unit="text",
        about="The consumer group that all replicas share.",
        convert=converters.text,
    )
    properties: tuple[tuple[str, str], ...] = setting(
        (),
        variable="",
        unit="table",
        about="Any of librdkafka's own properties, such as `security.protocol`. In the file only.",
        convert=_properties,
        is_secret=True,
    )


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Options of ``otel-polar serve``."""

    host: str = setting(
        "127.0.0.1",
        variable="OTEL_POLAR_SERVE_HOST",
        unit="address",
        about="The interface to listen on: `0.0.0.0` or `::` for all.",
        convert=converters.text,
    )
    grpc_port: int = setting(
        4317,
        variable="OTEL_POLAR_SERVE_GRPC_PORT",
        unit="port, 0 to 65535",
        about="Port for OTLP/gRPC; 0 lets the system choose.",
        convert=converters.whole(0, _LAST_PORT),
    )
    http_port: int = setting(
        4318,
        variable="OTEL_POLAR_SERVE_HTTP_PORT",
        unit="port, 0 to 65535",
        about="Port for OTLP/HTTP, the probes, the metrics and the status page; 0 lets the system choose.",
        convert=converters.whole(0, _LAST_PORT),
    )
    tokens: tuple[str, ...] = setting(
        (),
        variable="OTEL_POLAR_SERVE_TOKENS",
        unit="tokens separated by commas",
        about="Bearer tokens of senders, each of at least 16 characters. All of them are good.",
        convert=converters.keys,
        is_secret=True,
    )
    tokens_file: Path | None = setting(
        None,
        variable="OTEL_POLAR_SERVE_TOKENS_FILE",
        unit="file",
        about="The same as lines of a file, which is read again when it changes. `#` begins a comment.",
        convert=converters.directory,
    )
    operator_tokens: tuple[str, ...] = setting(
        (),
        variable="OTEL_POLAR_SERVE_OPERATOR_TOKENS",
        unit="tokens separated by commas",
        about="Who may look at the status page: as a bearer token, or as the password of any user. Without any the page"
        " is there on loopback only, if senders need none either.",
        convert=converters.keys,
        is_secret=True,
    )
    operator_tokens_file: Path | None = setting(
        None,
        variable="OTEL_POLAR_SERVE_OPERATOR_TOKENS_FILE",
        unit="file",
        about="The same as lines of a file.",
        convert=converters.directory,
    )
    tls_cert_file: Path | None = setting(
        None,
        variable="OTEL_POLAR_SERVE_TLS_CERT_FILE",
        unit="file, PEM",
        about="Certificate of the service, with its chain. With it both ports speak TLS only.",
        convert=converters.directory,
    )
    tls_key_file: Path | None = setting(
        None,
        variable="OTEL_POLAR_SERVE_TLS_KEY_FILE",
        unit="file, PEM",
        about="The certificate's private key.",
        convert=converters.directory,
    )
    tls_client_ca_file: Path | None = setting(
        None,
        variable="OTEL_POLAR_SERVE_TLS_CLIENT_CA_FILE",
        unit="file, PEM",
        about="Accept only clients with a certificate of these authorities (mTLS), on both ports, the probes too.",
        convert=converters.directory,
    )
    allow_unauthenticated: bool = setting(
        False,  # noqa: FBT003 - a default
        variable="OTEL_POLAR_SERVE_ALLOW_UNAUTHENTICATED",
        unit="`true` or `false`",
        about="Listen on more than loopback although anybody who reaches it could bill anybody.",
        convert=converters.switch,
    )
    max_request_mib: int = setting(
        64,
        variable="OTEL_POLAR_SERVE_MAX_REQUEST_MIB",
        unit="MiB, 1 to 1024",
        about="The largest request, after decompression. A sender drops what is larger.",
        convert=converters.whole(1, 1_024),
    )
    max_in_flight_mib: int = setting(
        256,
        variable="OTEL_POLAR_SERVE_MAX_IN_FLIGHT_MIB",
        unit="MiB, 1 to 65536",
        about="Requests at the same time, after decompression, at least twice `max_request_mib`. What is more is to be"
        " sent again.",
        convert=converters.whole(1, 65_536),
    )
    max_connections: int = setting(
        1_000,
        variable="OTEL_POLAR_SERVE_MAX_CONNECTIONS",
        unit="connections, 1 to 100000",
        about="Connections at the same time, of each port.",
        convert=converters.whole(1, 100_000),
    )
    log_format: str = setting(
        "text",
        variable="OTEL_POLAR_SERVE_LOG_FORMAT",
        unit="`text` or `json`",
        about="How log lines are written to standard error.",
        convert=converters.one_of("text", "json"),
    )
    kafka: KafkaSettings = field(default_factory=KafkaSettings)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **options: Any) -> ServeSettings:
        """Settings from *options* and, where those are ``None``, from the environment; ``kafka`` is a mapping.

        Raises:
            ConfigError: if a value cannot be used, or they do not go together.
        """
        environ = os.environ if environ is None else environ
        kafka = KafkaSettings(**load_values(KafkaSettings, options.pop("kafka", {}), environ, prefix="serve.kafka."))
        loaded = cls(**load_values(cls, options, environ, prefix="serve."), kafka=kafka)
        loaded._check()
        return loaded

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    @property
    def needs_token(self) -> bool:
        """Whether senders have to show one."""
        return bool(self.tokens) or self.tokens_file is not None

    @property
    def is_guarded(self) -> bool:
        """Whether senders have to show who they are, by a token or a certificate."""
        return self.needs_token or self.tls_client_ca_file is not None

    def _check(self) -> None:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ConfigError("serve.tls_cert_file and serve.tls_key_file belong together: set both or none")
        if self.tls_client_ca_file is not None and self.tls_cert_file is None:
            raise ConfigError("serve.tls_client_ca_file needs serve.tls_cert_file and serve.tls_key_file")
        if not self.is_loopback and not self.is_guarded and not self.allow_unauthenticated:
            raise ConfigError(
                f"serve.host is {self.host!r}, where others can connect, and nobody would have to say who they are: set"
                " serve.tokens_file (OTEL_POLAR_SERVE_TOKENS_FILE) or serve.tls_client_ca_file, or, if something else"
                " keeps strangers out, serve.allow_unauthenticated = true (--allow-unauthenticated)"
            )
        if self.max_in_flight_mib < 2 * self.max_request_mib:
            # A request counts zipped and unzipped: one that is alone and never finds room would be sent for ever.
            raise ConfigError(
                f"serve.max_in_flight_mib ({self.max_in_flight_mib}) must not be less than twice serve.max_request_mib"
                f" ({self.max_request_mib})"
            )


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
