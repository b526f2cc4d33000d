from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from otel_polar.billing.customer import CustomerKeys
from otel_polar.billing.measurement import SpanRule
from otel_polar.billing.rate_card import RateCard
from otel_polar.errors import ConfigError, OtelPolarError
from otel_polar.options import Options
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.pricing import PriceQuery

TOKEN: Final = "polar_oat_s3cr3t"
IN_CODE_ONLY: Final = ("map_metadata", "price_resolvers", "span_rules")
SECRET: Final = "16 characters or more"
SECRETS: Final = ("access_token", "baggage_secret")
A_CARD: Final = {"gpt-4o": {"promptTokens": 2.5e-6}}


def load(environ: dict[str, str] | None = None, **options: Any) -> Settings:
    """Settings of a process with this environment and nothing else in it."""
    return Settings.load({} if environ is None else environ, **options)


def name_of(call: ModelCall) -> str:
    """Answer an event's name."""
    return call.operation


def count(_model: str | None, text: str) -> int:
    """Count a token for each character."""
    return len(text)


def no_price(_query: PriceQuery) -> None:
    """Leave every price to the next resolver."""


def keep(_call: ModelCall, metadata: Any) -> Any:
    """Answer the metadata as it is."""
    return metadata


def setting_names() -> list[str]:
    """Return the names of all options, as the dataclass has them."""
    return [setting.name for setting in fields(Settings)]


def variables() -> dict[str, str]:
    """Return every option's environment variable, "" where it has none."""
    return {setting.name: setting.metadata["variable"] for setting in fields(Settings)}


