"""Specifies what is said about variables."""

from __future__ import annotations

from typing import Any

import pytest

from otel_polar.checkup.environment import known_variables, setting_findings, variable_findings
from otel_polar.checkup.finding import Level
from otel_polar.settings import Settings
from tests.checkup.support import told, wrong


def test_an_empty_environment_has_nothing_wrong_in_it() -> None:
    """Everything has a default but the token, which is another matter."""
    assert wrong(variable_findings({})) == {}


def test_every_value_that_cannot_be_used_is_told_at_once() -> None:
    """The application stops at the first; a person would start it again for each."""
    found = [
        finding.what
        for finding in variable_findings({"POLAR_SERVER": "prod", "OTEL_POLAR_SETTLE_S": "soon", "POLAR_BASE_URL": "x"})
        if finding.level is Level.PROBLEM
    ]

    assert [what.partition(" is ")[0] for what in found] == [
        "server (POLAR_SERVER)",
        "base_url (POLAR_BASE_URL)",
        "settle_s (OTEL_POLAR_SETTLE_S)",
    ]


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"POLAR_ACESS_TOKEN": "x"}, "POLAR_ACCESS_TOKEN"),
        ({"POLAR_API_KEY": "x"}, "POLAR_ACCESS_TOKEN"),
        ({"POLAR_ENVIRONMENT": "production"}, "POLAR_SERVER"),
        ({"OTEL_POLAR_OUTBOX": "/x"}, "OTEL_POLAR_OUTBOX_DIR"),
        ({"OTEL_POLAR_SERVE_GRPCPORT": "1"}, "OTEL_POLAR_SERVE_GRPC_PORT"),
    ],
)
def test_a_misspelt_variable_is_told_with_the_one_that_is_meant(environ: dict[str, str], name: str) -> None:
    """It does nothing, and says nothing by itself."""
    (finding,) = (each for each in variable_findings(environ) if each.check == "settings.name")

    assert finding.level is Level.WARNING
    assert name in finding.what
    assert finding.do[0].startswith(f'export {name}="$')


@pytest.mark.parametrize(
    "environ",
    [
        {"POLAR_ORGANIZATION_ID": "x"},  # somebody's own
        {"POLAR_API_KEY": "x", "POLAR_ACCESS_TOKEN": "polar_oat_x"},  # for another program
        {"OTEL_POLAR_OUTBX_DIR": ""},  # not set
        {"OTEL_SERVICE_NAME": "x"},
    ],
)
def test_what_is_somebody_elses_is_left_alone(environ: dict[str, str]) -> None:
    """A false alarm teaches people not to read."""
    assert wrong(variable_findings(environ)) == {}


def test_a_name_that_is_like_nothing_is_told_if_it_begins_as_ours() -> None:
    """Nobody else has variables that begin so."""
    assert wrong(variable_findings({"OTEL_POLAR_XYZZY": "1"})) == {
        "settings.name": "OTEL_POLAR_XYZZY is set, and nothing reads it"
    }


@pytest.mark.parametrize(
    ("environ", "check"),
    [
        ({"OTEL_SDK_DISABLED": "true"}, "settings.sdk_disabled"),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}, "settings.sampler"),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "settings.sampler"),
    ],
)
def test_what_makes_no_spans_is_told(environ: dict[str, str], check: str) -> None:
    """What has no span is not billed."""
    assert check in wrong(variable_findings(environ))


@pytest.mark.parametrize(
    ("options", "check", "level"),
    [
        ({}, "settings.token", "problem"),
        ({"access_token": "polar_oat_x"}, "settings.token", "well"),
        ({"access_token": "polar_pat_x"}, "settings.token", "problem"),
        ({"access_token": "something"}, "settings.token", "warning"),
        ({}, "settings.server", "note"),
        ({"server": "production"}, "settings.server", "well"),
        ({"base_url": "http://127.0.0.1:8787"}, "settings.base_url", "note"),
        ({"base_url": "http://polar.internal"}, "settings.base_url", "warning"),
        ({"base_url": "https://polar.internal/v1"}, "settings.base_url", "problem"),
        ({"base_url": "https://api.polar.sh"}, "settings.base_url", "warning"),
        ({"requests_per_minute": 200}, "settings.budget", "warning"),
    ],
)
def test_each_setting_that_can_be_wrong_is_judged(options: dict[str, Any], check: str, level: str) -> None:
    """All of them can be used, and some of them mean something else than they look like."""
    assert told(setting_findings(Settings.load({}, **options), {}))[check] == level


def test_a_token_or_password_is_never_repeated() -> None:
    """What the command shows is copied into issues."""
    settings = Settings.load({}, access_token="polar_pat_secret", base_url="http://me:hidden@polar.internal")

    shown = repr([*setting_findings(settings, {})])

    assert "secret" not in shown
    assert "hidden" not in shown


def test_every_variable_of_ours_is_known() -> None:
    """One that is not would be called misspelt."""
    assert {"POLAR_ACCESS_TOKEN", "OTEL_POLAR_SERVE_HOST", "OTEL_POLAR_SERVE_KAFKA_TOPIC"} <= known_variables()
