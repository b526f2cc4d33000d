"""Specifies the names users import."""

from __future__ import annotations

import inspect

import pytest

import otel_polar


def test_the_public_names_are_these() -> None:
    """Adding one is a decision, removing one breaks somebody."""
    assert otel_polar.__all__ == [
        "BillingSampler",
        "ConfigError",
        "Customer",
        "EnsuredCustomer",
        "InsufficientCredits",
        "ModelCall",
        "OtelPolarError",
        "PolarInstrumentor",
        "PolarSpanExporter",
        "PolarSpanProcessor",
        "Price",
        "PriceQuery",
        "PriceResolver",
        "RateCard",
        "Rates",
        "Settings",
        "SpanRule",
        "TokenUsage",
        "Unpriced",
        "__version__",
        "bill_to",
        "carry_context",
        "doctor",
        "ensure_customer",
        "hide_billing_baggage",
        "metered",
    ]


@pytest.mark.parametrize("name", [name for name in otel_polar.__all__ if name != "__version__"])
def test_every_public_name_is_there_and_documented(name: str) -> None:
    """help() is the manual."""
    assert inspect.getdoc(getattr(otel_polar, name))


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    """hasattr() and tab completion rely on it."""
    with pytest.raises(AttributeError, match="no attribute 'PolarSpanExporterr'"):
        otel_polar.PolarSpanExporterr  # noqa: B018 - the look-up is the test


def test_the_version_is_that_of_the_package() -> None:
    """A price or an event is looked into by the version that made it."""
    from importlib.metadata import version  # noqa: PLC0415 - only here

    assert otel_polar.__version__ == version("otel-polar")
