"""What every test may share: one export of the packaged model, kept between runs, and a Ctrl-C that counts."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ragd.domain.index import EncoderSpec
from ragd.embed.encoder import open_encoder

# A shell that starts the tests in the background lets them ignore Ctrl-C, and with them whatever they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def models() -> Path:
    """A models folder that holds the exported packaged model; treat it as read-only."""
    folder = Path(os.environ.get("RAGD_TEST_MODELS") or Path(__file__).parents[1] / ".build" / "models")
    open_encoder(EncoderSpec(threads=1), folder).close()
    return folder
