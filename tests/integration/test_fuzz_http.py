"""A real daemon under generated bad requests: no bug, no hang, no traceback, and nothing is changed by them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.fuzz_http import fuzzed


@pytest.mark.slow
def test_bad_requests_get_errors_in_one_shape_and_change_nothing(tmp_path: Path, models: Path) -> None:
    found = fuzzed(tmp_path, 250, 20261124, models)
    assert found.pop("examples") == []
    assert {name: found[name] for name in ("failures", "crashes", "hangs", "tracebacks_shown", "state_changed")} == {
        "failures": 0,
        "crashes": 0,
        "hangs": 0,
        "tracebacks_shown": 0,
        "state_changed": [],
    }
    assert found["cases"] == 250
    # Cases of every kind were really sent, and were met by every kind of refusal.
    assert len(found["kinds"]) >= 15
    assert {"200", "400", "401", "403", "404", "413", "closed"} <= set(found["statuses"])
