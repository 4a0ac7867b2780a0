"""How an encoder that a trainer made is opened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ragd.domain.errors import ArtifactInvalid
from ragd.domain.index import EncoderSpec
from ragd.embed.encoder import stored_spec

CONFIGURED = EncoderSpec(kind="sbert", model="minilm", threads=3, max_tokens=200, dimension=384, query_prompt="q: ")


def test_what_nothing_is_said_of_is_served_by_onnx_with_the_configured_prompts(tmp_path: Path) -> None:
    assert stored_spec(tmp_path, CONFIGURED) == EncoderSpec(
        kind="onnx", model=str(tmp_path), threads=3, max_tokens=200, query_prompt="q: "
    )


def test_the_artefact_says_how_it_is_served(tmp_path: Path) -> None:
    (tmp_path / "serve.json").write_text(json.dumps({"kind": "onnx", "precision": "int8"}))
    assert stored_spec(tmp_path, CONFIGURED).precision == "int8"
    (tmp_path / "serve.json").write_text(json.dumps({"kind": "sbert"}))
    assert stored_spec(tmp_path, CONFIGURED).kind == "sbert"


@pytest.mark.parametrize("said", ["[", "[]", '{"kind": "openai"}', '{"precision": "int4"}'])
def test_a_way_to_serve_that_is_not_known_is_refused(tmp_path: Path, said: str) -> None:
    (tmp_path / "serve.json").write_text(said)
    with pytest.raises(ArtifactInvalid, match=r"serve\.json"):
        stored_spec(tmp_path, CONFIGURED)
