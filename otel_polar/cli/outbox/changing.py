"""What the commands that change calls have in common: show which ones, ask, have it done, and say what became of each.

Nothing is changed that a person has not been shown: an order names the calls that were found, as they stood then.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from otel_polar.cli.directory import outbox_directory
from otel_polar.cli.outbox.flushing import send_here
from otel_polar.cli.outbox.options import AsJson, open_view
from otel_polar.cli.outbox.outcomes import is_done, json_of, show_outcomes
from otel_polar.cli.outbox.shown import troubles_of
from otel_polar.cli.outbox.which import Worth, show_which
from otel_polar.cli.output import Ending, confirm, end, failing, print_json, say, working
from otel_polar.cli.prices import price_book
from otel_polar.cli.printable import printable
from otel_polar.cli.words import counted
from otel_polar.delivery.deciding.intake import Intake
from otel_polar.delivery.disk import beside
from otel_polar.delivery.notices import Notices
from otel_polar.delivery.orders.giving import Given, carry_out_everywhere
from otel_polar.delivery.orders.order import Kind, Row, make_orders
from otel_polar.errors import ConfigError
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_polar.billing.customer import Customer
    from otel_polar.delivery.disk.files import OutboxDirectory
    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.delivery.disk.rows import State
    from otel_polar.delivery.looking.finding import Wanted
    from otel_polar.delivery.looking.seen import SeenCall

__all__ = ["TIMEOUT_S", "AsJson", "Change", "DryRun", "Force", "Timeout", "Yes", "change", "check_options"]

Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Only show which calls these are.")]
Force: TypeAlias = Annotated[
    bool,
    typer.Option("--force", help="Also where the application makes its events by other options than these."),
]
Timeout: TypeAlias = Annotated[
    float,
    typer.Option("--timeout", min=0.0, metavar="SECONDS", help="How long running applications are waited for."),
]
TIMEOUT_S: Final = 60.0

_BY_OPTIONS: Final = {Kind.ASSIGN, Kind.REPRICE, Kind.RELEASE, Kind.REBUILD}
"""What makes events: by the application's options, or they would be others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a command does, in its own words.

    Args:
        command: such as ``outbox assign``.
        kinds: what is to be done with a call in each state that the command is for.
        verb: what is done to calls, such as ``give to user_42``.
        warning: what a person has to know before they agree; empty if there is nothing.
        customer: who is to pay.
        is_asked: whether a person is asked at all.
    """

    command: str
    kinds: Mapping[State, Kind]
    verb: str
    warning: str = ""
    customer: Customer | None = None
    is_asked: bool = True


@dataclass(slots=True)
class _Found:
    """The calls that are meant, as they were shown."""

    rows: dict[Kind, list[Row]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    owned: set[str] = field(default_factory=set)
    others: Counter[State] = field(default_factory=Counter)
    worth: Worth = field(default_factory=Worth)
    missing: list[str] = field(default_factory=list)
    """The calls that were named one by one, and are not there."""

    named_others: list[str] = field(default_factory=list)
    """Those that were, and are in no state that the command is for."""

    troubles: list[str] = field(default_factory=list)

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {"calls": len(self.files), **self.worth.json()}

    @property
    def is_short(self) -> bool:
        """Whether it is less than what was asked for by name, or may be."""
        return bool(self.troubles or self.missing or self.named_others)

    @property
    def is_for_new_prices(self) -> bool:
        """Whether all of it waits for what somebody may have written on a rate card."""
        return self.rows.keys() <= {Kind.REPRICE}

    @property
    def has_files_without_owner(self) -> bool:
        return any(file not in self.owned for file in self.files.values())


def change(
    asked: Change, wanted: Wanted, *, yes: bool, dry_run: bool, as_json: bool, force: bool, timeout_s: float
) -> None:
    """Do to the calls that are *wanted*, and in a state that the command is for, what it says; ends the command."""
    # What is wrong is told here, once and with its numbers.
    logging.getLogger("otel_polar").addHandler(logging.NullHandler())
    with failing(asked.command):
        settings = Settings.load()
        directory = outbox_directory(settings)
        found = _find(asked, wanted, settings, directory)
        if found.has_files_without_owner and not _BY_OPTIONS.isdisjoint(found.rows) and not force:
            check_options(directory, settings, with_new_prices=found.is_for_new_prices)
    if not as_json:
        _show(asked, found)
    for trouble in found.troubles:
        say(trouble)
    for external_id in found.missing:
        say(printable(f"There is no such call, or the filters leave it out: {external_id}"))
    if dry_run or not found.files:
        if as_json:
            print_json({**found.json(), "is_dry_run": dry_run, "outcomes": []})
        end(Ending.WRONG if found.is_short else Ending.WELL)
    _ask(asked, found, yes=yes)
    with failing(asked.command):
        given = _given(asked, found, settings, directory)
        _wait(given, len(found.files), timeout_s)
        needs_sending = given.changed_here and Kind.DISCARD not in found.rows
        is_sent = not needs_sending or _send(
            settings, directory, timeout_s, force=force, with_new_prices=found.is_for_new_prices
        )
    if as_json:
        print_json({**found.json(), "is_dry_run": False, **json_of(given), "is_sent": is_sent})
    else:
        show_outcomes(given)
    if not is_sent:
        say("Not all of them could be sent now: the application, or `otel-polar outbox send`, tries again")
    is_well = is_sent and is_done(given) and not found.is_short
    end(Ending.WELL if is_well else Ending.WRONG)


def check_options(directory: OutboxDirectory, settings: Settings, *, with_new_prices: bool = False) -> None:
    """See that events made here are those that the application would make. See :func:`beside.other_options`.

    Raises:
        ConfigError: if they are not.
    """
    if differing := beside.other_options(directory.path, settings, with_new_prices=with_new_prices):
        raise ConfigError(
            f"the application makes its events by other options, and these would be frozen: {'; '.join(differing)}."
            " Start it again, and do this while it runs; or give --force",
        )


def _find(asked: Change, wanted: Wanted, settings: Settings, directory: OutboxDirectory) -> _Found:
    view = open_view()
    prices = price_book(settings, directory)
    found = _Found(worth=Worth(prices.price))
    with working("Looking for calls", unit="calls") as advance:
        for seen in view.calls(wanted):
            advance(1)
            kind = asked.kinds.get(seen.state)
            if kind is None:
                found.others[seen.state] += 1
                if seen.external_id in wanted.external_ids:
                    found.named_others.append(seen.external_id)
                continue
            if seen.external_id not in found.files:
                found.rows.setdefault(kind, []).append(_row(seen))
                found.files[seen.external_id] = seen.file
                found.worth.add(seen)
    found.missing = sorted(wanted.external_ids - found.files.keys() - set(found.named_others))
    # A call may lie in two files, in another state in each.
    found.named_others = [external_id for external_id in found.named_others if external_id not in found.files]
    found.troubles = troubles_of(view)
    found.owned = {file.path.name for file in view.files() if file.is_owned}
    return found


def _ask(asked: Change, found: _Found, *, yes: bool) -> None:
    if not asked.is_asked:
        return
    if asked.warning:
        say(asked.warning)
    if not confirm(f"{asked.verb}: {counted(len(found.files), 'call')}?", yes=yes):
        say("Nothing was changed")
        end(Ending.WRONG)


def _row(seen: SeenCall) -> Row:
    return Row(seen.external_id, seen.state, seen.reason)


def _show(asked: Change, found: _Found) -> None:
    if found.files:
        show_which(found.worth)
    else:
        states = ", ".join(sorted(state.value for state in asked.kinds))
        say(f"No such calls are {states}: there is nothing to do")
    if found.others:
        others = ", ".join(f"{count:,} {state.value}" for state, count in found.others.most_common())
        say(f"Left alone, because of their state: {others}")


def _given(asked: Change, found: _Found, settings: Settings, directory: OutboxDirectory) -> Given:
    prices = price_book(settings, directory)

    def make_intake(outbox: Outbox) -> Intake:
        return Intake(outbox, settings=settings, price=prices.price, notices=Notices(), counts=Counter())

    now = time.time()
    orders = [
        order
        for kind, rows in found.rows.items()
        for order in make_orders(kind, rows, now=now, customer=asked.customer if kind is Kind.ASSIGN else None)
    ]
    return Given(directory, orders, found.files, make_intake)


def _wait(given: Given, count: int, timeout_s: float) -> None:
    told = 0
    with working("Changing them", count, unit="calls") as advance:

        def tell(given: Given) -> None:
            nonlocal told
            files = given.waits_for()
            waits = f"Waiting for the owner of {', '.join(files)}" if files else None
            advance(len(given.results) - told, description=waits)
            told = len(given.results)

        carry_out_everywhere(given, timeout_s=timeout_s, tell=tell)


def _send(
    settings: Settings, directory: OutboxDirectory, timeout_s: float, *, force: bool, with_new_prices: bool
) -> bool:
    """Send what files without an owner have, unless the application has to do that."""
    if not force and beside.other_options(directory.path, settings, with_new_prices=with_new_prices):
        return False
    why_left = send_here(settings, timeout_s)
    if why_left is not None:
        say(why_left)
    return why_left is None
