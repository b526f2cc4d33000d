"""Specifies that the README is true: its code is the examples', its table the settings', its claims the package's."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar import Settings
from otel_polar.billing.call import ModelCall
from otel_polar.billing.catalog.catalog import Catalog
from otel_polar.billing.customer import Customer
from otel_polar.billing.event import build_event
from otel_polar.billing.operation import BILLABLE_OPERATIONS
from otel_polar.billing.pricing import Price, PriceQuery, price_call, query_of
from otel_polar.billing.rate_card import RateCard
from otel_polar.billing.rates import BUCKETS
from otel_polar.billing.reading import read_call
from otel_polar.billing.span import SpanRecord
from otel_polar.billing.usage import TokenUsage
from otel_polar.delivery.disk.rows import State
from otel_polar.settings.credits import CreditSettings
from otel_polar.settings.field import settings_in
from otel_polar.settings.file import load_config
from otel_polar.settings.serve import KafkaSettings, ServeSettings
from tests.delivery.support import START_UNIX_NANO, a_call
from tests.unmeasured import unmeasured_environment

if TYPE_CHECKING:
    from otel_polar.sandbox import SandboxServer

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def fenced(language: str) -> list[str]:
    """The contents of every fenced block of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def test_the_first_program_is_the_quickstart_example() -> None:
    """The example is run by a test, so what people copy from the README works."""
    example = (ROOT / "examples" / "quickstart.py").read_text()
    docstring = ast.get_docstring(ast.parse(example), clean=False)

    assert fenced("python")[0] == example.replace(f'"""{docstring}"""', "").lstrip()


def test_every_python_block_is_python() -> None:
    """A typing error in a README is copied a thousand times."""
    for block in fenced("python"):
        ast.parse(block)


def test_the_settings_table_is_that_of_the_settings() -> None:
    """An option that is not in the table does not exist for a user; one that is only there is a lie."""
    rows = re.findall(r"^\| `(\w+)` \| (?:`(\w+)`|\u2013) \|", README, flags=re.MULTILINE)

    assert rows == [(setting.name, setting.metadata["variable"]) for setting in fields(Settings)]
    for setting in fields(Settings):
        assert f"| {setting.metadata['about']} |" in README


def test_the_table_of_the_service_is_that_of_its_settings() -> None:
    """The same of the service's own options."""
    rows = re.findall(r"^\| `serve\.([\w.]+)` \| (?:`(\w+)`|\u2013) \|", README, flags=re.MULTILINE)
    tables = (("", settings_in(ServeSettings)), ("kafka.", settings_in(KafkaSettings)))
    known = {f"{prefix}{name}": each for prefix, table in tables for name, each in table.items()}

    assert rows == [(name, each["variable"]) for name, each in known.items()]
    assert [name for name, each in known.items() if f"| {each['about']} |" not in README] == []


def test_the_table_of_the_guard_is_that_of_its_settings() -> None:
    """The same of the balance guard's."""
    rows = re.findall(r"^  \| `(OTEL_POLAR_CREDITS_\w+)` \| (.*) \| (.*) \|$", README, flags=re.MULTILINE)

    assert rows == [(each["variable"], each["unit"], each["about"]) for each in settings_in(CreditSettings).values()]


def test_the_event_is_the_one_that_is_built() -> None:
    """Meters are made from this text, and frozen."""
    (shown,) = (json.loads(block) for block in fenced("json"))
    span = SpanRecord(
        name="chat",
        trace_id="1" * 32,
        span_id="1" * 16,
        start_time_unix_nano=START_UNIX_NANO,
        end_time_unix_nano=START_UNIX_NANO + 1_830_000_000,
        failed=False,
        scope_name="",
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.id": "chatcmpl-ASv9R2E7Yhb2e7bj4Xl0qm9s3J42Y",
            "gen_ai.usage.input_tokens": 812,
            "gen_ai.usage.output_tokens": 142,
            "gen_ai.usage.cache_read.input_tokens": 512,
        },
        resource_attributes={"service.name": "chat-api"},
    )
    call = read_call(span, Customer(external_customer_id="user_42"), {"plan": "pro"})
    assert isinstance(call, ModelCall)
    price = price_call(call, [Catalog()])
    assert isinstance(price, Price)

    built: Any = build_event(call, price, now=2e9).body()

    differing = {"generation_id", "trace_id", "span_id"}
    assert built.keys() == shown.keys()
    assert built["metadata"].keys() == shown["metadata"].keys()
    assert {k: v for k, v in built["metadata"].items() if k not in differing} == {
        k: v for k, v in shown["metadata"].items() if k not in differing
    }


def test_every_operation_and_held_state_is_named() -> None:
    """Whoever finds a call held must find the word."""
    for word in (*BILLABLE_OPERATIONS.values(), *(state.value for state in State if state.value.startswith("held"))):
        assert word in README, word


def test_the_code_about_other_usage_bills_what_it_says(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """It is copied as a whole."""
    (code,) = (block for block in fenced("python") if "metered(" in block)
    environment = {
        **unmeasured_environment(),
        "POLAR_ACCESS_TOKEN": "polar_oat_test",
        "POLAR_BASE_URL": polar_sandbox.url,
        "OTEL_POLAR_OUTBOX_DIR": str(tmp_path),
    }
    code += 'with bill_to("user_42"): transcode(b"x"); provider.get_tracer("x").start_span(\n'
    code += '    "render a", attributes={"report.page_count": 7}).end()\n'
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60
    )

    events = {event["name"]: event["metadata"] for event in polar_sandbox.events()}
    assert (events["pdf_export"]["pages"], events["pdf_export"]["format"]) == (12, "a4")
    assert events["report"]["pages"] == 7
    assert "transcoding" in events
    assert events["download"]["bytes"] == len((ROOT / "README.md").read_bytes())
    assert done.stderr == ""


