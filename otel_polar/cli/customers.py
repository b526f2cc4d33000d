"""``otel-polar customers``: a customer on Polar for each of your users, before their first call is billed."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otel_polar.cli.output import Ending, confirm, end, failing, print_json, say, working
from otel_polar.cli.printable import printable
from otel_polar.cli.tables import show_table
from otel_polar.cli.words import agreed, counted
from otel_polar.errors import OtelPolarError, PolarDeniedError, PolarRefusedError
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_polar.account.earlier import EarlierUsage
    from otel_polar.account.syncing import Synced, Syncing
    from otel_polar.account.user_list import BadRow, User

SHOWN_PROBLEMS = 20

customers_app = typer.Typer(
    name="customers", help="The customers on Polar that your users' calls are billed to.", no_args_is_help=True
)


@customers_app.callback()
def options() -> None:
    """Make sure that Polar has a customer for each of your users, by your own id, before their first call is billed."""


@customers_app.command()
def ensure(
    user: Annotated[str, typer.Argument(metavar="USER", help="Your id of the user, as it is given to bill_to.")],
    *,
    email: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Their email: Polar creates no customer without one.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="Their name, if the customer is created.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make sure that Polar has a customer with your id of this user.

    If there is one, that is said and nothing is changed. A customer with that email and without an id of yours is given
    this one, which can never be changed again. One with that email and another id is left alone, and it is refused:
    they would pay for what somebody else uses.

    Usage that came before the customer is told, because Polar never bills it later. The access token needs the scopes
    `customers:read` and `customers:write`, and `events:read` to see such usage.

    Ends with 0 if there is a customer; 1 if it is refused; 3 if Polar cannot be asked.

    Example: `otel-polar customers ensure user_42 --email alice@example.com`
    """
    from otel_polar.account.customers import Ensured  # noqa: PLC0415 - httpx, a tenth of a second
    from otel_polar.account.customers import ensure as ensure_  # noqa: PLC0415 - as above
    from otel_polar.account.earlier import earlier_usage  # noqa: PLC0415 - as above
    from otel_polar.account.sign_up import checked_email, checked_id  # noqa: PLC0415 - as above
    from otel_polar.polar_api.client import PolarApi  # noqa: PLC0415 - as above

    with failing("customers ensure"):
        external_id = checked_id(user)
        checked = None if email is None else checked_email(email)
        with PolarApi(Settings.load(), is_patient=True) as api:
            try:
                ensured = ensure_(api, external_id, email=checked, name=name)
            except PolarRefusedError as error:
                _say_refused(external_id, "; ".join(error.reasons) or str(error), as_json=as_json)
            earlier, unseen = None, None
            if ensured.how is not Ensured.THERE:
                try:
                    earlier = earlier_usage(api, external_id)
                except PolarDeniedError as error:
                    unseen = str(error)
    if as_json:
        row = {"external_id": external_id, "how": ensured.how.name.lower(), "customer_id": ensured.id}
        print_json({**row, "email": ensured.email, "earlier_usage": _usage(earlier)})
    else:
        typer.echo(printable(f"{external_id}: {ensured.how.value}, customer {ensured.id} ({ensured.email})"))
    if checked is not None and (ensured.email or "").lower() != checked.lower():
        say("The customer has another email than the one given, which was not changed")
    if earlier is not None:
        _say_earlier([earlier])
    if unseen is not None:
        _say_unseen(unseen)


