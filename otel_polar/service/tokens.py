"""Bearer tokens: who may send spans, and who may look.

Several are good at the same time, so that one can be replaced: add the new one here, then use it there, then take the
old one out. A file of them is read again when it has changed.
"""

from __future__ import annotations

import binascii
import hmac
import time
from base64 import b64decode
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from otel_polar import converters
from otel_polar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from otel_polar.delivery.notices import Notices

LOOK_EVERY_S: Final = 1.0
"""A file is looked at so often, at most."""

MIN_TOKEN_CHARACTERS: Final = 16
_MAX_HEADER_CHARACTERS: Final = 4_096


def check_token(name: str, value: str) -> str:
    """A token that can stand in a header and cannot be guessed.

    Raises:
        ConfigError: if it cannot. The message does not repeat it.
    """
    checked = converters.token(name, value)
    if len(checked) < MIN_TOKEN_CHARACTERS:
        raise ConfigError(
            f"{name} has a token of {len(checked)} characters: at least {MIN_TOKEN_CHARACTERS} are needed"
        )
    return checked


class Tokens:
    """The tokens that are good now. ``is_required`` tells whether there are to be any at all."""

    def __init__(
        self,
        name: str,
        tokens: Iterable[str],
        file: Path | None,
        notices: Notices,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """*name* is what the setting is called, *file* one with a token on each line; ``#`` begins a comment.

        Raises:
            ConfigError: if a token cannot be one, or the file cannot be read or has none.
        """
        self._name = name
        self._always = frozenset(_digest(check_token(name, token)) for token in tokens)
        self._file = file
        self._notices = notices
        self._monotonic = monotonic
        self._from_file: frozenset[bytes] = frozenset()
        self._look_at = 0.0
        self._seen: tuple[int, int, int] | None = None
        self._going: frozenset[bytes] = frozenset()
        self._gone_at = 0.0
        if file is not None:
            self._read(file)
        self.is_required = bool(self._always) or file is not None

    def accept(self, authorization: str) -> bool:
        """Whether the value of an ``Authorization`` header carries one of them, by ``Bearer`` or as a password."""
        if not self.is_required:
            return True
        if self._file is not None and self._monotonic() >= self._look_at:
            self._look_again(self._file)
        given = _digest(_token_in(authorization[:_MAX_HEADER_CHARACTERS]))
        if self._is_good(given):
            return True
        # Whoever is refused drops its spans, and it may have the token that came to the file a moment ago.
        if self._file is not None:
            self._look_again(self._file)
        return self._is_good(given)

    def _is_good(self, given: bytes) -> bool:
        is_good = False
        for digest in (*self._always, *self._from_file, *self._going):
            # Every one of them, and each in constant time: neither which nor how much of it fits can be measured.
            is_good |= hmac.compare_digest(digest, given)
        return is_good

    def _look_again(self, file: Path) -> None:
        self._look_at = self._monotonic() + LOOK_EVERY_S
        try:
            if _identity(file) != self._seen:
                before = self._from_file | self._going
                self._read(file)
                # Somebody may be in the middle of writing it: what is missing stays good for a while.
                self._going, self._gone_at = before - self._from_file, self._look_at
                self._notices.over(f"tokens:{self._name}", "%s: %s can be read again", self._name, file)
            elif self._monotonic() >= self._gone_at:
                self._going = frozenset()
        except (ConfigError, OSError) as error:
            # A file that is half written or gone must not lock everybody out.
            self._notices.error(f"tokens:{self._name}", "%s; the tokens read before stay good", error)

    def _read(self, file: Path) -> None:
        name = f"{self._name}_file"
        try:
            seen = _identity(file)
            lines = file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{name} is {str(file)!r}, which cannot be read: {error}") from error
        told = [line.partition("#")[0].strip() for line in lines]
        tokens = [check_token(name, token) for token in told if token]
        if not tokens:
            raise ConfigError(f"{name} is {str(file)!r}, which has no token")
        self._from_file, self._seen = frozenset(map(_digest, tokens)), seen


def _identity(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "backslashreplace")).digest()


def _token_in(authorization: str) -> str:
    scheme, _, rest = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return b64decode(rest.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, ValueError):
            return ""
    return ""
