"""The outbox directory that the settings in the environment name."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.disk.files import OutboxDirectory, directory_name
from otel_polar.delivery.notices import Notices
from otel_polar.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.settings import Settings

_OUTBOX_DIR: Final = "outbox_dir, OTEL_POLAR_OUTBOX_DIR"


def outbox_directory(settings: Settings, *, must_exist: bool = True) -> OutboxDirectory:
    """That of the application with these settings.

    Raises:
        ConfigError: if the settings name none, where it lies cannot be read, or (*must_exist*) it is not there.
    """
    if settings.access_token is None:
        raise ConfigError("access_token (POLAR_ACCESS_TOKEN) is not set: calls wait in a directory per access token")
    if settings.outbox_dir is None:
        raise ConfigError("no outbox_dir (OTEL_POLAR_OUTBOX_DIR), XDG_STATE_HOME or HOME is set")
    name = directory_name(settings.server, settings.base_url, settings.access_token)
    _check_readable(settings.outbox_dir, name)
    directory = OutboxDirectory(settings.outbox_dir / name, Notices())
    if not must_exist:
        return directory
    if not settings.outbox_dir.exists():
        raise ConfigError(
            f"there is no {directory.path}, for there is no {settings.outbox_dir} ({_OUTBOX_DIR}):"
            " nothing was recorded there yet, or it is not that of the application"
        )
    if not directory.path.exists():
        raise ConfigError(
            f"there is no {directory.path}: POLAR_ACCESS_TOKEN, POLAR_SERVER, POLAR_BASE_URL and OTEL_POLAR_OUTBOX_DIR"
            " must be those of the application"
        )
    return directory


def _check_readable(outbox_dir: Path, name: str) -> None:
    """What may not be looked into would look empty, or as if it were not there."""
    for path, access in ((outbox_dir, os.X_OK), (outbox_dir / name, os.R_OK | os.X_OK)):
        try:
            is_directory = stat.S_ISDIR(path.stat().st_mode)
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigError(f"{path} ({_OUTBOX_DIR}) cannot be read: {error.strerror}") from error
        if not is_directory:
            raise ConfigError(f"{path} ({_OUTBOX_DIR}) is no directory")
        if not os.access(path, access):
            raise ConfigError(f"{path} ({_OUTBOX_DIR}) cannot be read by this user")
