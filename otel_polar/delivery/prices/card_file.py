"""``CardFile``: a rate card, and the file it came from, which is read again when it changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from otel_polar.billing.rate_card import RateCard, as_rate_card
from otel_polar.errors import ConfigError

if TYPE_CHECKING:
    from otel_polar.delivery.notices import Notices
    from otel_polar.settings import Settings


SETTLED_S: Final = 2.0
_Stamp: TypeAlias = "tuple[int, int, int] | None"


class CardFile:
    """A rate card, and the file it came from, if it did."""

    def __init__(self, card: RateCard, path: Path | None = None, stamp: _Stamp = None) -> None:
        self.card = card
        self._path = path
        self._stamp = stamp
        self._wrong = ""

    @classmethod
    def of(cls, settings: Settings) -> CardFile | None:
        """The card that the settings name.

        Raises:
            ConfigError: if it cannot be read, or is wrong; the message names line and field.
        """
        option = settings.rate_card
        if option is None:
            return None
        if not isinstance(option, Path):
            return cls(as_rate_card(option))
        # The stamp first: what is written meanwhile is another one.
        stamp = _stamp(option)
        return cls(_read(option), option, stamp)

    def read_again(self, notices: Notices, now: float) -> bool:
        """Read the file again if it has changed; whether there is another card now.

        Not in the moment (*now*, in Unix seconds) when it is written: half of a card may be a card, and a wrong one.
        """
        if self._path is None or (stamp := _stamp(self._path)) == self._stamp:
            return False
        if stamp is not None and 0 <= now - stamp[0] / 1e9 < SETTLED_S:
            return False
        self._stamp = stamp
        try:
            card = _read(self._path)
        except ConfigError as error:
            # By what is wrong: whoever mends one mistake is told of the next.
            notices.forget(self._wrong)
            self._wrong = f"rate card:{error}"
            notices.error(self._wrong, "%s. The rate card as it was before goes on", error)
            return False
        notices.over(self._wrong, "the rate card can be read again")
        is_other = card.content != self.card.content
        self.card = card
        return is_other


def _read(path: Path) -> RateCard:
    try:
        # Some editors write a mark at the beginning.
        return RateCard.from_text(path.read_text(encoding="utf-8-sig"), path.name)
    except ConfigError:
        raise
    except Exception as error:  # a file may hold anything
        raise ConfigError(f"rate_card (OTEL_POLAR_RATE_CARD) {path} cannot be read: {error}") from error


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    # An editor puts another file in place of the old one; a save within the clock's tick changes the size.
    return (status.st_mtime_ns, status.st_size, status.st_ino)