# option, its variable, text in the variable, the value meant by it, another value as a keyword, the value meant by that
VALUES: Final[list[tuple[str, str, str, object, object, object]]] = [
    ("access_token", "POLAR_ACCESS_TOKEN", TOKEN, TOKEN, "polar_oat_other", "polar_oat_other"),
    ("server", "POLAR_SERVER", "production", "production", "sandbox", "sandbox"),
    (
        "base_url",
        "POLAR_BASE_URL",
        "http://127.0.0.1:4010/",
        "http://127.0.0.1:4010",
        "https://polar.example/api//",
        "https://polar.example/api",
    ),
    ("event_name", "OTEL_POLAR_EVENT_NAME", "ai_usage", "ai_usage", name_of, name_of),
    (
        "customer_id_keys",
        "OTEL_POLAR_CUSTOMER_ID_KEYS",
        "polar.id",
        ("polar.id",),
        ["a", "b"],
        ("a", "b"),
    ),
    (
        "external_customer_id_keys",
        "OTEL_POLAR_EXTERNAL_CUSTOMER_ID_KEYS",
        "tenant.id, org.id",
        ("tenant.id", "org.id"),
        "user.id",
        ("user.id",),
    ),
    ("member_id_keys", "OTEL_POLAR_MEMBER_ID_KEYS", "seat", ("seat",), (), ()),
    ("user_id_attributes", "OTEL_POLAR_USER_ID_ATTRIBUTES", "app.user", ("app.user",), (), ()),
    ("baggage_secret", "OTEL_POLAR_BAGGAGE_SECRET", f" {SECRET} ", SECRET, SECRET[::-1], SECRET[::-1]),
    ("baggage_max_age_s", "OTEL_POLAR_BAGGAGE_MAX_AGE_S", "60", 60.0, 31_536_000, 31_536_000.0),
    ("baggage_hosts", "OTEL_POLAR_BAGGAGE_HOSTS", "*.internal, b", ("*.internal", "b"), (), ()),
    ("trust_baggage", "OTEL_POLAR_TRUST_BAGGAGE", "True", True, False, False),
    ("bill_scopes", "OTEL_POLAR_BILL_SCOPES", "openai*, mine", ("openai*", "mine"), (), ()),
    ("tags", "OTEL_POLAR_TAGS", "plan,region , team", ("plan", "region", "team"), "plan,region", ("plan", "region")),
    ("on_unattributed", "OTEL_POLAR_ON_UNATTRIBUTED", "drop", "drop", "hold", "hold"),
    ("on_unpriced", "OTEL_POLAR_ON_UNPRICED", "send", "send", "hold", "hold"),
    ("rate_card", "OTEL_POLAR_RATE_CARD", "/etc/prices.toml", Path("/etc/prices.toml"), A_CARD, A_CARD),
    (
        "trusted_costs",
        "OTEL_POLAR_TRUSTED_COSTS",
        "openrouter=gen_ai.usage.cost, acme*=cost",
        (("openrouter", "gen_ai.usage.cost"), ("acme*", "cost")),
        {"openrouter": "cost"},
        (("openrouter", "cost"),),
    ),
    ("gateways", "OTEL_POLAR_GATEWAYS", "llm.internal", ("llm.internal",), ["a", "b"], ("a", "b")),
    ("self_hosted", "OTEL_POLAR_SELF_HOSTED", "10.0.0.*", ("10.0.0.*",), "b", ("b",)),
    ("approximate_models", "OTEL_POLAR_APPROXIMATE_MODELS", "price", "price", "hold", "hold"),
    ("markup", "OTEL_POLAR_MARKUP", "1.25", Decimal("1.25"), 0.1, Decimal("0.1")),
    ("catalog_update_hours", "OTEL_POLAR_CATALOG_UPDATE_HOURS", "24", 24.0, 8_760, 8_760.0),
    (
        "catalog_url",
        "OTEL_POLAR_CATALOG_URL",
        "http://127.0.0.1/v2.json",
        "http://127.0.0.1/v2.json",
        "http://a",
        "http://a",
    ),
    ("catalog_max_factor", "OTEL_POLAR_CATALOG_MAX_FACTOR", "1.5", Decimal("1.5"), 1_000, Decimal(1_000)),
    (
        "catalog_accepted_moves",
        "OTEL_POLAR_CATALOG_ACCEPTED_MOVES",
        "openai/gpt-4o",
        ("openai/gpt-4o",),
        ("groq/*",),
        ("groq/*",),
    ),
    ("record_unsampled", "OTEL_POLAR_RECORD_UNSAMPLED", "genai", "genai", "none", "none"),
    ("openai_hooks", "OTEL_POLAR_OPENAI_HOOKS", "false", False, True, True),
    ("agent_event_name", "OTEL_POLAR_AGENT_EVENT_NAME", "agent_run", "agent_run", "run", "run"),
    ("estimate_tokens", "OTEL_POLAR_ESTIMATE_TOKENS", "bytes", "bytes", count, count),
    ("outbox_dir", "OTEL_POLAR_OUTBOX_DIR", "/var/lib/ob", Path("/var/lib/ob"), Path("/srv/ob"), Path("/srv/ob")),
    ("settle_s", "OTEL_POLAR_SETTLE_S", "0", 0.0, 3_600, 3_600.0),
    ("linger_s", "OTEL_POLAR_LINGER_S", "2.5", 2.5, 0, 0.0),
    ("request_timeout_s", "OTEL_POLAR_REQUEST_TIMEOUT_S", "0.1", 0.1, 600, 600.0),
    ("requests_per_minute", "OTEL_POLAR_REQUESTS_PER_MINUTE", "1", 1.0, "100000", 100_000.0),
    ("retention_days", "OTEL_POLAR_RETENTION_DAYS", " 7 ", 7.0, 3_650, 3_650.0),
    ("shutdown_timeout_s", "OTEL_POLAR_SHUTDOWN_TIMEOUT_S", "1e1", 10.0, 0.0, 0.0),
    ("ensure_customers", "OTEL_POLAR_ENSURE_CUSTOMERS", "hold", "hold", "off", "off"),
]


