"""The soak's judge: it must see a leak, and must not see one in noise."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from bench.slopes import Point, Slope, latency, slope


def samples(values: Iterable[float], life: int = 1, start: float = 0.0) -> list[Point]:
    return [Point(life, age_s=2.0 * i, work=start + i / 50, value=float(value)) for i, value in enumerate(values)]


def fitted(points: list[Point], warmup_s: float = 0.0, seed: int = 0) -> Slope:
    found = slope(points, warmup_s=warmup_s, seed=seed)
    assert found is not None
    return found


def test_a_leak_beneath_the_teeth_of_a_saw_is_seen() -> None:
    random = np.random.default_rng(1)
    leaking = [40 + 0.05 * i + i % 7 + random.normal(0, 0.3) for i in range(200)]
    found = fitted(samples(leaking), 60)
    assert found.verdict == "grows"
    assert abs(found.per_thousand - 2.5) < 0.3  # 50 samples a thousand edits, 0.05 each
    assert found.low < 2.5 < found.high


@pytest.mark.slow
def test_noise_alone_does_not_grow() -> None:
    verdicts = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        wandering = 40 + np.convolve(random.normal(0, 1, 220), np.ones(20) / 20, "valid")[:200]
        verdicts.append(fitted(samples(wandering), seed=seed).verdict)
    assert verdicts.count("grows") <= 2


def test_a_restart_neither_hides_growth_nor_looks_like_it() -> None:
    hidden = [*samples([10 + 0.1 * i for i in range(100)]), *samples([10 + 0.1 * i for i in range(100)], 2, 2.0)]
    assert fitted(hidden, 20).verdict == "grows"
    higher = [*samples([10, 10.2] * 50), *samples([20, 20.2] * 50, 2, 2.0)]
    assert fitted(higher, 20).verdict == "flat"


def test_what_is_young_does_not_count() -> None:
    warming = [*np.linspace(0, 50, 80), *([50, 50.1] * 20)]
    assert fitted(samples(warming)).verdict == "grows"
    assert fitted(samples(warming), 160).verdict == "flat"


def test_growth_below_what_a_quantity_comes_in_is_noise() -> None:
    creeping = samples([50 + 0.004 * i for i in range(100)])
    assert fitted(creeping).verdict == "grows"
    found = slope(creeping, warmup_s=0, resolution=1.0)
    assert found is not None
    assert found.verdict == "noise"
    assert abs(found.per_thousand - 0.2) < 0.001  # it is told all the same


def test_too_few_samples_say_nothing() -> None:
    assert slope(samples([1, 2, 3]), warmup_s=0) is None


def test_latency_that_doubles_is_told_from_latency_that_does_not() -> None:
    random = np.random.default_rng(2)
    steady = list(random.gamma(2.0, 3.0, 1800))
    assert latency(steady)["verdict"] == "flat"
    assert latency([*steady[:1200], *(2 * value for value in steady[1200:])])["verdict"] == "grows"
    assert latency(steady[:50])["verdict"] == "too few"
