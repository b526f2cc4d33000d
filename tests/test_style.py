"""Specifies how the tests themselves are written."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = sorted(Path(__file__).parent.rglob("test_*.py"))


@pytest.mark.parametrize("path", TESTS, ids=lambda p: str(p.relative_to(Path(__file__).parent)))
def test_every_test_says_why_its_rule_matters(path: Path) -> None:
    """The name is the rule; without the reason nobody can judge whether a failing rule is a wrong one."""
    tests = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]

    assert tests
    assert [test.name for test in tests if not ast.get_docstring(test)] == []
