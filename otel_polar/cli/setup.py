"""``otel-polar setup``: the meters, and perhaps a product and credits, that billing needs on Polar."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from otel_polar.account.plan import Action, Item, Plan
from otel_polar.account.setup_file import MAX_DESCRIPTION, MAX_PRODUCT_NAME, price_of, read_setup_file
from otel_polar.account.wanted import (
    DEFAULT_KINDS,
    DEFAULT_PREFIX,
    INTERVALS,
    KINDS,
    Wanted,
    WantedCredits,
    WantedMeter,
    WantedProduct,
    cents_per_unit,
    check_name,
    check_units,
    wanted_meter,
)
from otel_polar.cli.output import Ending, confirm, end, fail, failing, print_json, say, working
from otel_polar.cli.printable import printable
from otel_polar.cli.tables import show_table
from otel_polar.cli.words import counted
from otel_polar.errors import ConfigError, PolarError
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from decimal import Decimal

    from otel_polar.polar_api.client import PolarApi

COMMAND = "setup"


def setup(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A TOML file that says what there is to be, instead of the options."),
    ] = None,
    *,
    meter: Annotated[
        list[str] | None,
        typer.Option(
            "--meter",
            metavar="KIND",
            help=f"A meter: {', '.join(KINDS)}. Repeat it for several. Default: {', '.join(DEFAULT_KINDS)}.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="The same meters of this model alone, besides; as the provider names it in its answers, such as"
            " gpt-4o-mini-2024-07-18, or 'gpt-4o-mini*' for all whose name contains it. Repeat it for several.",
        ),
    ] = None,
    event_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The name of the events, if the settings do not have it.")
    ] = None,
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="How the meters' names begin.")] = DEFAULT_PREFIX,
    product: Annotated[
        str | None, typer.Option(metavar="NAME", help="A product that is paid by usage; needs a price.")
    ] = None,
    price_per_usd: Annotated[
        str | None,
        typer.Option(metavar="USD", help="Dollars for each dollar on a meter of cost or charge: 1.3 adds 30 %."),
    ] = None,
    price_per_unit: Annotated[
        str | None, typer.Option(metavar="CENTS", help="Cents for each unit of the meter, such as 0.0004 a token.")
    ] = None,
    priced_by: Annotated[str, typer.Option(metavar="KIND", help="The meter that the product is paid by.")] = "cost",
    interval: Annotated[
        str, typer.Option(metavar="INTERVAL", help=f"How often the product is billed: {', '.join(INTERVALS)}.")
    ] = "month",
    credits_: Annotated[
        int | None,
        typer.Option(
            "--credits",
            metavar="UNITS",
            help="A benefit that credits so many units, each interval anew; with the product, if there is one. At most"
            " 2,147,483,647: that is $2.147483647 on a meter of cost, so credit tokens or calls.",
        ),
    ] = None,
    credited_to: Annotated[
        str, typer.Option(metavar="KIND", help="The meter whose units are credited.")
    ] = "total_tokens",
    credits_name: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What customers read about the credits.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be made.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Make it without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make the meters that billing needs on Polar, and a product and credits if you like.

    Run it as often as you like: what is there already is recognized by what it counts, whatever it is called, and left
    alone. What has a wanted name but counts or costs something else is refused, with what differs, and then nothing at
    all is made: a meter is frozen once something was billed by it. Make meters before the first call is billed, because
    Polar never bills what came before a meter.

    Cost and charge are summed in billionths of a dollar, exactly; Polar shows them in dollars. `charge` needs a markup
    in the application's settings.

    The access token needs the scopes `meters:read` and `meters:write`; for a product `products:read` and
    `products:write`, for credits `benefits:read` and `benefits:write`.

    Ends with 0 if all is there, or would be; 1 if something is refused, or you said no; 2 if an option is off; 3 if
    Polar cannot be asked.

    Example: `otel-polar setup --dry-run`

    Example: `otel-polar setup --model 'gpt-4o-mini*' --meter cost --meter total_tokens`

    Example: `otel-polar setup --product "Pay as you go" --price-per-usd 1.3`

    Example: `otel-polar setup setup.toml --yes --json`
    """
    with failing(COMMAND):
        settings = Settings.load()
        name = _event_name(settings, event_name)
        if file is not None:
            if any((meter, model, product, price_per_usd, price_per_unit, credits_)):
                fail(COMMAND, "give either FILE or options that say what to make", Ending.MISUSED)
            wanted = read_setup_file(file, event_name=name, prefix=prefix)
        else:
            try:
                wanted = _wanted(meter or list(DEFAULT_KINDS), model or [], name, prefix)
                if product is not None:
                    meter_ = wanted.meter(priced_by)
                    price = cents_per_unit(
                        meter_,
                        per_unit=price_of("--price-per-unit", price_per_unit),
                        per_usd=price_of("--price-per-usd", price_per_usd),
                    )
                    wanted = replace(wanted, product=_product(product, meter_, price, interval))
                elif price_per_usd is not None or price_per_unit is not None:
                    fail(COMMAND, "a price needs --product NAME", Ending.MISUSED)
                wanted = _with_credits(wanted, credits_, credited_to, credits_name)
            except ConfigError as error:
                fail(COMMAND, error, Ending.MISUSED)
        _run(settings, wanted, dry_run=dry_run, yes=yes, as_json=as_json)


