"""Specifies the walls of the house: which way imports point, what is pure, what may be imported when."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unmeasured import unmeasured_environment

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "otel_polar"
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))

# Each room, and the rooms it may import from. What stands at the top level is below all of them.
ROOMS = {
    "billing": {"billing"},
    "polar_api": {"billing", "polar_api"},
    "delivery": {"billing", "polar_api", "delivery"},
    "account": {"billing", "polar_api", "delivery", "account"},
    "reconciliation": {"billing", "polar_api", "delivery", "reconciliation"},
    "credits": {"billing", "polar_api", "delivery", "credits"},
    "capture": {"billing", "polar_api", "delivery", "capture"},
    "service": {"billing", "polar_api", "delivery", "service"},
    # What looks at an application from the inside, with what it finds in its delivery and at Polar.
    "checkup": {"billing", "polar_api", "delivery", "capture", "account", "credits", "checkup"},
    "cli": {
        *("billing", "polar_api", "delivery", "account", "reconciliation", "credits", "capture", "service", "checkup"),
        *("sandbox", "cli", "otel_polar"),
    },
    "sandbox": {"sandbox"},
    # Below the other rooms, except that it names the types and default keys of billing.
    "settings": {"billing", "settings"},
}
BELOW_ALL = {"errors", "settings", "options", "converters", "_version"}
# The sandbox must not share our mistakes, so not even those.
BELOW_ROOM = {room: set() if room == "sandbox" else BELOW_ALL for room in ROOMS}
# Top-level modules are below the rooms.
TOP_LEVEL_MAY_IMPORT = {
    "options": {"billing"},
    "converters": {"errors"},
    "errors": set(),
    "_version": set(),
    "__init__": {"account", "capture", "checkup", "credits", "errors", "settings", "billing", "_version"},
    "__main__": {"cli"},
}

# The rooms within the delivery, in the same way. What stands beside them is below all of them, or puts them together.
DELIVERY_ROOMS: dict[str, set[str]] = {
    "disk": set(),
    "prices": set(),
    "metrics": {"disk"},
    "deciding": {"disk", "metrics"},
    "sending": {"disk", "metrics"},
    "orders": {"disk", "metrics", "deciding"},
    "looking": {"disk", "deciding"},
}
DELIVERY = sorted((PACKAGE / "delivery").rglob("*.py"))
BELOW_DELIVERY_ROOMS = {"forks", "giving_way", "notices", "outcome"}

# Standard library modules through which the outside world comes in.
IMPURE = {
    *(
        "asyncio",
        "concurrent",
        "glob",
        "http",
        "io",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "secrets",
    ),
    *("selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time"),
    *("urllib",),
}
CLOCKS = {"now", "today", "utcnow", "fromtimestamp", "time", "time_ns", "monotonic", "perf_counter"}


def imported_modules(path: Path) -> set[str]:
    """Every module named in an import statement anywhere in a file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def own_rooms(path: Path) -> set[str]:
    """The rooms or top-level modules of ours that a file imports from."""
    rooms: set[str] = set()
    for name in imported_modules(path):
        parts = name.split(".")
        if parts[0] == "otel_polar":
            rooms.add(parts[1] if len(parts) > 1 else "otel_polar")
    # `from otel_polar import converters` names the package and the module; the module is what counts.
    known = ROOMS.keys() | BELOW_ALL | {"__init__"}
    return rooms if "otel_polar" not in rooms or not rooms & known else rooms - {"otel_polar"}


def in_room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


@pytest.mark.parametrize("path", [p for p in MODULES if in_room(p)], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    """A room that imports from the one above it cannot be understood, tested or used without it."""
    room = in_room(path)
    imported = {name for name in own_rooms(path) if name in ROOMS or name in BELOW_ALL or name == "otel_polar"}

    assert imported <= ROOMS[room] | BELOW_ROOM[room]


def rooms_of_delivery(path: Path) -> set[str]:
    """The rooms and modules of the delivery that a file imports from."""
    names = [name.split(".") for name in imported_modules(path)]
    return {parts[2] for parts in names if parts[:2] == ["otel_polar", "delivery"] and len(parts) > 2}


@pytest.mark.parametrize("path", DELIVERY, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_within_the_delivery_point_one_way(path: Path) -> None:
    """What lies on disk knows nothing of Polar, and what decides nothing of who sends."""
    room = path.parent.name
    if room in DELIVERY_ROOMS:
        assert rooms_of_delivery(path) <= {room} | DELIVERY_ROOMS[room] | BELOW_DELIVERY_ROOMS
    elif path.stem in BELOW_DELIVERY_ROOMS:
        assert rooms_of_delivery(path) <= BELOW_DELIVERY_ROOMS


@pytest.mark.parametrize("path", [p for p in MODULES if not in_room(p)], ids=lambda p: p.name)
def test_what_stands_below_all_rooms_imports_little(path: Path) -> None:
    """Settings and errors are imported by everybody."""
    known = ROOMS.keys() | BELOW_ALL
    imported = {name for name in own_rooms(path) if name in known}

    assert imported <= TOP_LEVEL_MAY_IMPORT[path.stem]


@pytest.mark.parametrize("path", sorted((PACKAGE / "billing").rglob("*.py")), ids=lambda p: p.name)
def test_billing_is_pure(path: Path) -> None:
    """Every rule about money is a function of its arguments: no clock, file, socket, thread, log or environment."""
    tree = ast.parse(path.read_text())
    names = {name.split(".")[0] for name in imported_modules(path)}
    calls = {
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    functions = {
        node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    assert names & IMPURE == set()
    assert calls & CLOCKS == set()
    assert functions & {"open", "print", "input"} == set()


def test_importing_the_package_needs_no_extra_and_nothing_slow() -> None:
    """An application imports it at its start, on a machine that has only the core dependencies."""
    code = "import otel_polar, sys; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], env=unmeasured_environment(), capture_output=True, text=True, check=True
    ).stdout
    roots = {name.split(".")[0] for name in output.split()}

    extras = {"openai", "typer", "rich", "starlette", "uvicorn", "confluent_kafka", "grpc"}
    slow = {"polar", "genai_prices", "httpx", "pydantic", "sqlite3", "wrapt", "filelock"}
    assert roots & (extras | slow) == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_says_what_it_is_and_has_one_idea(path: Path) -> None:
    """help() teaches; and a file that grows beyond 330 lines has a second idea in it."""
    text = path.read_text()

    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 330
