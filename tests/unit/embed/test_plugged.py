"""Encoders of plugins: only trusted files are asked, and the right one is opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ragd.domain.errors import ConfigInvalid
from ragd.domain.index import EncoderSpec
from ragd.embed.encoder import open_encoder, space_of, tokenizer_path
from ragd.hooks.trust import trust
from ragd.testing.contracts import check_encoder_kind
from ragd.testing.plugin import load_plugin

CODE = """
import numpy as np
from ragd.hooks.api import EmbeddingSpace, hookimpl


class Encoder:
    space = EmbeddingSpace("0" * 32, 8, "constant", 100)

    def encode(self, texts):
        return np.tile(np.eye(8, dtype=np.float32)[0], (len(texts), 1))

    def encode_query(self, text):
        return self.encode([text])[0]

    def close(self):
        pass


class Constant:
    name = "constant"

    def open(self, spec, models):
        return Encoder()


@hookimpl
def ragd_encoders():
    return [Constant()]
"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin folder that this process is told of, with one plugin that nobody trusts yet."""
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o700)
    (folder / "constant.py").write_text(CODE)
    (folder / "constant.py").chmod(0o644)
    monkeypatch.setenv("RAGD_PLUGINS__FOLDER", str(folder))
    return folder


def test_a_trusted_plugin_opens_the_encoder_it_is_named_for(plugins: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    trust(plugins / "constant.py", plugins, state, taken=(), at=1.0)
    spec = EncoderSpec(kind="constant")
    encoder = open_encoder(spec, state / "models")
    assert np.array_equal(encoder.encode_query("anything"), np.eye(8, dtype=np.float32)[0])
    assert space_of(spec, state / "models") == encoder.space
    assert tokenizer_path(spec, state / "models") is None


def test_a_file_that_nobody_trusted_is_named_and_not_asked(plugins: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"constant\.py: not trusted yet") as caught:
        open_encoder(EncoderSpec(kind="constant"), tmp_path / "state" / "models")
    assert "ragd plugins trust" in caught.value.hint


def test_such_an_encoder_keeps_the_contract(plugins: Path, tmp_path: Path) -> None:
    (kind,) = load_plugin(plugins / "constant.py").encoders()
    check_encoder_kind(kind, EncoderSpec(kind="constant"), tmp_path)
    assert kind.open(EncoderSpec(kind="constant"), tmp_path).space.dimension == 8
