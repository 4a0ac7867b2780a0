"""Real encoder and generator folders of a few kilobytes with seeded random weights, for tests around a model."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
GENERATOR_SPECIAL = ("<pad>", "<bos>", "<eos>")
LETTERS = string.ascii_lowercase + string.digits + string.punctuation


def tiny_model(
    folder: Path,
    *,
    dimension: int = 32,
    layers: int = 2,
    max_tokens: int = 64,
    pooling: str = "mean",
    query_prompt: str = "",
    document_prompt: str = "",
    seed: int = 0,
) -> Path:
    """Writes a BERT encoder as sentence-transformers saves it (safetensors, tokenizer, pooling); returns `folder`.

    Equal arguments give equal bytes. Its vectors mean nothing, but equal texts are equal and different ones differ.
    `dimension` must be a multiple of 2. Needs the packages safetensors and tokenizers; torch is not imported.
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    config = _config(dimension, layers, max_tokens, len(vocabulary))
    save_file(_weights(config, seed), folder / "model.safetensors", metadata={"format": "pt"})
    _save_tokenizer(folder, vocabulary, max_tokens)
    _write(folder / "config.json", config)
    _write(folder / "sentence_bert_config.json", {"max_seq_length": max_tokens, "do_lower_case": False})
    _write(folder / "modules.json", _modules())
    _write(
        folder / "config_sentence_transformers.json",
        {"prompts": {"query": query_prompt, "document": document_prompt}, "similarity_fn_name": "cosine"},
    )
    (folder / "1_Pooling").mkdir(exist_ok=True)
    _write(folder / "1_Pooling" / "config.json", {"embedding_dimension": dimension, "pooling_mode": pooling})
    return folder


def tiny_generator(folder: Path, *, dimension: int = 32, layers: int = 2, max_tokens: int = 512, seed: int = 0) -> Path:
    """Writes a Llama-shaped causal language model as transformers saves it (safetensors, tokenizer); returns `folder`.

    Its tokens are bytes, so that it reads and writes every language, with `<bos>`, `<eos>` and `<pad>`. Equal
    arguments give equal bytes. `dimension` must be a multiple of 16. Needs safetensors and tokenizers, not torch.
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    alphabet = _save_byte_tokenizer(folder, max_tokens)
    config = _generator_config(dimension, layers, max_tokens, alphabet)
    save_file(_generator_weights(config, seed), folder / "model.safetensors", metadata={"format": "pt"})
    _write(folder / "config.json", config)
    ids = {"bos_token_id": GENERATOR_SPECIAL.index("<bos>"), "eos_token_id": GENERATOR_SPECIAL.index("<eos>")}
    _write(folder / "generation_config.json", {**ids, "pad_token_id": GENERATOR_SPECIAL.index("<pad>")})
    return folder


def _generator_config(dimension: int, layers: int, max_tokens: int, vocabulary_size: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": dimension,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 2 * dimension,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": max_tokens,
        "vocab_size": vocabulary_size,
        "tie_word_embeddings": False,
        "bos_token_id": GENERATOR_SPECIAL.index("<bos>"),
        "eos_token_id": GENERATOR_SPECIAL.index("<eos>"),
        "pad_token_id": GENERATOR_SPECIAL.index("<pad>"),
        "dtype": "float32",
    }


def _generator_weights(config: dict[str, Any], seed: int) -> dict[str, npt.NDArray[np.float32]]:
    """Random weights under the names that Llama gives them, small enough to be trained further."""
    random = np.random.default_rng(seed)
    width, inner, words = (int(config[name]) for name in ("hidden_size", "intermediate_size", "vocab_size"))
    shapes = {"model.embed_tokens": (words, width), "lm_head": (words, width)}
    norms = ["model.norm"]
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        shapes |= {f"{layer}.self_attn.{part}_proj": (width, width) for part in "qkvo"}
        shapes |= {f"{layer}.mlp.{part}_proj": (inner, width) for part in ("gate", "up")}
        shapes[f"{layer}.mlp.down_proj"] = (width, inner)
        norms += [f"{layer}.input_layernorm", f"{layer}.post_attention_layernorm"]
    tensors = {
        f"{name}.weight": random.normal(0.0, 0.08, shape).astype(np.float32) for name, shape in sorted(shapes.items())
    }
    return tensors | {f"{name}.weight": np.ones(width, dtype=np.float32) for name in norms}


def _save_byte_tokenizer(folder: Path, max_tokens: int) -> int:
    """A tokenizer with one token a byte; returns how many tokens there are."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    alphabet = [*GENERATOR_SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B:1", special_tokens=[("<bos>", alphabet.index("<bos>"))]
    )
    tokenizer.add_special_tokens(list(GENERATOR_SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
    facts = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": max_tokens, "padding_side": "right"}
    _write(folder / "tokenizer_config.json", {**names, **facts})
    return len(alphabet)


def _config(dimension: int, layers: int, max_tokens: int, vocabulary_size: int) -> dict[str, Any]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": dimension,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": 2 * dimension,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": max(max_tokens, 64),
        "type_vocab_size": 2,
        "vocab_size": vocabulary_size,
        "pad_token_id": 0,
    }


def _modules() -> list[dict[str, Any]]:
    kinds = (
        ("", "sentence_transformers.base.modules.Transformer"),
        ("1_Pooling", "sentence_transformers.sentence_transformer.modules.Pooling"),
        ("2_Normalize", "sentence_transformers.base.modules.Normalize"),
    )
    return [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(kinds)]


def _weights(config: dict[str, Any], seed: int) -> dict[str, npt.NDArray[np.float32]]:
    """Random weights under the names that BERT gives them."""
    random = np.random.default_rng(seed)
    width, inner = int(config["hidden_size"]), int(config["intermediate_size"])

    def matrix(rows: int, columns: int) -> npt.NDArray[np.float32]:
        return random.normal(0.0, 0.3, (rows, columns)).astype(np.float32)

    tensors: dict[str, npt.NDArray[np.float32]] = {
        "embeddings.word_embeddings.weight": matrix(config["vocab_size"], width),
        "embeddings.position_embeddings.weight": matrix(config["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": matrix(config["type_vocab_size"], width),
    }
    linear = {"pooler.dense": (width, width)}
    norms = ["embeddings.LayerNorm"]
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        linear |= {f"{layer}.attention.self.{part}": (width, width) for part in ("query", "key", "value")}
        linear[f"{layer}.attention.output.dense"] = (width, width)
        linear[f"{layer}.intermediate.dense"] = (inner, width)
        linear[f"{layer}.output.dense"] = (width, inner)
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for name, (rows, columns) in linear.items():
        tensors[f"{name}.weight"] = matrix(rows, columns)
        tensors[f"{name}.bias"] = np.zeros(rows, dtype=np.float32)
    for name in norms:
        tensors[f"{name}.weight"] = np.ones(width, dtype=np.float32)
        tensors[f"{name}.bias"] = np.zeros(width, dtype=np.float32)
    return tensors


def _save_tokenizer(folder: Path, vocabulary: list[str], max_tokens: int) -> None:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(vocabulary)}, unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary.index("[CLS]")), ("[SEP]", vocabulary.index("[SEP]"))],
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    _write(
        folder / "tokenizer_config.json",
        {**dict(zip(names, SPECIAL, strict=True)), "tokenizer_class": "BertTokenizer", "model_max_length": max_tokens},
    )


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")
