from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import pytest

from otel_polar.errors import ConfigError
from otel_polar.settings.field import settings_in
from otel_polar.settings.file import FOR_PROCESSES_ONLY, ServiceConfig, load_config
from otel_polar.settings.serve import KafkaSettings, ServeSettings

TOKEN: Final = "s3cr3t-of-many-characters"
TOML: Final = f"""
server = "production"
outbox_dir = "/var/lib/otel-polar"
markup = 1.25
tags = ["plan", "team"]
on_unpriced = "send"
trusted_costs = {{ openrouter = "gen_ai.usage.cost" }}

[serve]
host = "::"
grpc_port = 14317
tokens = ["{TOKEN}"]
max_request_mib = 16

[serve.kafka]
brokers = "kafka-1:9092"

[serve.kafka.properties]
"security.protocol" = "SSL"
"enable.ssl.certificate.verification" = true
"session.timeout.ms" = 30000
"""


def load(
    toml: str | None,
    tmp_path: Path,
    environ: dict[str, str] | None = None,
    kafka: dict[str, Any] | None = None,
    **serve: Any,
) -> ServiceConfig:
    file = None
    if toml is not None:
        file = tmp_path / "otel-polar.toml"
        file.write_text(toml)
    return load_config(file, serve=serve, kafka=kafka or {}, environ=environ or {})