def test_the_tables_of_this_file_cover_every_option() -> None:
    """A new option must be specified here before it is one."""
    assert {*(row[0] for row in VALUES), *IN_CODE_ONLY} == set(setting_names())
    assert {*(row[0] for row in WRONG)} == set(setting_names())


@pytest.mark.parametrize(("option", "variable", "text", "from_variable", "keyword", "from_keyword"), VALUES)
def test_a_keyword_beats_the_variable_and_the_variable_the_default(
    option: str, variable: str, text: str, from_variable: object, keyword: object, from_keyword: object
) -> None:
    """Operations can set everything without touching code, and code that says something is not overruled."""
    default = getattr(Settings(), option)

    assert getattr(load({variable: text}), option) == from_variable
    assert getattr(load({variable: text}, **{option: keyword}), option) == from_keyword
    assert from_variable not in (default, from_keyword)


@pytest.mark.parametrize("empty", ["", " ", "\t\n"])
@pytest.mark.parametrize("option", [name for name in setting_names() if name not in IN_CODE_ONLY])
def test_an_empty_variable_counts_as_not_set(option: str, empty: str) -> None:
    """As everywhere in OpenTelemetry: compose files set variables to nothing."""
    assert getattr(load({variables()[option]: empty}), option) == getattr(load(), option)


@pytest.mark.parametrize("option", setting_names())
def test_none_leaves_an_option_to_the_environment_and_the_default(option: str) -> None:
    """Wrappers pass their own optional arguments through."""
    environ = {variable: text for _, variable, text, *_ in VALUES}

    assert load(environ, **{option: None}) == load(environ)
    assert load({}, **{option: None}) == load()


def test_the_defaults_are_safe() -> None:
    """The sandbox, nothing dropped, nothing guessed: what a first run does must not cost anybody anything."""
    assert load() == Settings(
        access_token=None,
        server="sandbox",
        base_url=None,
        event_name="llm_usage",
        customer_id_keys=("customerId", "polarCustomerId", "customer_id"),
        external_customer_id_keys=("userId", "externalId", "user_id", "user.id", "enduser.id"),
        member_id_keys=("memberId", "member_id"),
        tags=(),
        map_metadata=None,
        on_unattributed="hold",
        on_unpriced="hold",
        outbox_dir=None,
        settle_s=2.0,
        linger_s=1.0,
        request_timeout_s=30.0,
        requests_per_minute=None,
        retention_days=30.0,
        shutdown_timeout_s=5.0,
        ensure_customers="off",
    )


def test_functions_are_given_in_code_only() -> None:
    """A function cannot be written in a variable."""
    assert load(map_metadata=keep).map_metadata is keep
    assert load(price_resolvers=no_price).price_resolvers == (no_price,)
    assert load(price_resolvers=[no_price, RateCard(A_CARD)]).price_resolvers[0] is no_price
    rule = SpanRule(event_name="report")
    assert (load(span_rules=rule).span_rules, load(span_rules=[rule]).span_rules) == ((rule,), (rule,))
    assert [variables()[option] for option in IN_CODE_ONLY] == ["", "", ""]


def test_a_markup_may_be_a_function() -> None:
    """Some charge by the customer's plan."""
    assert load(markup=keep).markup is keep


