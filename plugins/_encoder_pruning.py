"""Takes layers, attention heads or feed-forward channels out of an encoder, those that matter least to given texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ragd.hooks.api import TrainingFailed

from ._encoder_folder import features, transformer_of

_MULTIPLE = 8  # widths that processors like
_INNER = ("intermediate.dense", "ffn.lin1")
_OUTER = ("output.dense", "ffn.lin2")


def every_layer(transformer: Any, step: int) -> list[int]:
    """The layers that stay when every `step`-th does, the last among them."""
    count = len(_layers(transformer)[2])
    return list(range((count - 1) % step, count, step))


def keep_layers(transformer: Any, kept: Sequence[int]) -> None:
    """Leaves these layers only, in place. Raises TrainingFailed when that is none, or all of them."""
    import torch

    parent, name, layers = _layers(transformer)
    if not 0 < len(kept) < len(layers):
        raise TrainingFailed(
            f"{len(kept)} of {len(layers)} layers would stay", hint="choose another share, or another method"
        )
    setattr(parent, name, torch.nn.ModuleList(layers[i] for i in kept))
    transformer.config.num_hidden_layers = len(kept)
    if getattr(transformer.config, "layer_types", None):
        transformer.config.layer_types = [transformer.config.layer_types[i] for i in kept]


def prune_layers(model: Any, share: float, texts: Sequence[str]) -> str:
    """Takes out the layers that turn their input least; says what went. Men et al. 2024, arXiv 2403.03853."""
    import torch

    transformer = transformer_of(model)
    layers = list(_layers(transformer)[2])
    turns = [0.0] * len(layers)

    def look(place: int, given: Any, made: Any) -> None:
        turns[place] += float((1 - torch.nn.functional.cosine_similarity(given, made, dim=-1)).mean())

    with _watched(layers, look):
        _run(model, texts)
    gone = max(1, round(len(layers) * share))
    kept = sorted(sorted(range(len(layers)), key=lambda i: turns[i])[gone:])
    keep_layers(transformer, kept)
    return f"{gone} of {len(layers)} layers"


def prune_channels(model: Any, share: float, texts: Sequence[str]) -> str:
    """Takes the same number of feed-forward channels out of every layer; says what went."""
    import torch

    transformer = transformer_of(model)
    pairs = [(_named(layer, _INNER), _named(layer, _OUTER)) for layer in _layers(transformer)[2]]
    width = pairs[0][0].out_features
    kept_count = max(_MULTIPLE, round(width * (1 - share) / _MULTIPLE) * _MULTIPLE)
    if kept_count >= width:
        raise TrainingFailed(f"{share:.0%} of {width} channels is nothing to take away", hint="raise the option share")
    scores = _importance(model, [outer for _, outer in pairs], texts)
    for (inner, outer), score in zip(pairs, scores, strict=True):
        kept = torch.topk(score, kept_count).indices.sort().values
        _rows(inner, kept)
        _columns(outer, kept)
    name = "intermediate_size" if hasattr(transformer.config, "intermediate_size") else "hidden_dim"
    setattr(transformer.config, name, kept_count)
    return f"{width - kept_count} of {width} channels in {len(pairs)} layers"


def prune_heads(model: Any, share: float, texts: Sequence[str]) -> str:
    """Takes out the heads that contribute least, wherever they are, at least one stays in each layer; says what went.

    The model no longer has the shape that its configuration says, so it can be saved as an ONNX graph only.
    """
    import torch

    layers = _layers(transformer_of(model))[2]
    try:
        attentions = [(layer.attention.self, layer.attention.output.dense) for layer in layers]
        size = int(attentions[0][0].attention_head_size)
    except AttributeError as error:
        raise TrainingFailed(
            "its attention is not built like BERT's, so its heads cannot be taken out",
            hint="use the method layers or int8",
        ) from error
    scores = _importance(model, [dense for _, dense in attentions], texts)
    by_head = torch.stack([score.reshape(-1, size).sum(1) for score in scores])
    # A head counts against those of its own layer: layers differ in scale.
    by_head = by_head / by_head.sum(1, keepdim=True)
    protected = by_head.argmax(1)
    ranked = sorted((float(by_head[i, j]), i, j) for i in range(by_head.shape[0]) for j in range(by_head.shape[1]))
    free = [(i, j) for _, i, j in ranked if j != int(protected[i])]
    gone = set(free[: max(1, round(by_head.numel() * share))])
    for i, (attention, dense) in enumerate(attentions):
        heads = [j for j in range(by_head.shape[1]) if (i, j) not in gone]
        kept = torch.cat([torch.arange(j * size, (j + 1) * size) for j in heads])
        for part in (attention.query, attention.key, attention.value):
            _rows(part, kept)
        _columns(dense, kept)
        attention.num_attention_heads, attention.all_head_size = len(heads), len(heads) * size
    return f"{len(gone)} of {by_head.numel()} heads"


def _layers(transformer: Any) -> tuple[Any, str, Any]:
    """Where the layers hang: the module, the attribute and the list. Raises TrainingFailed for an unknown build."""
    import torch

    count = getattr(transformer.config, "num_hidden_layers", 0)
    for module in transformer.modules():
        for name, child in module.named_children():
            if isinstance(child, torch.nn.ModuleList) and len(child) == count > 0:
                return module, name, child
    raise TrainingFailed(
        f"{type(transformer).__name__} keeps its layers in a way that is not known", hint="use the method int8"
    )


def _named(layer: Any, names: Sequence[str]) -> Any:
    for name in names:
        try:
            return layer.get_submodule(name)
        except AttributeError:
            continue
    raise TrainingFailed("its feed-forward layers have names that are not known", hint="use the method layers or int8")


def _importance(model: Any, readers: Sequence[Any], texts: Sequence[str]) -> list[Any]:
    """For each linear layer how much of each of its inputs reaches its output, shape (inputs,)."""
    import torch

    squares = [torch.zeros(reader.in_features, device=reader.weight.device) for reader in readers]

    def look(place: int, given: Any, made: Any) -> None:
        squares[place] += given.reshape(-1, given.shape[-1]).square().sum(0)

    with _watched(readers, look):
        _run(model, texts)
    return [total.sqrt() * reader.weight.detach().norm(dim=0) for total, reader in zip(squares, readers, strict=True)]


@contextmanager
def _watched(modules: Sequence[Any], look: Callable[[int, Any, Any], None]) -> Iterator[None]:
    """Meanwhile calls `look` with the place of a module, what it was given and what it made of it."""

    def hook(place: int) -> Callable[..., None]:
        return lambda _module, given, made: look(place, given[0], made[0] if isinstance(made, tuple) else made)

    handles = [module.register_forward_hook(hook(place)) for place, module in enumerate(modules)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _run(model: Any, texts: Sequence[str]) -> None:
    """One text at a time, so that no padding counts."""
    import torch

    model.eval()
    with torch.no_grad():
        for text in texts:
            model(features(model, [text], is_query=False))


def _rows(linear: Any, kept: Any) -> None:
    import torch

    linear.weight = torch.nn.Parameter(linear.weight.detach()[kept].clone())
    if linear.bias is not None:
        linear.bias = torch.nn.Parameter(linear.bias.detach()[kept].clone())
    linear.out_features = len(kept)


def _columns(linear: Any, kept: Any) -> None:
    import torch

    linear.weight = torch.nn.Parameter(linear.weight.detach()[:, kept].clone())
    linear.in_features = len(kept)