def _run(settings: Settings, wanted: Wanted, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    from otel_polar.account.setup import make_plan  # noqa: PLC0415 - httpx, a tenth of a second
    from otel_polar.polar_api.client import PolarApi  # noqa: PLC0415 - as above

    with PolarApi(settings, is_patient=True) as api:
        plan = make_plan(api, wanted)
        if plan.refused or dry_run or not plan.to_do:
            _show(plan, api, is_dry_run=dry_run, as_json=as_json)
            if plan.refused:
                say(f"{counted(len(plan.refused), 'thing')} cannot be made as wanted; nothing was changed")
                end(Ending.WRONG)
            return
        if not yes and not as_json:
            _show(plan, api, is_dry_run=True, as_json=False)
        if not confirm(f"Make {counted(len(plan.to_do), 'thing')} on Polar at {api.address}?", yes=yes):
            end(Ending.WRONG)
        _show(_carried_out(api, wanted, plan), api, is_dry_run=False, as_json=as_json)


def _carried_out(api: PolarApi, wanted: Wanted, plan: Plan) -> Plan:
    from otel_polar.account.setup import carry_out  # noqa: PLC0415 - as above

    made: list[Item] = []
    with working("Setting up", total=len(plan.to_do), unit="made") as advance:

        def done(item: Item) -> None:
            made.append(item)
            advance(1, description=printable(item.name))

        try:
            return carry_out(api, wanted, done=done)
        except PolarError:
            if made:
                names = ", ".join(f"{item.kind} {item.name!r}" for item in made)
                say(printable(f"made before it failed, and found when you run it again: {names}"))
            raise


def _show(plan: Plan, api: PolarApi, *, is_dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "polar": api.address,
                "dry_run": is_dry_run,
                "refused": len(plan.refused),
                "items": [asdict(item) for item in plan.items],
            }
        )
        return
    title = f"Polar at {api.address}" + (" (nothing is changed yet)" if is_dry_run and plan.to_do else "")
    rows = [(each.kind, each.name, each.action.value, each.id or "", each.says) for each in plan.items]
    show_table(title, ("what", "name", "is", "id", "remarks"), rows)
    if any(item.kind == "meter" and item.action is Action.CREATED for item in plan.items):
        say("Polar bills by a meter what comes in from now on, once a product has a price on it.")


def _event_name(settings: Settings, given: str | None) -> str:
    if given is not None:
        return given
    if not isinstance(settings.event_name, str):
        raise ConfigError("event_name is a function: give --event-name for each name it answers")
    return settings.event_name


def _wanted(kinds: list[str], models: list[str], event_name: str, prefix: str) -> Wanted:
    meters = [
        wanted_meter(kind, event_name=event_name, model=model, prefix=prefix)
        for model in (None, *models)
        for kind in dict.fromkeys(kinds)
    ]
    return Wanted(tuple(meters))


def _product(name: str, meter: WantedMeter, price: Decimal, interval: str) -> WantedProduct:
    if interval not in INTERVALS:
        raise ConfigError(f"--interval is {interval!r}: it must be one of {', '.join(INTERVALS)}")
    checked = check_name("--product", name, longest=MAX_PRODUCT_NAME)
    return WantedProduct(checked, meter=meter, cents_per_unit=price, interval=interval)


def _with_credits(wanted: Wanted, units: int | None, credited_to: str, name: str | None) -> Wanted:
    if units is None:
        return wanted
    meter = wanted.meter(credited_to)
    checked = check_units(units, meter)
    what = "units" if meter.kind is None else KINDS[meter.kind].words
    description = f"{checked:,} {what} included" if name is None else name
    text = check_name("--credits-name", description, longest=MAX_DESCRIPTION)
    return replace(wanted, credits=WantedCredits(text, meter, checked))