# option, a wrong value, what the message says of it
WRONG: Final[list[tuple[str, Any, str]]] = [
    ("baggage_secret", "too short", "must be text of at least 16 characters"),
    ("baggage_secret", 5, "must be text of at least 16 characters"),
    ("baggage_max_age_s", 0, "from 1 to 3.1536e+07"),
    ("baggage_hosts", ["a", ""], "every key must be text"),
    ("baggage_hosts", "127.0.0.1:8080", "without scheme, port and path"),
    ("gateways", "https://llm.internal", "without scheme, port and path"),
    ("self_hosted", "llm.internal/v1", "without scheme, port and path"),
    ("trust_baggage", "yes", "it must be 'true' or 'false'"),
    ("trust_baggage", 1, "it must be 'true' or 'false'"),
    ("record_unsampled", "some", "'all' or 'genai' or 'none'"),
    ("openai_hooks", "on", "it must be 'true' or 'false'"),
    ("span_rules", "x", "it must be a SpanRule, or several"),
    ("span_rules", [5], "it must be a SpanRule, or several"),
    ("agent_event_name", "x" * 129, "at most 128"),
    ("estimate_tokens", "tiktoken", "'off' or 'bytes'"),
    ("access_token", "", "must be text that is not empty"),
    ("access_token", "polar_oat_s3 cr3t", "characters that no access token has"),
    ("access_token", "polar_oat_s3\ncr3t", "characters that no access token has"),
    ("access_token", "polar_oat_s3cr3t\u00e9", "characters that no access token has"),
    ("access_token", "polar_oat_s3cr3t\x00", "characters that no access token has"),
    ("server", "Production", "must be 'sandbox' or 'production'"),
    ("server", "prod", "must be 'sandbox' or 'production'"),
    ("server", True, "must be 'sandbox' or 'production'"),
    ("base_url", "api.polar.sh", "must be a URL that begins with http:// or https:// and names a host"),
    ("base_url", "ftp://api.polar.sh", "must be a URL that begins with http:// or https:// and names a host"),
    ("base_url", "https://", "must be a URL that begins with http:// or https:// and names a host"),
    ("base_url", 8080, "must be text that is not empty"),
    ("event_name", "  ", "must be text that is not empty"),
    ("event_name", 7, "must be text that is not empty"),
    ("event_name", "n" * 129, "has 129 characters: Polar takes at most 128"),
    ("customer_id_keys", "", "every key must be text that is not empty"),
    ("customer_id_keys", "a,,b", "every key must be text that is not empty"),
    ("external_customer_id_keys", ["a", ""], "every key must be text that is not empty"),
    ("external_customer_id_keys", ["a", 1], "every key must be text that is not empty"),
    ("external_customer_id_keys", b"user.id", "every key must be text that is not empty"),
    ("member_id_keys", 5, "one key, or several separated by commas"),
    ("user_id_attributes", 5, "one key, or several separated by commas"),
    ("bill_scopes", 5, "one key, or several separated by commas"),
    ("tags", "plan,", "every key must be text that is not empty"),
    ("tags", True, "one key, or several separated by commas"),
    ("map_metadata", "mymodule.function", "must be a function of the call and its metadata"),
    ("map_metadata", {"a": 1}, "must be a function of the call and its metadata"),
    ("on_unattributed", "send", "must be 'hold' or 'drop'"),
    ("on_unattributed", False, "must be 'hold' or 'drop'"),
    ("on_unpriced", "drop", "must be 'hold' or 'send'"),
    ("on_unpriced", 0, "must be 'hold' or 'send'"),
    ("rate_card", "", "must be text that is not empty"),
    ("rate_card", "prices\0.toml", "a path cannot contain NUL"),
    ("rate_card", 5, "must be a file, a mapping or a RateCard"),
    ("price_resolvers", "mymodule.function", "must be a function of a PriceQuery"),
    ("price_resolvers", [5], "must be a function of a PriceQuery"),
    ("trusted_costs", "openrouter", "must be provider=attribute"),
    ("trusted_costs", "openrouter=", "must be provider=attribute"),
    ("trusted_costs", 5, "must be provider=attribute"),
    ("trusted_costs", {"openrouter": 5}, "must be provider=attribute"),
    ("gateways", 5, "one key, or several separated by commas"),
    ("self_hosted", "a,", "every key must be text that is not empty"),
    ("approximate_models", "send", "must be 'hold' or 'price'"),
    ("markup", "a lot", "must be a number from 0 to 1000"),
    ("markup", -1, "must be a number from 0 to 1000"),
    ("markup", True, "must be a number from 0 to 1000"),
    ("markup", float("nan"), "must be a number from 0 to 1000"),
    ("markup", "1." + "1" * 30, "has more than 24 digits"),
    ("catalog_update_hours", -1, "must be a number from 0 to 8760"),
    ("catalog_url", "prices.json", "must be a URL that begins with http:// or https:// and names a host"),
    ("catalog_max_factor", "0.5", "must be a number from 1 to 1000"),
    ("catalog_accepted_moves", 5, "one key, or several separated by commas"),
    ("outbox_dir", "", "must be text that is not empty"),
    ("outbox_dir", 3, "must be text that is not empty"),
    ("settle_s", -0.001, "must be a number from 0 to 3600"),
    ("settle_s", 3_600.001, "must be a number from 0 to 3600"),
    ("settle_s", True, "must be a number from 0 to 3600"),
    ("linger_s", "soon", "must be a number from 0 to 3600"),
    ("linger_s", float("nan"), "must be a number from 0 to 3600"),
    ("linger_s", [1], "must be a number from 0 to 3600"),
    ("request_timeout_s", 0, "must be a number from 0.1 to 600"),
    ("request_timeout_s", float("inf"), "must be a number from 0.1 to 600"),
    ("requests_per_minute", 0, "must be a number from 1 to 100000"),
    ("requests_per_minute", "1,000", "must be a number from 1 to 100000"),
    ("retention_days", 0.5, "must be a number from 1 to 3650"),
    ("retention_days", "30d", "must be a number from 1 to 3650"),
    ("shutdown_timeout_s", -1, "must be a number from 0 to 600"),
    ("shutdown_timeout_s", "601", "must be a number from 0 to 600"),
    ("ensure_customers", "create", "must be 'off' or 'hold'"),
]


