"""Every line that ragd logs has one event name and fields by name, so that a program can read them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2] / "ragd"
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")
# What sets logging up, and what silences or listens to libraries.
OF_LOGGING = {"config/events.py", "config/logs.py", "watch/notify.py", "jobs/loop.py"}
TAKEN = {"time", "level", "process", "logger", "event", "exception"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call of a method named like a level, with where it stands."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_events_are_named_in_snake_case_and_told_by_fields() -> None:
    told = [(where, call) for where, call in calls() if ast.unparse(call.func).lower().startswith("_log.")]
    assert len(told) > 50
    for where, call in told:
        assert len(call.args) == 1, where
        name = call.args[0]
        assert isinstance(name, ast.Constant), where
        assert re.fullmatch(r"[a-z][a-z0-9_]+", str(name.value)), where
        fields = [keyword.arg for keyword in call.keywords]
        assert not TAKEN.intersection(str(field) for field in fields), where


def test_no_room_has_a_logger_of_another_kind() -> None:
    others = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if re.search(
            r"logging\.(getLogger\(.*\)\.(debug|info|warning|error|exception)|basicConfig)", path.read_text("utf-8")
        )
        or re.search(r"= logging\.getLogger\(", path.read_text("utf-8"))
    }
    assert others <= OF_LOGGING