def test_every_kind_of_option_is_read_from_the_file(tmp_path: Path) -> None:
    """What can be set by a variable can be set in the file, by the name it has in code."""
    settings, serve = load(TOML, tmp_path)

    assert (settings.server, settings.outbox_dir, str(settings.markup)) == (
        "production",
        Path("/var/lib/otel-polar"),
        "1.25",
    )
    assert settings.tags == ("plan", "team")
    assert settings.trusted_costs == (("openrouter", "gen_ai.usage.cost"),)
    assert (serve.host, serve.grpc_port, serve.http_port, serve.max_request_mib) == ("::", 14317, 4318, 16)
    assert serve.kafka.brokers == "kafka-1:9092"
    assert dict(serve.kafka.properties) == {
        "security.protocol": "SSL",
        "enable.ssl.certificate.verification": "true",
        "session.timeout.ms": "30000",
    }


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    """One file for all replicas, and what differs in the environment of each."""
    environ = {"OTEL_POLAR_SERVE_GRPC_PORT": "24317", "OTEL_POLAR_MARKUP": "2", "OTEL_POLAR_SERVE_KAFKA_BROKERS": " "}

    settings, serve = load(TOML, tmp_path, environ, host="127.0.0.1", kafka={"brokers": None})

    assert (str(settings.markup), serve.grpc_port, serve.host) == ("2", 24317, "127.0.0.1")
    assert serve.kafka.brokers == "kafka-1:9092", "an empty variable counts as not set"
    assert load(TOML, tmp_path, environ, kafka={"brokers": "b:1"}, grpc_port=0).serve.kafka.brokers == "b:1"
    assert load(TOML, tmp_path, environ, grpc_port=0).serve.grpc_port == 0


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("outbox_direktory = '/x'", "the file has outbox_direktory, which is no option; there are access_token"),
        ("[serve]\nport = 4318", "the file has serve.port, which is no option; there are serve.host"),
        ("[serve.kafka]\nhosts = 'x'", "the file has serve.kafka.hosts, which is no option"),
        ("serve = 4318", "serve must be a table ([serve]), not int"),
        ("[serve]\nkafka = 'x'", "serve.kafka must be a table ([serve.kafka]), not str"),
        ("[serve]\ngrpc_port = 70000", "serve.grpc_port (OTEL_POLAR_SERVE_GRPC_PORT) is 70000: it must be a number"),
        ("[serve]\ngrpc_port = 4317.5", "serve.grpc_port (OTEL_POLAR_SERVE_GRPC_PORT) is 4317.5: it must be a whole"),
        ("[serve]\nmax_in_flight_mib = 8", "serve.max_in_flight_mib (8) must not be less than twice"),
        ("[serve]\ntls_cert_file = '/c'", "serve.tls_cert_file and serve.tls_key_file belong together"),
        ("[serve]\ntls_client_ca_file = '/c'", "serve.tls_client_ca_file needs serve.tls_cert_file"),
        ("[serve.kafka]\ntopic = 'a b'", "a topic has 1 to 249 letters"),
        ("[serve.kafka]\nproperties = 'a=b'", "serve.kafka.properties must be a table"),
        ("[serve.kafka.properties]\na = [1]", "serve.kafka.properties: a must be text, a number, true or false"),
        ("server = 'staging'", "server (POLAR_SERVER) is 'staging': it must be 'sandbox' or 'production'"),
        ("map_metadata = 'module:function'", "map_metadata is 'module:function': it must be a function"),
        ("server = ", "which is not TOML"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_table(tmp_path: Path, toml: str, message: str) -> None:
    """A misspelt option that is passed over is a setting that does nothing."""
    with pytest.raises(ConfigError) as raised:
        load(toml, tmp_path)

    assert message in str(raised.value)


@pytest.mark.parametrize("name", FOR_PROCESSES_ONLY)
def test_an_option_that_would_do_nothing_is_refused_in_the_file(tmp_path: Path, name: str) -> None:
    """Whoever writes it there believes in it, such as in signatures that nobody looks at."""
    with pytest.raises(ConfigError, match=f"the file has {name}, which has no effect in a service"):
        load(f"{name} = 'x'", tmp_path)


def test_an_option_of_the_environment_that_does_nothing_is_told(tmp_path: Path) -> None:
    """Variables are often the same for all containers: that is no mistake, but worth a word."""
    environ = {"OTEL_POLAR_OPENAI_HOOKS": "false", "OTEL_POLAR_BAGGAGE_SECRET": TOKEN, "OTEL_POLAR_MARKUP": "2"}

    assert load(None, tmp_path, environ).without_effect() == ["baggage_secret", "openai_hooks"]
    assert load(None, tmp_path).without_effect() == []


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Starting without it would bill by other settings."""
    with pytest.raises(ConfigError, match=r"--config is '.*nowhere.toml', which cannot be read"):
        load_config(tmp_path / "nowhere.toml", serve={}, kafka={}, environ={})
    (tmp_path / "latin.toml").write_bytes(b'server = "\xe4"')
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "latin.toml", serve={}, kafka={}, environ={})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])  # noqa: S104 - that is what is refused
def test_listening_where_others_can_connect_needs_a_guard_or_a_word(tmp_path: Path, host: str) -> None:
    """Whoever can connect can bill anybody."""
    with pytest.raises(ConfigError, match=r"where others can connect.*--allow-unauthenticated"):
        load(None, tmp_path, host=host)

    assert load(None, tmp_path, host=host, tokens=TOKEN).serve.needs_token
    assert load(None, tmp_path, host=host, tokens_file="/etc/tokens").serve.needs_token
    assert load(None, tmp_path, host=host, allow_unauthenticated=True).serve.host == host
    ca: dict[str, Any] = {"tls_cert_file": "/c", "tls_key_file": "/k", "tls_client_ca_file": "/ca"}
    assert load(None, tmp_path, host=host, **ca).serve.is_guarded
    with pytest.raises(ConfigError):
        load(None, tmp_path, host=host, tls_cert_file="/c", tls_key_file="/k")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_guard(tmp_path: Path, host: str) -> None:
    """A Collector beside it on the same machine is the usual case."""
    assert load(None, tmp_path, host=host).serve.is_loopback


def test_no_secret_is_shown() -> None:
    """Settings end up in logs and bug reports."""
    shown = repr(
        ServeSettings.load({}, tokens=TOKEN, operator_tokens=TOKEN, kafka={"properties": {"sasl.password": TOKEN}})
    )

    assert TOKEN not in shown


def test_every_option_of_the_service_has_a_variable_that_says_where_it_belongs() -> None:
    """In a container there is no other way to set one; a table of properties is the only exception."""
    variables = {name: each["variable"] for name, each in settings_in(ServeSettings).items()}
    kafka = {name: each["variable"] for name, each in settings_in(KafkaSettings).items() if name != "properties"}

    assert variables == {name: f"OTEL_POLAR_SERVE_{name.upper()}" for name in variables}
    assert kafka == {name: f"OTEL_POLAR_SERVE_KAFKA_{name.upper()}" for name in kafka}
    assert {field.name for field in fields(ServeSettings)} == {*variables, "kafka"}


def test_the_example_of_this_specification_is_toml() -> None:
    """A mistake here would look like one of the loader."""
    assert tomllib.loads(TOML)["serve"]["kafka"]["brokers"] == "kafka-1:9092"