def repeats(message: str, value: object) -> bool:
    """Whether a message shows the value: as it is, as the keys it was read as, or by its length."""
    forms = [repr(value)]
    if isinstance(value, str):
        forms += [repr(value.split(",")), f"has {len(value)} characters"]
    return any(form in message for form in forms)


@pytest.mark.parametrize(("option", "value", "why"), WRONG)
def test_a_wrong_keyword_is_one_error_that_names_option_variable_and_value(option: str, value: Any, why: str) -> None:
    """Whoever reads it may have set either, and must not have to look for it."""
    with pytest.raises(ConfigError) as caught:
        load(**{option: value})

    message = str(caught.value)
    named = f"{option} ({variables()[option]})" if variables()[option] else option
    assert message.startswith(f"{named} "), message
    assert why in message
    assert option in SECRETS or repeats(message, value)


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [row for row in WRONG if isinstance(row[1], str) and row[1].strip() and variables()[row[0]]],
)
def test_a_wrong_variable_is_the_same_error(option: str, value: str, why: str) -> None:
    """A process started by somebody else says which of their variables to mend."""
    with pytest.raises(ConfigError) as caught:
        load({variables()[option]: value})

    message = str(caught.value)
    assert message.startswith(f"{option} ({variables()[option]}) "), message
    assert why in message
    assert option in SECRETS or repeats(message, value.strip())


def test_a_wrong_value_is_told_before_a_wrong_default_could_be_used() -> None:
    """A typing slip in a keyword must not fall back to the variable's value."""
    with pytest.raises(ConfigError):
        load({"POLAR_SERVER": "sandbox"}, server="prod")


def test_a_config_error_is_one_of_ours() -> None:
    """One except clause catches everything this package raises on purpose."""
    assert issubclass(ConfigError, OtelPolarError)


@pytest.mark.parametrize(
    "token",
    [
        f"{TOKEN} ",
        f"polar oat {TOKEN}",
        f"{TOKEN}\nX-Injected: 1",
        f"{TOKEN}\u00e9",
        f"{TOKEN}\x00",
    ],
)
def test_no_error_message_repeats_the_access_token(token: str) -> None:
    """Messages are logged, and logs are read by many."""
    for environ, options in (({}, {"access_token": token}), ({"POLAR_ACCESS_TOKEN": token}, {})):
        try:
            message = repr(load(environ, **options))
        except ConfigError as error:
            message = f"{error!r} {error}"
        assert TOKEN not in message
        assert "s3cr3t" not in message


