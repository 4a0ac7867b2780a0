"""Losses over batches of labelled pairs, by name: contrastive, triplets, scores, and what a teacher says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ragd.hooks.api import Run, TrainingFailed

from ._encoder_folder import encode, features, open_model, read_json
from ._pair_batches import PairBatches
from ._torch_loop import quiet

Loss = Callable[[int], Any]


def contrastive(
    model: Any, batches: PairBatches, *, temperature: float, mini_batch: int = 0, matryoshka: str = ""
) -> Loss:
    """Multiple negatives ranking over the model; with `mini_batch` its cached form, which holds no more texts at once.

    `matryoshka` is a list of dimensions, with commas, in which the vectors must rank too. Gao et al. 2021
    (arXiv 2101.06983) for the cache, Kusupati et al. 2022 (arXiv 2205.13147) for the nested dimensions.
    """
    with quiet():
        from sentence_transformers.sentence_transformer import losses
    if mini_batch:
        loss = losses.CachedMultipleNegativesRankingLoss(model, scale=1 / temperature, mini_batch_size=mini_batch)
    else:
        loss = losses.MultipleNegativesRankingLoss(model, scale=1 / temperature)
    if matryoshka:
        loss = losses.MatryoshkaLoss(model, loss, dimensions(matryoshka, model.get_embedding_dimension()))
    return lambda number: loss(_columns(model, batches, number), None)


def triplets(model: Any, batches: PairBatches, *, margin: float) -> Loss:
    """Each answer nearer to its query than each negative, by `margin` in cosine distance."""
    with quiet():
        from sentence_transformers.sentence_transformer import losses
    if not batches.negatives:
        raise TrainingFailed("triplets need negatives, and no pair has any", hint="use the loss mnrl")
    loss = losses.TripletLoss(model, losses.TripletDistanceMetric.COSINE, triplet_margin=margin)

    def of(number: int) -> Any:
        query, answer, *negatives = _columns(model, batches, number)
        # Fresh dictionaries: a model writes its results into the one that it is given.
        return sum(loss([dict(query), dict(answer), one], None) for one in negatives) / len(negatives)

    return of


def scores(model: Any, run: Run, *, size: int, seed: int) -> tuple[Loss, int]:
    """Cosine of query and chunk as near as can be to the pair's score (0 to 1); the loss, and batches in an epoch.

    Scores above 1 are divided by the greatest.
    """
    import random

    import torch

    with quiet():
        from sentence_transformers.sentence_transformer import losses
    text = {chunk.id: chunk.text for chunk in run.data.chunks}
    rows = [
        (pair.query, text[chunk], pair.score)
        for pair in run.data.pairs
        if pair.score is not None
        for chunk in pair.positives
        if chunk in text
    ]
    if len(rows) < 2:
        raise TrainingFailed(f"{len(rows)} pairs have a score, at least 2 are needed", hint="use the loss mnrl")
    most = max(1.0, *(abs(score) for _, _, score in rows))
    loss = losses.CosineSimilarityLoss(model)
    an_epoch = -(-len(rows) // size)

    def of(number: int) -> Any:
        order = list(range(len(rows)))
        random.Random(f"{seed}:{number // an_epoch}").shuffle(order)  # noqa: S311 - a seeded order, not a secret
        some = [rows[i] for i in order[number % an_epoch * size :][:size]]
        columns = [
            features(model, [query for query, _, _ in some], is_query=True),
            features(model, [chunk for _, chunk, _ in some], is_query=False),
        ]
        return loss(columns, torch.tensor([score / most for _, _, score in some], device=model.device))

    return of, an_epoch


def taught(run: Run, model: Any, batches: PairBatches, teacher: str, *, kind: str, temperature: float) -> Loss:
    """Margins (`margin_mse`) or the distribution (`kl`) of a teacher's scores of answer and negatives.

    `teacher` is the folder of a sentence-transformers encoder or of a cross-encoder. Hofstätter et al. 2020
    (arXiv 2010.02666) for the margins.
    """
    import torch

    with quiet():
        from sentence_transformers.sentence_transformer import losses
    if not batches.negatives:
        raise TrainingFailed(f"the loss {kind} needs negatives, and no pair has any", hint="use the loss mnrl")
    judge = _judge(run, Path(teacher))
    loss = losses.DistillKLDivLoss(model, temperature=temperature) if kind == "kl" else losses.MarginMSELoss(model)

    def of(number: int) -> Any:
        queries, columns = batches.texts(number)
        given = torch.tensor([judge(queries, column) for column in columns], device=model.device).T
        return loss(_columns(model, batches, number), given.float())

    return of


def dimensions(listed: str, most: int) -> list[int]:
    """The dimensions in a list with commas, the model's own first. Raises TrainingFailed for one out of range."""
    try:
        found = sorted({most, *(int(part) for part in listed.split(",") if part.strip())}, reverse=True)
    except ValueError as error:
        raise TrainingFailed(f"option matryoshka: {error}", hint="list whole numbers with commas: 256,128") from error
    if found[0] != most or found[-1] < 1:
        raise TrainingFailed(f"option matryoshka: {listed} goes beyond 1 to {most}", hint=f"list less than {most}")
    return found


def _columns(model: Any, batches: PairBatches, number: int) -> list[dict[str, Any]]:
    queries, columns = batches.texts(number)
    documents = [features(model, column, is_query=False) for column in columns]
    return [features(model, queries, is_query=True), *documents]


def _judge(run: Run, folder: Path) -> Callable[[Sequence[str], Sequence[str]], list[float]]:
    """A function that scores queries against documents, one by one."""
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        raise TrainingFailed(f"the teacher {folder} is not a model folder", hint="set the option teacher to one")
    kinds = read_json(folder / "config.json").get("architectures") or [""]
    if not str(kinds[0]).endswith("ForSequenceClassification"):
        model = open_model(run, folder)

        def cosines(queries: Sequence[str], documents: Sequence[str]) -> list[float]:
            left, right = encode(model, queries, is_query=True), encode(model, documents)
            return [float(cosine) for cosine in (left * right).sum(axis=1)]

        return cosines
    with quiet():
        from sentence_transformers import CrossEncoder

        cross = CrossEncoder(
            str(folder),
            device=run.resources.device,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )
    return lambda queries, documents: [
        float(score) for score in cross.predict(list(zip(queries, documents, strict=True)), show_progress_bar=False)
    ]
