"""What can be found out of the settings before anything is opened: whether they can be used, and who is let in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_polar.delivery.notices import Notices, logger
from otel_polar.delivery.prices.card_file import CardFile
from otel_polar.errors import ConfigError
from otel_polar.service.certificates import Certificates
from otel_polar.service.kafka.consumer import check_consumer
from otel_polar.service.tokens import Tokens

if TYPE_CHECKING:
    from otel_polar.settings.file import ServiceConfig


class Guards(NamedTuple):
    """Who is let in."""

    senders: Tokens
    operators: Tokens
    certificates: Certificates | None


def check_service(config: ServiceConfig) -> Guards:
    """Everything that can be said of settings before the outbox is opened and anything is listened to.

    Raises:
        ConfigError: if one of them cannot be used.
    """
    settings, serve = config
    CardFile.of(settings)
    if settings.access_token is None:
        raise ConfigError(
            "access_token (POLAR_ACCESS_TOKEN) is not set: without it nobody can be billed, and nothing is recorded"
        )
    if settings.outbox_dir is None:
        raise ConfigError(
            "outbox_dir (OTEL_POLAR_OUTBOX_DIR) is not set, and neither is HOME: a directory is needed that outlives"
            " the process"
        )
    if without_effect := config.without_effect():
        logger.warning(
            "%s has no effect in a service, which sees spans that have ended, and no baggage", ", ".join(without_effect)
        )
    if serve.kafka.brokers is not None:
        check_consumer(serve.kafka)
    notices = Notices()
    return Guards(
        Tokens("serve.tokens", serve.tokens, serve.tokens_file, notices),
        Tokens("serve.operator_tokens", serve.operator_tokens, serve.operator_tokens_file, notices),
        Certificates.of(serve, notices),
    )
