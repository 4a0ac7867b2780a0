"""Whatever a plugin does while it is tried, the trial ends with a clause that says so."""

from __future__ import annotations

from pathlib import Path

from ragd.domain.learning import Resources
from ragd.domain.training import PluginSource
from ragd.hooks.sources import FILE, digest
from ragd.testing.trial import trial


def test_a_plugin_that_dies_and_takes_what_it_printed_along_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gone.py"
    path.write_text("import os\nos.unlink('output.txt')\nos._exit(3)\n")
    source = PluginSource("gone", FILE, str(path), digest(path.read_bytes()))
    (row,) = trial(source, {}, Resources(memory_mb=512))
    assert row["problem"] == "its process died (exit status 3)"
