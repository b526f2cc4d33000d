"""All options from a TOML file, under the environment and the command line.

::

    server = "production"            the options of the processor, by their names
    [serve]                          those of the service
    [serve.kafka]
"""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_polar.errors import ConfigError
from otel_polar.settings import Settings
from otel_polar.settings.field import settings_in
from otel_polar.settings.serve import KafkaSettings, ServeSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


FOR_PROCESSES_ONLY: Final = (
    *("baggage_secret", "baggage_max_age_s", "baggage_hosts", "trust_baggage"),
    *("record_unsampled", "openai_hooks", "agent_event_name", "estimate_tokens"),
)
"""Options about what happens inside an application: a service sees spans that have ended, and no baggage."""


class ServiceConfig(NamedTuple):
    """How calls are billed, and how they come in."""

    settings: Settings
    serve: ServeSettings

    def without_effect(self) -> list[str]:
        """Options that the environment sets for applications, and that do nothing here."""
        defaults = Settings()
        return [name for name in FOR_PROCESSES_ONLY if getattr(self.settings, name) != getattr(defaults, name)]


def load_config(
    file: Path | None,
    *,
    serve: Mapping[str, Any],
    kafka: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
) -> ServiceConfig:
    """Options from a file, over which the environment wins, over which *serve* and *kafka* win where not ``None``.

    Raises:
        ConfigError: if the file cannot be read, has an option that does not exist, or a value that cannot be used.
    """
    environ = os.environ if environ is None else environ
    document = {} if file is None else _read(file)
    if without_effect := sorted(document.keys() & set(FOR_PROCESSES_ONLY)):
        raise ConfigError(
            f"the file has {without_effect[0]}, which has no effect in a service: it belongs to the application's own"
            " process"
        )
    serve_table = _table(document.pop("serve", {}), "serve")
    kafka_table = _table(serve_table.pop("kafka", {}), "serve.kafka")
    return ServiceConfig(
        Settings.load(environ, **_under(Settings, document, environ, {}, prefix="")),
        ServeSettings.load(
            environ,
            **_under(ServeSettings, serve_table, environ, serve, prefix="serve."),
            kafka=_under(KafkaSettings, kafka_table, environ, kafka, prefix="serve.kafka."),
        ),
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config is {str(file)!r}, which cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--config is {str(file)!r}, which is not TOML: {error}") from error


def _table(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{name} must be a table ([{name}]), not {type(value).__name__}")
    return dict(value)


def _under(
    table: type, in_file: Mapping[str, Any], environ: Mapping[str, str], over: Mapping[str, Any], *, prefix: str
) -> Any:
    known = settings_in(table)
    if unknown := sorted(in_file.keys() - known.keys()):
        raise ConfigError(
            f"the file has {prefix}{unknown[0]}, which is no option; there are"
            f" {', '.join(prefix + name for name in known)}"
        )
    values = {
        name: value for name, value in in_file.items() if not environ.get(known[name]["variable"] or "", "").strip()
    }
    return {**values, **{name: value for name, value in over.items() if value is not None}}