def test_the_access_token_is_in_no_representation_of_the_settings() -> None:
    """Settings are printed in logs, tracebacks and bug reports."""
    settings = load(access_token=TOKEN)

    assert settings.access_token == TOKEN
    assert [text for text in (repr(settings), str(settings), f"{settings}") if "s3cr3t" in text] == []


def test_white_space_around_a_token_is_no_part_of_it() -> None:
    """Secrets mounted as files end in a line break."""
    assert load({"POLAR_ACCESS_TOKEN": f"{TOKEN}\n"}).access_token == TOKEN
    assert load(access_token=f" {TOKEN}\n").access_token == TOKEN


def test_an_unknown_option_is_a_type_error_that_lists_the_options() -> None:
    """A slip of the pen in a keyword must not be ignored, as it would be in a variable."""
    with pytest.raises(
        TypeError, match="unknown option 'acces_token'; the options are access_token, agent_event_name, approx"
    ) as caught:
        load(acces_token=TOKEN)

    assert TOKEN not in str(caught.value)


def test_the_typed_keywords_are_the_fields() -> None:
    """A type checker sees Options, the program Settings: an option in one only would be half an option."""
    assert set(Options.__annotations__) == set(setting_names())
    assert Options.__total__ is False


def test_every_option_is_described() -> None:
    """The table of settings in the README is made of this."""
    described = {setting.name for setting in fields(Settings) if setting.metadata["about"] and setting.metadata["unit"]}

    assert described == set(setting_names())


def test_variables_are_named_after_their_options() -> None:
    """Nobody should have to look one up; what belongs to Polar itself has Polar's prefix."""
    expected = {name: f"OTEL_POLAR_{name.upper()}" for name in setting_names()}
    expected |= {name: f"POLAR_{name.upper()}" for name in ("access_token", "server", "base_url")}

    assert variables() == {**expected, **dict.fromkeys(IN_CODE_ONLY, "")}


def test_settings_cannot_be_changed_after_they_were_checked() -> None:
    """The worker's thread reads them while the application runs."""
    settings = load()

    with pytest.raises(FrozenInstanceError):
        settings.settle_s = -1.0  # type: ignore[misc]


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what everybody sets."""
    monkeypatch.setenv("OTEL_POLAR_EVENT_NAME", "from_the_process")

    assert Settings.load().event_name == "from_the_process"
    assert Settings.load({}).event_name == "llm_usage"


@pytest.mark.parametrize(
    ("environ", "expected", "reason"),
    [
        ({"XDG_STATE_HOME": "/state", "HOME": "/home/ann"}, Path("/state/otel-polar"), "XDG says where state goes"),
        ({"HOME": "/home/ann"}, Path("/home/ann/.local/state/otel-polar"), "XDG's own default"),
        (
            {"XDG_STATE_HOME": "", "HOME": "/home/ann"},
            Path("/home/ann/.local/state/otel-polar"),
            "empty counts as not set, also to XDG",
        ),
        ({}, None, "nowhere is certain: the caller decides, nothing is written at random"),
        ({"XDG_STATE_HOME": "", "HOME": ""}, None, "both empty"),
    ],
)
def test_the_outbox_lies_where_state_belongs(environ: dict[str, str], expected: Path | None, reason: str) -> None:
    """Not in a temporary directory: what lies there is money."""
    assert load(environ).outbox_dir == expected, reason


def test_a_given_outbox_directory_is_made_absolute() -> None:
    """A process that changes its directory must not lose its outbox."""
    given = load(outbox_dir="relative/outbox").outbox_dir

    assert given == Path.cwd() / "relative" / "outbox"


def test_a_tilde_is_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable in a service file is not expanded by any shell."""
    monkeypatch.setenv("HOME", "/home/ann")

    assert load({"OTEL_POLAR_OUTBOX_DIR": "~/outbox"}).outbox_dir == Path("/home/ann/outbox")
    assert load(outbox_dir=Path("~/outbox")).outbox_dir == Path("/home/ann/outbox")


