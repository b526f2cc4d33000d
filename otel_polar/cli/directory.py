"""The outbox directory that the settings in the environment name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_polar.delivery.files import OutboxDirectory, directory_name
from otel_polar.delivery.notices import Notices
from otel_polar.errors import ConfigError

if TYPE_CHECKING:
    from otel_polar.settings import Settings


def outbox_directory(settings: Settings, *, must_exist: bool = True) -> OutboxDirectory:
    """That of the application with these settings.

    Raises:
        ConfigError: if the settings name none, or (*must_exist*) it is not there.
    """
    if settings.access_token is None:
        raise ConfigError("access_token (POLAR_ACCESS_TOKEN) is not set: calls wait in a directory per access token")
    if settings.outbox_dir is None:
        raise ConfigError("no outbox_dir (OTEL_POLAR_OUTBOX_DIR), XDG_STATE_HOME or HOME is set")
    name = directory_name(settings.server, settings.base_url, settings.access_token)
    directory = OutboxDirectory(settings.outbox_dir / name, Notices())
    if must_exist and not directory.path.exists():
        raise ConfigError(
            f"there is no {directory.path}: POLAR_ACCESS_TOKEN, POLAR_SERVER, POLAR_BASE_URL and OTEL_POLAR_OUTBOX_DIR"
            " must be those of the application"
        )
    return directory
