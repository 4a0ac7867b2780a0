"""Takes layers, attention heads or feed-forward channels out of a decoder, those that matter least to given texts."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ragd.hooks.api import TrainingFailed

KINDS = ("layers", "heads", "ffn")
_LAYER = re.compile(r"^(model\.layers\.)(\d+)(\..+)$")


def pruned(model: Any, kind: str, share: float, batches: Sequence[Mapping[str, Any]]) -> Any:
    """A smaller model of the same family without about `share` of its layers, heads or feed-forward channels.

    What goes is chosen by what the batches (ids and mask) make of it: layers that change their input least (Men et
    al. 2024, arXiv 2403.03853), heads and channels whose output, times the weights that read it, is smallest. Raises
    TrainingFailed for a model of another build than Llama's, or when nothing could go.
    """
    layers = _layers(model)
    config = copy.deepcopy(model.config)
    state = dict(model.state_dict())
    make = {"layers": _without_layers, "heads": _without_heads, "ffn": _without_channels}[kind]
    smaller = type(model)(make(model, layers, config, state, share, batches)).to(model.device)
    smaller.load_state_dict(state)
    smaller.config.use_cache = False
    return smaller


def zeroed(model: Any, share: float) -> None:
    """Sets the smallest `share` of the weights of every linear layer to zero, in place: unstructured pruning."""
    import torch

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):
                weight = module.weight
                cut = max(1, int(weight.numel() * share))
                limit = weight.abs().flatten().kthvalue(cut).values
                weight.masked_fill_(weight.abs() <= limit, 0.0)


def _layers(model: Any) -> list[Any]:
    layers = list(getattr(getattr(model, "model", None), "layers", ()))
    wanted = ("self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj")
    try:
        for layer in layers:
            for name in wanted:
                layer.get_submodule(name)
    except AttributeError:
        layers = []
    if not layers:
        raise TrainingFailed(
            f"{type(model).__name__} is not built as pruning knows it: model.layers with self_attn and gated mlp",
            hint="use the method int8, which takes every model",
        )
    return layers


def _watched(
    model: Any, modules: Sequence[Any], measure: Callable[[Any, Any, Any], Any], batches: Sequence[Mapping[str, Any]]
) -> list[Any]:
    """For each module the sum of `measure(inputs, outputs, mask)` over the batches, a tensor."""
    import torch

    found: list[Any] = [0.0] * len(modules)
    mask: Any = None

    def hook(place: int) -> Callable[..., None]:
        def look(_module: Any, inputs: Any, outputs: Any) -> None:
            given, made = inputs[0], outputs[0] if isinstance(outputs, tuple) else outputs
            found[place] = found[place] + measure(given.float(), made.float(), mask.unsqueeze(-1).float())

        return look

    handles = [module.register_forward_hook(hook(place)) for place, module in enumerate(modules)]
    try:
        with torch.no_grad():
            for batch in batches:
                mask = batch["attention_mask"]
                model(input_ids=batch["input_ids"], attention_mask=mask)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _without_layers(
    model: Any, layers: list[Any], config: Any, state: dict[str, Any], share: float, batches: Sequence[Any]
) -> Any:
    import torch

    def change(given: Any, made: Any, mask: Any) -> Any:
        return ((1.0 - torch.nn.functional.cosine_similarity(given, made, dim=-1)) * mask.squeeze(-1)).sum()

    gone = min(round(len(layers) * share), len(layers) - 1)
    if gone < 1:
        raise _nothing("layers", len(layers), share)
    changes = [float(value) for value in _watched(model, layers, change, batches)]
    kept = sorted(sorted(range(len(layers)), key=lambda i: changes[i])[gone:])
    for name in [name for name in state if _LAYER.match(name)]:
        tensor = state.pop(name)
        start, place, rest = _LAYER.match(name).groups()  # type: ignore[union-attr]
        if int(place) in kept:
            state[f"{start}{kept.index(int(place))}{rest}"] = tensor
    config.num_hidden_layers = len(kept)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[i] for i in kept]
    return config


def _without_channels(
    model: Any, layers: list[Any], config: Any, state: dict[str, Any], share: float, batches: Sequence[Any]
) -> Any:
    width = int(config.intermediate_size)
    kept_count = max(1, round(width * (1.0 - share)))
    if kept_count >= width:
        raise _nothing("feed-forward channels", width, share)
    downs = [layer.mlp.down_proj for layer in layers]
    for place, scores in enumerate(_reads(model, downs, batches)):
        kept = _best(scores, kept_count)
        _cut(state, f"model.layers.{place}.mlp", {"gate_proj": 0, "up_proj": 0, "down_proj": 1}, kept)
    config.intermediate_size = kept_count
    return config


def _without_heads(
    model: Any, layers: list[Any], config: Any, state: dict[str, Any], share: float, batches: Sequence[Any]
) -> Any:
    heads, groups = int(config.num_attention_heads), int(config.num_key_value_heads)
    a_group, size = heads // groups, int(layers[0].self_attn.head_dim)
    wanted = max(1, round(groups * (1.0 - share)))
    # Some families insist that the width is a multiple of the number of heads.
    fitting = [n for n in range(1, wanted + 1) if config.hidden_size % (n * a_group) == 0]
    if not fitting or wanted >= groups:
        raise _nothing("groups of heads", groups, share)
    outs = [layer.self_attn.o_proj for layer in layers]
    for place, scores in enumerate(_reads(model, outs, batches)):
        kept = _best(scores.reshape(groups, a_group * size).sum(dim=1), fitting[-1])
        of_keys, of_queries = _spread(kept, size), _spread(kept, size * a_group)
        _cut(state, f"model.layers.{place}.self_attn", {"q_proj": 0, "o_proj": 1}, of_queries)
        _cut(state, f"model.layers.{place}.self_attn", {"k_proj": 0, "v_proj": 0}, of_keys)
    config.num_key_value_heads, config.num_attention_heads = fitting[-1], fitting[-1] * a_group
    config.head_dim = size
    return config


def _reads(model: Any, modules: Sequence[Any], batches: Sequence[Any]) -> list[Any]:
    """For each linear layer how much of each of its inputs reaches its output, shape (inputs,)."""
    seen = _watched(model, modules, lambda given, _made, mask: (given.square() * mask).sum(dim=(0, 1)), batches)
    return [values.sqrt() * module.weight.norm(dim=0) for values, module in zip(seen, modules, strict=True)]


def _best(scores: Any, count: int) -> Any:
    return scores.topk(count).indices.sort().values


def _spread(kept: Any, size: int) -> Any:
    """The places of all elements of the kept blocks of `size`."""
    import torch

    return (kept.unsqueeze(1) * size + torch.arange(size, device=kept.device)).flatten()


def _cut(state: dict[str, Any], prefix: str, sides: Mapping[str, int], kept: Any) -> None:
    """Keeps the given rows (0) or columns (1) of weights; biases go with rows."""
    for name, side in sides.items():
        key = f"{prefix}.{name}"
        state[f"{key}.weight"] = state[f"{key}.weight"].index_select(side, kept)
        if side == 0 and f"{key}.bias" in state:
            state[f"{key}.bias"] = state[f"{key}.bias"].index_select(0, kept)


def _nothing(what: str, count: int, share: float) -> TrainingFailed:
    return TrainingFailed(
        f"pruning {share:.0%} of {count} {what} leaves nothing to take away",
        hint="raise the option share, or choose another method",
    )
