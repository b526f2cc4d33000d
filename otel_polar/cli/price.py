"""``otel-polar price``: what a call would cost, line by line, and by which entry of whose list."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from otel_polar.billing.card_suggestion import suggested_entry
from otel_polar.billing.money import EXACT, cents, nanos, plain
from otel_polar.billing.pricing import Price, PriceQuery
from otel_polar.billing.provider import canonical_provider
from otel_polar.billing.rates import BUCKETS, REQUEST
from otel_polar.billing.service_tier import STANDARD_TIERS
from otel_polar.billing.usage import ImpossibleCountError, Media, build_usage
from otel_polar.cli.output import Ending, end, fail, print_json
from otel_polar.cli.prices import price_book
from otel_polar.cli.printable import printable
from otel_polar.errors import ConfigError
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from otel_polar.billing.pricing import Unpriced
    from otel_polar.billing.rates import Line


def price(
    provider: Annotated[str, typer.Argument(help="As on the span, such as `openai` or `aws.bedrock`.")],
    model: Annotated[str, typer.Argument(help="The model that answered; of Bedrock, the one that was asked for.")],
    *,
    input_tokens: Annotated[int, typer.Option("--input", min=0, help="All input tokens, cached ones included.")] = 0,
    cached: Annotated[int, typer.Option("--cached", min=0, help="... of which were read from a cache.")] = 0,
    cache_write: Annotated[int, typer.Option(min=0, help="... of which were written to a cache.")] = 0,
    cache_write_1h: Annotated[
        int, typer.Option("--cache-write-1h", min=0, help="... of which to one that keeps them for an hour.")
    ] = 0,
    output_tokens: Annotated[int, typer.Option("--output", min=0, help="All output tokens, with reasoning.")] = 0,
    reasoning: Annotated[int, typer.Option(min=0, help="... of which are reasoning.")] = 0,
    audio_input: Annotated[int, typer.Option(min=0, help="Input tokens that are audio.")] = 0,
    audio_output: Annotated[int, typer.Option(min=0, help="Output tokens that are audio.")] = 0,
    image_input: Annotated[int, typer.Option(min=0, help="Input tokens that are images.")] = 0,
    image_output: Annotated[int, typer.Option(min=0, help="Output tokens that are images.")] = 0,
    at: Annotated[
        str | None, typer.Option(help="When the call starts: a date, or a time with its offset; now if left out.")
    ] = None,
    tier: Annotated[str | None, typer.Option(help="Service tier of the answer: flex, priority, fast, batch.")] = None,
    server_address: Annotated[str | None, typer.Option(help="The host that is called.")] = None,
    customer: Annotated[str | None, typer.Option(help="Your id of the customer, for prices of their own.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False,
) -> None:
    """Say what a call costs by your rate card (OTEL_POLAR_RATE_CARD) and the catalogue, line by line.

    Ends with 1 if no price is known, and shows what to add to a rate card then. Nothing is sent or fetched.

    Example: `otel-polar price --input 812 --cached 512 --output 142 openai gpt-4o-mini`
    """
    try:
        media = Media(
            audio_input_tokens=audio_input,
            audio_output_tokens=audio_output,
            image_input_tokens=image_input,
            image_output_tokens=image_output,
        )
        usage = build_usage(input_tokens, output_tokens, cached, cache_write, cache_write_1h, reasoning, media)
        settings = Settings.load()
        query = PriceQuery(
            canonical_provider(provider),
            model,
            model,
            usage,
            _moment(at),
            service_tier=None if tier is None or tier.lower() in STANDARD_TIERS else tier.lower(),
            server_address=server_address,
            external_customer_id=customer,
        )
        answer = price_book(settings).answer(query)
        markup = settings.markup if isinstance(settings.markup, Decimal) else None
    except ImpossibleCountError as error:
        fail("price", error, Ending.MISUSED)
    except ConfigError as error:
        fail("price", error)
    if as_json:
        print_json(_as_json(query, answer, markup))
    else:
        typer.echo(_as_text(query, answer, markup))
    if not isinstance(answer, Price):
        end(Ending.WRONG)


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    is_date = len(text) <= len("2026-11-20")
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if is_date else moment
        in_utc = None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        in_utc = None
    if in_utc is None:
        fail("price", f"--at is {text!r}: it must be a date, or a time with its offset from UTC", Ending.MISUSED)
    return in_utc


_COLUMNS: Final = "{:<18}{:>16}{:>20}{:>26}"


def _as_text(query: PriceQuery, answer: Price | Unpriced, markup: Decimal | None) -> str:
    tier = f", tier {query.service_tier}" if query.service_tier else ""
    head = f"{query.provider or 'no provider'} {query.model}, {query.at:%Y-%m-%d %H:%M:%S} UTC{tier}"
    if not isinstance(answer, Price):
        entry = ("", "# on your rate card:", suggested_entry(query, answer.host)) if answer.wants_entry else ()
        return "\n".join((printable(head), f"unpriced: {printable(answer.reason)}", *entry))
    lines = [printable(head), _COLUMNS.format("", "tokens", "USD per million", "USD")]
    lines += [_line(line) for line in _lines(query, answer)] or _prices(answer)
    lines.append(_COLUMNS.format("cost", "", "", plain(answer.usd)))
    if markup is not None:
        charge = EXACT.multiply(answer.usd, markup)
        lines.append(_COLUMNS.format("charge", "", f"x {plain(markup)}", plain(charge)))
    charged = "" if markup is None else f", charge_nanos {nanos(EXACT.multiply(answer.usd, markup))}"
    lines += ["", f"on the event: _cost {cents(answer.usd)} cents, cost_nanos {nanos(answer.usd)}{charged}"]
    lines.append(printable(f"by {answer.source}, entry {answer.matched or 'unnamed'}{_tier_of_context(query, answer)}"))
    lines += [printable(f"approximate: {note}") for note in answer.notes]
    return "\n".join(line.rstrip() for line in lines)


def _line(line: Line) -> str:
    if line.what == REQUEST:
        return _COLUMNS.format(line.what, "", "", plain(line.usd))
    return _COLUMNS.format(line.what, f"{line.tokens:,}", plain(line.usd_per_million), plain(line.usd))


def _lines(query: PriceQuery, answer: Price) -> list[Line]:
    return [] if answer.rates is None else answer.rates.lines(query.usage)


def _prices(answer: Price) -> list[str]:
    """What each kind of token costs, where there are none to multiply by."""
    prices = () if answer.rates is None else zip(BUCKETS, answer.rates.tiers[0][1], strict=True)
    return [_COLUMNS.format(bucket, "", plain(price), "") for bucket, price in prices if price is not None]


def _tier_of_context(query: PriceQuery, answer: Price) -> str:
    above = 0 if answer.rates is None else answer.rates.above_input_tokens(query.usage)
    return f", its prices above {above:,} input tokens" if above else ""


def _as_json(query: PriceQuery, answer: Price | Unpriced, markup: Decimal | None) -> dict[str, Any]:
    asked = {"provider": query.provider, "model": query.model, "at": query.at.isoformat(), "tier": query.service_tier}
    if not isinstance(answer, Price):
        entry = suggested_entry(query, answer.host) if answer.wants_entry else None
        return {**asked, "cost_usd": None, "unpriced": answer.reason, "rate_card_entry": entry}
    return {
        **asked,
        "cost_usd": plain(answer.usd),
        "cost_cents": cents(answer.usd),
        "cost_nanos": nanos(answer.usd),
        "charge_nanos": None if markup is None else nanos(EXACT.multiply(answer.usd, markup)),
        "lines": [
            {
                "what": line.what,
                "tokens": line.tokens,
                "usd_per_million": plain(line.usd_per_million),
                "usd": plain(line.usd),
            }
            for line in _lines(query, answer)
        ],
        "source": answer.source,
        "matched": answer.matched,
        "approximate": answer.is_approximate,
        "notes": list(answer.notes),
    }
