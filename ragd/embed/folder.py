"""What a sentence-transformers folder says of its model, read from its JSON files without loading it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragd.domain.errors import ModelUnavailable

_LEGACY_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}

# These count positions from the padding id onwards, so that many rows of the table are never used.
_OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "data2vec-text"})


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The settings of one encoder folder.

    `transformer` is the folder of the transformer and its tokenizer; `pooling` joins several modes
    with `+`; `dimension` is that of the sentence vector; `max_tokens` is what the model was made for and
    `position_limit` what it can take at most (0: no limit known); `modules` are the class names in order.
    """

    path: Path
    transformer: Path
    modules: tuple[str, ...]
    pooling: str
    includes_prompt: bool
    dimension: int
    max_tokens: int
    position_limit: int
    lower_case: bool
    pad_id: int
    query_prompt: str
    document_prompt: str

    @property
    def tokenizer(self) -> Path:
        """The fast tokenizer's file (it may not exist)."""
        return self.transformer / "tokenizer.json"


def read_folder(path: Path) -> ModelFolder:
    """Reads the settings of a model folder. Raises ModelUnavailable naming the file that is missing or broken."""
    try:
        return _read(path)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelUnavailable(
            f"the settings in {path} are not those of a model: {type(error).__name__}: {str(error)[:200]}",
            hint="save the model folder again, as sentence-transformers does",
        ) from error


def _read(path: Path) -> ModelFolder:
    modules = _modules(path)
    transformer = path / next((p for name, p in modules if name == "Transformer"), "")
    config = _json(transformer / "config.json", required=True)
    pooling = _module_configs(path, modules, "Pooling")
    dense = _module_configs(path, modules, "Dense")
    stated = _json(path / "config_sentence_transformers.json")
    sentence = _json(transformer / "sentence_bert_config.json")
    pad_id = int(config.get("pad_token_id") or 0)
    limit = _position_limit(config, pad_id)
    mode = _pooling_mode(pooling[0] if pooling else {})
    width = int(config.get("hidden_size") or config.get("dim") or config.get("d_model") or 0) * (mode.count("+") + 1)
    prompts = stated.get("prompts") or {}
    return ModelFolder(
        path=path,
        transformer=transformer,
        modules=tuple(name for name, _ in modules),
        pooling=mode,
        includes_prompt=all(config.get("include_prompt", True) for config in pooling),
        dimension=int(dense[-1]["out_features"]) if dense else width,
        max_tokens=_max_tokens(sentence, _json(transformer / "tokenizer_config.json"), limit),
        position_limit=limit,
        lower_case=bool(sentence.get("do_lower_case", False)),
        pad_id=pad_id,
        query_prompt=str(prompts.get("query") or ""),
        document_prompt=str(next((prompts[k] for k in ("document", "passage", "corpus") if prompts.get(k)), "")),
    )


def _modules(path: Path) -> list[tuple[str, str]]:
    found = _json(path / "modules.json", kind=list)
    if not found:  # a bare transformer: sentence-transformers reads it as one with mean pooling
        return [("Transformer", "")]
    return [(_class_name(str(m["type"])), str(m.get("path", ""))) for m in sorted(found, key=lambda m: m["idx"])]


def _class_name(reference: str) -> str:
    # A class of another package keeps its whole name, and so is never taken for one of these.
    return reference.rsplit(".", 1)[-1] if reference.startswith("sentence_transformers.") else reference


def _module_configs(path: Path, modules: list[tuple[str, str]], kind: str) -> list[dict[str, Any]]:
    return [_json(path / place / "config.json", required=True) for name, place in modules if name == kind]


def _pooling_mode(config: dict[str, Any]) -> str:
    mode = config.get("pooling_mode")
    if mode is None:
        active = [name for key, name in _LEGACY_POOLING.items() if config.get(key)]
        return "+".join(active) or "mean"
    return mode if isinstance(mode, str) else "+".join(mode)


def _position_limit(config: dict[str, Any], pad_id: int) -> int:
    rows = int(config.get("max_position_embeddings") or 0)
    return max(rows - pad_id - 1, 0) if config.get("model_type") in _OFFSET_POSITIONS else rows


def _max_tokens(sentence: dict[str, Any], tokenizer: dict[str, Any], limit: int) -> int:
    stated = sentence.get("max_seq_length") or tokenizer.get("model_max_length") or limit or 512
    return int(min(stated, limit) if limit else min(stated, 8192))


def _json(path: Path, *, required: bool = False, kind: type = dict) -> Any:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if not required:
            return kind()
        raise ModelUnavailable(
            f"{path} is missing", hint="point to a whole model folder, as sentence-transformers saves it"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelUnavailable(f"{path} cannot be read: {error}", hint="save the model folder again") from error
    if not isinstance(found, kind):
        raise ModelUnavailable(f"{path} holds no JSON {kind.__name__}", hint="save the model folder again")
    return found
