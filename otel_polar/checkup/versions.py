"""What is installed, and what of it does not go together."""

from __future__ import annotations

import platform
import sqlite3
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from packaging.version import InvalidVersion, Version

from otel_polar._version import __version__
from otel_polar.checkup.finding import Finding, note, problem, warning, well

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    VersionOf = Callable[[str], str | None]

MIN_PYTHON: Final = (3, 11)
_OPENAI_V2: Final = "opentelemetry-instrumentation-openai-v2"
_UTIL_GENAI: Final = "opentelemetry-util-genai"
_BREAKING_UTIL_GENAI: Final = Version("1.2b0")
_LAST_BROKEN_OPENAI_V2: Final = Version("2.4b0")
_MIN_SDK: Final = Version("1.37")


def installed_version(distribution: str) -> str | None:
    """Its version; ``None`` if it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def version_findings(
    version_of: VersionOf = installed_version,
    *,
    has_module: Callable[[str], bool] = lambda name: find_spec(name) is not None,
) -> Iterator[Finding]:
    """Every part that matters, with its version, and what is known not to work."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield well("versions.own", f"otel-polar {__version__}, {python}, SQLite {sqlite3.sqlite_version}")
    if sys.version_info < MIN_PYTHON:
        yield problem("versions.python", f"Python is {python}", why="3.11 is the oldest that is tested.")
    yield from _opentelemetry(version_of)
    yield from _polar_sdk(version_of, has_module)
    yield from _openai_v2(version_of)


def read_version(text: str | None) -> Version | None:
    """It as something to compare; ``None`` where it is none."""
    try:
        return None if text is None else Version(text)
    except InvalidVersion:
        return None


def _opentelemetry(version_of: VersionOf) -> Iterator[Finding]:
    api, sdk = version_of("opentelemetry-api"), version_of("opentelemetry-sdk")
    if (found := read_version(sdk)) is not None and found < _MIN_SDK:
        yield problem(
            "versions.opentelemetry",
            f"opentelemetry-sdk is {sdk}",
            why="Before 1.37 a processor does not see what this one needs.",
            do=("pip install --upgrade opentelemetry-sdk opentelemetry-api",),
        )
    elif api != sdk:
        yield warning(
            "versions.opentelemetry",
            f"opentelemetry-api is {api or 'not installed'}, opentelemetry-sdk {sdk or 'not installed'}",
            why="They are released together, and only that pair is tested by anybody.",
            do=(f"pip install opentelemetry-api=={sdk}" if sdk else "pip install opentelemetry-sdk",),
        )
    else:
        yield well("versions.opentelemetry", f"opentelemetry-api and opentelemetry-sdk {sdk}")


def _polar_sdk(version_of: VersionOf, has_module: Callable[[str], bool]) -> Iterator[Finding]:
    told = version_of("polar-sdk")
    found = read_version(told)
    if found is None or found.major != 1 or not has_module("polar"):
        yield problem(
            "versions.polar_sdk",
            f"polar-sdk is {told or 'not installed'}",
            why="Events are sent with polar-sdk 1.x, the module `polar`. 0.x is another library, `polar_sdk`, under the"
            " same name, so only one of them can be installed.",
            do=("pip install 'polar-sdk>=1.0.2,<2'    # and move what imports polar_sdk",),
        )
        return
    yield well("versions.polar_sdk", f"polar-sdk {told}")
    if has_module("polar_sdk"):
        yield note(
            "versions.polar_sdk",
            "the module polar_sdk of polar-sdk 0.x is still there, beside polar-sdk 1.x",
            why="Its ingestion has no ids of events: a call that it and otel-polar send is billed twice.",
            do=("pip uninstall polar-sdk && pip install 'polar-sdk>=1.0.2,<2'",),
        )


def _openai_v2(version_of: VersionOf) -> Iterator[Finding]:
    told, util = version_of(_OPENAI_V2), version_of(_UTIL_GENAI)
    found, found_util = read_version(told), read_version(util)
    if found is None or found_util is None:
        return
    if found <= _LAST_BROKEN_OPENAI_V2 and found_util >= _BREAKING_UTIL_GENAI:
        yield problem(
            "versions.openai_v2",
            f"{_OPENAI_V2} {told} cannot be imported beside {_UTIL_GENAI} {util}",
            why="OpenTelemetry logs the error and goes on, so calls of the openai client have no spans of it.",
            do=(
                f"pip install '{_UTIL_GENAI}<1.2b0'",
                f"# or its successor: pip uninstall {_OPENAI_V2}",
                "pip install opentelemetry-instrumentation-genai-openai",
            ),
        )
    else:
        yield well("versions.openai_v2", f"{_OPENAI_V2} {told} and {_UTIL_GENAI} {util} go together")