def test_what_explain_is_shown_to_say_is_what_it_says() -> None:
    """The command and its output are copied from here."""
    block = README.partition("<!-- command: explain -->")[2]
    command = block.partition("```sh\n")[2].partition("\n```")[0].split()
    shown = block.partition("```text\n")[2].partition("\n```")[0].split("\n")

    result = subprocess.run(
        [sys.executable, "-m", "otel_polar", *command[1:]], capture_output=True, text=True, check=True, timeout=60
    )

    lines = result.stdout.splitlines()
    end = shown.index("…")
    assert command[0] == ".venv/bin/otel-polar"
    assert [*shown[:end], shown[-1]] == [*lines[:end], lines[-1]]


def test_what_price_is_shown_to_say_is_what_it_says() -> None:
    """Whoever tries it first compares."""
    block = README.partition("<!-- command: price -->")[2]
    command = block.partition("```sh\n")[2].partition("\n```")[0].split()
    shown = block.partition("```text\n")[2].partition("\n```")[0]

    result = subprocess.run(
        [sys.executable, "-m", "otel_polar", *command[1:]], capture_output=True, text=True, check=True, timeout=60
    )

    assert command[0] == ".venv/bin/otel-polar"
    assert result.stdout.strip() == shown


def test_the_rate_card_shown_is_one() -> None:
    """It is copied, and changed a little."""
    block, _ = fenced("toml")
    card = RateCard.from_text(block, "prices.toml")
    at = datetime(2026, 11, 20, tzinfo=UTC)
    usage = TokenUsage(1_000, 100)

    answers = [
        card(PriceQuery("openai", None, "gpt-9000-mini", usage, at)),
        card(PriceQuery("anthropic", None, "claude-sonnet-4-5-20250929", usage, at, external_customer_id="acme")),
        card(PriceQuery("vllm", None, "llama-4", usage, at, server_address="llm.internal", service_tier="flex")),
        card(PriceQuery("anthropic", None, "claude-sonnet-4-5-20250929", usage, at)),
    ]

    assert [answer.usd if isinstance(answer, Price) else answer for answer in answers] == [
        Decimal("0.0035"),
        Decimal("0.00405"),
        Decimal("0.0004"),
        None,
    ]


def test_the_settings_file_shown_is_one(tmp_path: Path) -> None:
    """It is copied, too; only its file of tokens is elsewhere."""
    _, block = fenced("toml")
    file = tmp_path / "otel-polar.toml"
    file.write_text(block)

    loaded = load_config(file, serve={}, kafka={}, environ={})

    assert (loaded.settings.server, loaded.serve.host, loaded.serve.needs_token) == ("production", "0.0.0.0", True)  # noqa: S104 - as shown


def test_the_resolver_shown_is_accepted_and_prices() -> None:
    """A signature that is shown wrongly holds every call back."""
    (block,) = (block for block in fenced("python") if "def our_own_model" in block)
    shown: dict[str, Any] = {}
    exec(block, shown)  # noqa: S102 - our own README

    price = price_call(a_call(response_model="ours-1"), [shown["our_own_model"]])

    assert isinstance(price, Price)
    assert price.usd == Decimal("0.000128")
    assert shown["our_own_model"](query_of(a_call())) is None


def test_every_bucket_of_a_rate_card_is_named() -> None:
    """Nobody should have to read the source for a word."""
    for bucket in BUCKETS:
        assert f"`{bucket}`" in README, bucket


def test_the_default_identity_keys_are_named() -> None:
    """They are how an existing application is billed without changing it."""
    keys = Settings.load({}).customer_keys
    for key in keys.all:
        assert f"`{key}`" in README, key
    assert a_call().customer == Customer(external_customer_id="user_42")


def test_the_sign_up_is_the_example() -> None:
    """The example is run by a test."""
    example = (ROOT / "examples" / "sign_up.py").read_text()

    assert any(example.endswith(block) for block in fenced("python") if "def sign_up" in block)


def test_the_functions_shown_are_accepted_and_bill() -> None:
    """A signature that is shown wrongly holds every call back."""
    (block,) = (block for block in fenced("python") if "def with_credits" in block)
    shown: dict[str, Any] = {}
    exec(block, shown)  # noqa: S102 - our own README

    event = build_event(
        a_call(),
        None,
        now=2e9,
        event_name=shown["name_by_operation"],
        map_metadata=shown["with_credits"],
    )

    assert (event.name, event.metadata["credits"]) == ("llm_usage", 110 // 100 + 1)


@pytest.mark.slow
def test_the_test_shown_passes(tmp_path: Path) -> None:
    """It is the first thing a careful user copies."""
    (block,) = (block for block in fenced("python") if "def test_my_app" in block)
    (tmp_path / "test_my_app.py").write_text(block)
    (tmp_path / "examples").symlink_to(ROOT / "examples")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=unmeasured_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "1 passed" in done.stdout, done.stdout