def one_by_one() -> Iterator[str]:
    """Yield keys that can be read only once."""
    yield "a"
    yield " b "


@pytest.mark.parametrize(
    ("value", "expected", "reason"),
    [
        ("a,b", ("a", "b"), "as in a variable"),
        (" a , b ", ("a", "b"), "white space is for the reader"),
        ("user.id", ("user.id",), "one key: never split into letters"),
        (["b", "a"], ("b", "a"), "the order is the precedence"),
        (["a,b"], ("a,b",), "in a list, a comma is part of a key"),
        (one_by_one, ("a", "b"), "an iterator"),
        ((), (), "no keys at all: the kind of id is not looked for"),
        (dict.fromkeys(["x", "y"]), ("x", "y"), "anything that yields text"),
    ],
)
def test_keys_are_one_several_or_an_iterable(
    value: str | list[str] | Callable[[], Iterator[str]], expected: tuple[str, ...], reason: str
) -> None:
    """A list read in another order bills another customer."""
    given = value() if callable(value) else value

    assert load(external_customer_id_keys=given).external_customer_id_keys == expected, reason


def test_the_identity_keys_are_read_as_one_value() -> None:
    """Each kind of id keeps its own list; mixed up, an own id would be sent as Polar's."""
    settings = load(customer_id_keys="c", external_customer_id_keys="e,f", member_id_keys="m")

    assert settings.customer_keys == CustomerKeys(internal=("c",), external=("e", "f"), member=("m",))
    assert load().customer_keys == CustomerKeys()


@pytest.mark.parametrize(
    ("options", "expected", "reason"),
    [
        ({}, 100.0, "the sandbox allows an organization 100 requests a minute"),
        ({"server": "production"}, 500.0, "production allows 500"),
        ({"server": "production", "requests_per_minute": 50}, 50.0, "a share, where several processes send"),
        ({"requests_per_minute": 1}, 1.0, "the least"),
    ],
)
def test_the_budget_is_the_servers_unless_told(options: dict[str, Any], expected: float, reason: str) -> None:
    """Above it, Polar refuses the organization's other requests too."""
    assert load(**options).budget_per_minute == expected, reason


def test_retention_is_counted_in_seconds() -> None:
    """A day mistaken for a second would delete the ledger."""
    assert load(retention_days=2).retention_s == 172_800.0


@pytest.mark.parametrize("token", [b"polar_oat_s3cr3t", ("polar_oat_s3cr3t",)])
def test_a_token_of_another_type_is_not_repeated_either(token: Any) -> None:
    """It is a secret in every form."""
    with pytest.raises(ConfigError) as caught:
        Settings.load({}, access_token=token)

    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"settle_s": 10**400},
        {"settle_s": 10**5_000},
        {"outbox_dir": "~nobody_here/x"},
        {"outbox_dir": "a\x00b"},
        {"base_url": "http:///"},
        {"event_name": "a\x00b"},
        {"event_name": "a\ud800"},
    ],
)
def test_what_python_itself_refuses_is_a_config_error_too(options: Any) -> None:
    """OverflowError and RuntimeError name no setting."""
    with pytest.raises(ConfigError):
        Settings.load({}, **options)


@pytest.mark.parametrize("value", [" ", "state", "./state"])
def test_a_state_directory_that_is_not_absolute_is_ignored(value: str) -> None:
    """XDG Base Directory Specification: otherwise calls would lie wherever the process was started."""
    assert str(Settings.load({"XDG_STATE_HOME": value, "HOME": "/h"}).outbox_dir) == "/h/.local/state/otel-polar"