@customers_app.command()
def sync(
    file: Annotated[
        typer.FileText,
        typer.Argument(
            metavar="FILE",
            encoding="utf-8",
            errors="surrogateescape",
            help="CSV with a header (external_id,email,name), or JSON lines with these keys; - is standard input.",
        ),
    ],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make sure that Polar has a customer for every user in a list, as `customers ensure` does for one.

    Rows that cannot be one, and users who are refused, are said with their line; the others are done all the same.
    Interrupt it when you like, and run it again: it goes on where it was. It keeps to Polar's requests a minute (500,
    in the sandbox 100), so 10 000 new customers take some forty minutes; those who are there already cost next to
    nothing.

    Ends with 0 if there is a customer for each; 1 if not; 3 if the list cannot be read or Polar cannot be asked.

    Example: `psql -c "copy (select id as external_id, email, name from users) to stdout csv header" |
    otel-polar customers sync - --yes`
    """
    from otel_polar.account.syncing import Syncing  # noqa: PLC0415 - httpx, a tenth of a second
    from otel_polar.account.user_list import BadRow, read_users  # noqa: PLC0415 - as above
    from otel_polar.polar_api.client import PolarApi  # noqa: PLC0415 - as above

    report = _Report(is_dry_run=dry_run)
    with failing("customers sync"):
        settings = Settings.load()
        users: list[User] = []
        for row in read_users(file):
            if isinstance(row, BadRow):
                report.bad(row)
            else:
                users.append(row)
        if users and not dry_run:
            _ask(users, yes=yes)
        with PolarApi(settings, is_patient=True) as api, report.told_in_any_case(as_json=as_json):
            _sync(Syncing(api, is_dry_run=dry_run), users, report)
    if report.problems:
        end(Ending.WRONG)


def _ask(users: Sequence[User], *, yes: bool) -> None:
    if not confirm(f"Create the customers that are missing on Polar, of {counted(len(users), 'user')}?", yes=yes):
        end(Ending.WRONG)


def _sync(syncing: Syncing, users: Sequence[User], report: _Report) -> None:
    if users:
        with working("Reading Polar's customers", unit="customers") as advance:
            syncing.look_around(len(users), advance)
    with working("Making sure of customers", total=len(users), unit="users") as advance:
        for user in users:
            report.add(syncing.sync(user))
            advance(1)
    report.unseen = syncing.cannot_see_usage


@dataclass(slots=True)
class _Report:
    """What became of the list so far."""

    is_dry_run: bool
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[dict[str, Any]] = field(default_factory=list)
    earlier: list[EarlierUsage] = field(default_factory=list)
    unseen: str | None = None

    def bad(self, row: BadRow) -> None:
        """A row is no user."""
        self.counts["bad"] += 1
        self._problem({"line": row.line, "external_id": None, "reason": row.reason})

    def add(self, synced: Synced) -> None:
        """One user is done with."""
        if synced.how is not None:
            self.counts[synced.how.name.lower()] += 1
        else:
            self.counts["refused"] += 1
            user = synced.user
            self._problem({"line": user.line, "external_id": user.external_id, "reason": synced.reason})
        if synced.earlier is not None:
            self.earlier.append(synced.earlier)

    def _problem(self, problem: dict[str, Any]) -> None:
        self.problems.append(problem)
        if len(self.problems) <= SHOWN_PROBLEMS:
            who = "" if problem["external_id"] is None else f" ({problem['external_id']})"
            say(printable(f"line {problem['line']}{who}: {problem['reason']}"))

    @contextmanager
    def told_in_any_case(self, *, as_json: bool) -> Iterator[None]:
        """Around the work: what was done is told, too, if it could not be finished."""
        try:
            yield
        except (OtelPolarError, KeyboardInterrupt):
            self.tell(as_json=as_json, is_complete=False)
            raise
        self.tell(as_json=as_json, is_complete=True)

    def tell(self, *, as_json: bool, is_complete: bool) -> None:
        """Print the numbers."""
        if len(self.problems) > SHOWN_PROBLEMS:
            hint = "" if as_json else "; --json prints all of them"
            say(f"and {counted(len(self.problems) - SHOWN_PROBLEMS, 'more row')} that cannot be done{hint}")
        names = ("created", "linked", "there", "refused", "bad")
        if as_json:
            numbers = {name: self.counts[name] for name in names}
            rest = {"problems": self.problems, "earlier_usage": _usage(_sum(self.earlier))}
            print_json({"dry_run": self.is_dry_run, "complete": is_complete, **numbers, **rest})
        else:
            words = ("would be created", "would be linked") if self.is_dry_run else ("created", "linked")
            columns = (*words, "there already", "refused", "bad rows")
            title = "Customers on Polar" + ("" if is_complete else ", not finished: run it again to go on")
            show_table(title, columns, [[f"{self.counts[name]:,}" for name in names]], numbers=columns)
        if self.earlier:
            _say_earlier(self.earlier)
        if self.unseen is not None:
            _say_unseen(self.unseen)
        sys.stdout.flush()


def _say_refused(external_id: str, reason: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"external_id": external_id, "how": "refused", "customer_id": None, "reason": reason})
    say(printable(f"otel-polar customers ensure: {external_id}: {reason}"))
    end(Ending.WRONG)


def _say_earlier(found: Sequence[EarlierUsage]) -> None:
    from otel_polar.account.earlier import NOT_BILLED  # noqa: PLC0415 - it is imported already

    total = _sum(found)
    if total is not None:
        least = "" if total.is_all_counted else "at least "
        events = counted(total.events, "event")
        say(
            f"{events} came before {agreed(len(found), 'the customer', 'their customers')}: {least}${total.cost_usd:f}."
            f" {NOT_BILLED}"
        )


def _say_unseen(reason: str) -> None:
    say(printable(f"Whether usage came before the customer was not looked for: {reason}"))


def _sum(found: Sequence[EarlierUsage]) -> EarlierUsage | None:
    from otel_polar.account.earlier import EarlierUsage  # noqa: PLC0415 - it is imported already

    if not found:
        return None
    cost = sum((each.cost_usd for each in found[1:]), found[0].cost_usd)
    return EarlierUsage(sum(each.events for each in found), cost, all(each.is_all_counted for each in found))


def _usage(usage: EarlierUsage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {"events": usage.events, "cost_usd": f"{usage.cost_usd:f}", "is_all_counted": usage.is_all_counted}
