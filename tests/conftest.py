"""What every test may share: one export of the packaged model, kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ragd.domain.index import EncoderSpec
from ragd.embed.encoder import open_encoder


@pytest.fixture(scope="session")
def models() -> Path:
    """A models folder that holds the exported packaged model; treat it as read-only."""
    folder = Path(os.environ.get("RAGD_TEST_MODELS") or Path(__file__).parents[1] / ".build" / "models")
    open_encoder(EncoderSpec(threads=1), folder).close()
    return folder
