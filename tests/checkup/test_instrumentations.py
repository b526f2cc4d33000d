"""Specifies what is said about those who make the spans."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

from otel_polar.checkup import instrumentations
from otel_polar.checkup.emitters import EMITTERS, Emitter
from otel_polar.checkup.instrumentations import (
    FoundEmitter,
    find_emitters,
    import_findings,
    instrumentation_findings,
)
from tests.checkup.support import told, wrong

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_polar.checkup.finding import Finding

CORPUS = Path(__file__).parents[1] / "corpus"
BY_NAME = {emitter.distribution: emitter for emitter in EMITTERS}
OPENAI_V2 = "opentelemetry-instrumentation-openai-v2"


def found(name: str, *, is_active: bool | None = True) -> FoundEmitter:
    return FoundEmitter(BY_NAME[name], "1.0", is_active)


def looked(
    *several: FoundEmitter, hooks_active: bool = False, has_openai: bool = False, is_inside: bool = True
) -> Sequence[Finding]:
    return list(
        instrumentation_findings(several, hooks_active=hooks_active, has_openai=has_openai, is_inside=is_inside)
    )


@pytest.mark.parametrize("emitter", EMITTERS, ids=lambda emitter: emitter.distribution)
def test_what_is_said_of_an_emitter_was_recorded(emitter: Emitter) -> None:
    """An accusation needs its evidence, and can be taken back when a new version is recorded."""
    assert (CORPUS / emitter.source).exists()


def test_no_emitter_is_told_twice() -> None:
    """The second one would never be read."""
    assert len(BY_NAME) == len(EMITTERS)


def test_what_is_installed_here_is_found_with_its_version() -> None:
    """It is looked for by the names of packages."""
    names = {each.emitter.distribution: each for each in find_emitters()}

    assert {OPENAI_V2, "opentelemetry-instrumentation-botocore"} <= names.keys()
    assert names[OPENAI_V2].version[0].isdigit()


def test_whether_it_is_active_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instrumentation that nobody has told to instrument makes no spans."""

    def is_active() -> bool | None:
        return next(each.is_active for each in find_emitters() if each.emitter.distribution == OPENAI_V2)

    assert is_active() is False
    monkeypatch.setattr(OpenAIInstrumentor(), "_is_instrumented_by_opentelemetry", True, raising=False)
    assert is_active() is True
    monkeypatch.delitem(sys.modules, "opentelemetry.instrumentation.openai_v2")
    assert is_active() is False


def test_each_omission_is_told_with_what_to_do() -> None:
    """It is not an error of anybody's, and it costs money."""
    (finding,) = looked(found("opentelemetry-instrumentation-botocore"))

    assert "Cohere and Mistral" in finding.what
    assert finding.do == ("# use Converse",)


def test_what_the_hooks_complete_is_no_omission() -> None:
    """With them nothing is left to do."""
    assert told(looked(found(OPENAI_V2), hooks_active=True, has_openai=True)) == {
        "instrumentations.hooks": "well",
        "instrumentations.found": "well",
    }
    assert told(looked(found(OPENAI_V2), has_openai=True)) == {
        "instrumentations.hooks": "note",
        "instrumentations.found": "note",
    }


def test_openai_without_anybody_who_makes_spans_is_told() -> None:
    """A processor bills spans, and there are none."""
    assert "instrumentations.hooks" in wrong(looked(found(OPENAI_V2, is_active=False), has_openai=True))


def test_nothing_at_all_is_told() -> None:
    """Everything else may be well."""
    (finding,) = looked()

    assert finding.check == "instrumentations.none"
    assert "openai-v2 'opentelemetry-util-genai<1.2b0'" in finding.do[0], "without the limit it cannot be imported"


def test_where_the_openai_client_is_installed_only_the_hooks_are_missed() -> None:
    """They make its spans, so nothing else is to be installed."""
    assert told(looked(has_openai=True)) == {"instrumentations.hooks": "warning"}
    assert told(looked(has_openai=True, is_inside=False)) == {"instrumentations.hooks": "note"}


def test_one_that_has_no_model_calls_is_told() -> None:
    """Its spans look as if everything were there."""
    name = "opentelemetry-instrumentation-genai-openai-agents"

    assert set(wrong(looked(found(name)))) == {"instrumentations.no_calls"}


def test_an_inactive_one_is_only_noted() -> None:
    """Somebody may have wanted that."""
    assert told(looked(found("openinference-instrumentation-anthropic", is_active=False))) == {
        "instrumentations.inactive": "note"
    }
    outside = looked(found("openinference-instrumentation-anthropic", is_active=False), is_inside=False)
    assert told(outside) == {"instrumentations.found": "note"}


def test_two_for_one_client_are_told_with_the_switch() -> None:
    """The anthropic client makes spans of its own, and nobody who instruments it knows."""
    both = looked(found("anthropic", is_active=None), found("openinference-instrumentation-anthropic"))

    assert "anthropic and openinference" in wrong(both)["instrumentations.double"]
    assert any("ANTHROPIC_OPEN_TELEMETRY=false" in line for each in both for line in each.do)
    one = looked(found("anthropic", is_active=None), found("openinference-instrumentation-anthropic", is_active=False))
    assert wrong(one) == {}


def test_one_that_cannot_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry logs it among much else, and goes on."""
    assert list(import_findings()) == []

    class Broken:
        class dist:  # noqa: N801 - as it is called there
            name = OPENAI_V2
            version = "2.4b0"

        @staticmethod
        def load() -> None:
            raise ModuleNotFoundError("No module named 'opentelemetry.util.genai.instruments'")

    monkeypatch.setattr(instrumentations, "entry_points", lambda **_: [Broken()])

    assert "instruments" in wrong(import_findings())["versions.import"]
