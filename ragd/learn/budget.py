"""What training and backfills may cost: seconds and money in the last day and the last 30 days, and quiet hours.

Windows roll: "a day" is the last 24 hours. Nothing here keeps anything; whoever asks brings what was spent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from statistics import median

from ragd.config.learning import Budget
from ragd.domain.deciding import Cost
from ragd.domain.errors import ConfigInvalid

DAY_S = 86400.0
MONTH_S = 30 * DAY_S
TRAINING = frozenset({"prepare", "train", "evaluate"})
FILLING = frozenset({"backfill"})
_LEARNED_FROM = 5
_HOUR_S = 3600.0
_SPANS: Mapping[str, float] = {"day": DAY_S, "month": MONTH_S}
_SPAN_WORDS: Mapping[str, str] = {"day": "a day", "month": "in 30 days"}


@dataclass(frozen=True, slots=True)
class Charge:
    """Work that was paid for at Unix seconds `at`: `what` is train, evaluate, backfill or observe."""

    at: float
    what: str
    cost: Cost


@dataclass(frozen=True, slots=True)
class Fits:
    """The work may start now; `left` is the smallest share of any limit that remains after it (1 where none is set)."""

    left: float = 1.0


@dataclass(frozen=True, slots=True)
class Waits:
    """The work may not start now: why, which key sets the limit, and until when (Unix seconds) where that is known.

    `is_never` is true when it does not fit even into an empty window: it waits until the key is changed.
    """

    why: str
    key: str
    until: float | None = None
    is_never: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """One limit: its key, its window in seconds, what was used of it, what it allows and in which unit."""

    key: str
    window_s: float
    used: float
    limit: float
    unit: str


@dataclass(frozen=True, slots=True)
class PastCost:
    """What an earlier run of a trainer took on so many examples, evaluation included."""

    examples: int
    cost: Cost


@dataclass(frozen=True, slots=True)
class _Limit:
    """One rule of the budget: the charges it counts, how it measures them and what it allows."""

    key: str
    span: str
    kinds: frozenset[str]
    limit: float
    unit: str
    rates: tuple[float, float]  # units a second of CPU and of GPU

    def of(self, cost: Cost) -> float:
        return cost.cpu_s * self.rates[0] + cost.gpu_s * self.rates[1]

    def held(self, reserved: Cost) -> float:
        """What training runs under way hold of it."""
        return self.of(reserved) if self.kinds & TRAINING else 0.0

    def used(self, spent: Iterable[Charge], now: float) -> float:
        since = now - _SPANS[self.span]
        return sum(self.of(charge.cost) for charge in spent if charge.what in self.kinds and charge.at > since)


def reserve(estimate: Cost, spent: Sequence[Charge], reserved: Cost, settings: Budget, now: float) -> Fits | Waits:
    """Whether a run with this estimate fits into what training may cost, beside the runs that hold `reserved`.

    A run fits when spending it now keeps every window within its limit. Otherwise the answer tells of the limit
    that holds it longest. Pure; quiet hours are asked with `quiet_until`.
    """
    return _fit(estimate, spent, reserved, _limits(settings, TRAINING), now, "a run")


def may_fill(estimate: Cost, spent: Sequence[Charge], reserved: Cost, settings: Budget, now: float) -> Fits | Waits:
    """Whether the next slice of a backfill, of this cost, fits into what filling new generations may cost now.

    What training runs hold `reserved` counts in money alone, the one thing that both share.
    """
    return _fit(estimate, spent, reserved, _limits(settings, FILLING), now, "a slice of the filling")


def usage(spent: Sequence[Charge], settings: Budget, now: float) -> tuple[Usage, ...]:
    """Every limit that is set, with what was used of it."""
    limits = {limit.key: limit for kinds in (TRAINING, FILLING) for limit in _limits(settings, kinds)}
    return tuple(
        Usage(limit.key, _SPANS[limit.span], limit.used(spent, now), limit.limit, limit.unit)
        for limit in limits.values()
    )


def estimate(past: Sequence[PastCost], cost_s: float, examples: int, *, device: str, threads: int) -> Cost:
    """What a run on so many examples will take: learned from the trainer's last runs, newest first.

    The median of the last five, each scaled up in proportion where there are more examples now and left as it was
    where there are fewer: a run has costs that do not shrink. Without a run the trainer's own first guess counts:
    `cost_s` seconds per thousand examples, on every thread, and on the GPU as well where that is the device.
    """
    known = [run for run in past if run.cost.cpu_s > 0 or run.cost.gpu_s > 0][:_LEARNED_FROM]
    if not known:
        seconds = cost_s * examples / 1000
        return Cost(cpu_s=seconds * threads, gpu_s=seconds if device == "cuda" else 0.0)
    scales = [max(1.0, examples / max(run.examples, 1)) for run in known]
    return Cost(
        cpu_s=median(run.cost.cpu_s * scale for run, scale in zip(known, scales, strict=True)),
        gpu_s=median(run.cost.gpu_s * scale for run, scale in zip(known, scales, strict=True)),
    )


def price(cost: Cost, settings: Budget) -> float:
    """What work costs in `budget.currency`; 0 without rates."""
    return (cost.cpu_s * settings.cpu_rate + cost.gpu_s * settings.gpu_rate) / _HOUR_S


def quiet_until(settings: Budget, now: float, tz: tzinfo | None = None) -> float | None:
    """When the quiet hours that hold `now` end, in Unix seconds; None outside of them and where none are set.

    Hours are of the zone `tz`, of this system where it is None; they may cross midnight. Raises ConfigInvalid when
    the hours are no times of a day.
    """
    if not settings.quiet_hours:
        return None
    begin, end = quiet_hours(settings.quiet_hours)
    local = datetime.fromtimestamp(now, tz)
    at = local.time().replace(tzinfo=None)
    is_quiet = begin <= at < end if begin < end else (at >= begin or at < end)
    if not is_quiet:
        return None
    day = local.date() if at < end else local.date() + timedelta(days=1)
    ends = datetime.combine(day, end, tz)
    # An end that the clocks going back bring twice: after the first time it is the second.
    return ends.timestamp() if ends.timestamp() > now else ends.replace(fold=1).timestamp()


def quiet_hours(text: str) -> tuple[time, time]:
    """Begin and end of `HH:MM-HH:MM`. Raises ConfigInvalid naming the key."""
    try:
        begin, end = (time.fromisoformat(part) for part in text.split("-"))
    except ValueError as error:
        raise ConfigInvalid(
            f"budget.quiet_hours = {text!r}: not two times of a day", hint='give for example "08:00-18:00"'
        ) from error
    if begin == end:
        raise ConfigInvalid(
            f"budget.quiet_hours = {text!r}: it ends when it begins",
            hint='give two different times, or "" for no quiet hours; learn.enabled = false trains never',
        )
    return begin, end


def _limits(settings: Budget, kinds: frozenset[str]) -> Iterator[_Limit]:
    """The limits that are set for this kind of work, money included; 0 sets none."""
    name = "train" if kinds == TRAINING else "backfill"
    for span in _SPANS:
        for unit, rates in (("cpu", (1.0, 0.0)), ("gpu", (0.0, 1.0))):
            limit = getattr(settings, f"{name}_{unit}_s_{span}", 0.0)
            if limit > 0:
                yield _Limit(f"budget.{name}_{unit}_s_{span}", span, kinds, limit, f"s of {unit.upper()}", rates)
        money = settings.money_day if span == "day" else settings.money_month
        if money > 0:
            rates = (settings.cpu_rate / _HOUR_S, settings.gpu_rate / _HOUR_S)
            yield _Limit(f"budget.money_{span}", span, TRAINING | FILLING, money, settings.currency, rates)


def _fit(
    wanted: Cost, spent: Sequence[Charge], reserved: Cost, limits: Iterable[_Limit], now: float, what: str
) -> Fits | Waits:
    left = 1.0
    waits: list[Waits] = []
    for limit in limits:
        room = limit.limit - limit.used(spent, now) - limit.held(reserved) - limit.of(wanted)
        if room >= 0 or limit.of(wanted) == 0:
            left = min(left, max(room, 0.0) / limit.limit)
        else:
            waits.append(_wait(limit, wanted, spent, reserved, now, what))
    return max(waits, key=_patience) if waits else Fits(left)


def _patience(wait: Waits) -> tuple[bool, bool, float]:
    """Orders waits by how long they last: for ever, for an unknown time, until a known one."""
    return wait.is_never, wait.until is None, wait.until or 0.0


def _wait(limit: _Limit, wanted: Cost, spent: Sequence[Charge], reserved: Cost, now: float, what: str) -> Waits:
    needed, allowed = limit.of(wanted), limit.limit
    words = _SPAN_WORDS[limit.span]
    if needed > allowed:
        why = f"{what} needs about {_amount(needed, limit)}, {limit.key} allows {_amount(allowed, limit)} {words}"
        return Waits(why, limit.key, None, is_never=True)
    used, held = limit.used(spent, now), limit.held(reserved)
    told = f"{_amount(used, limit)} of {_amount(allowed, limit)} {words} are spent"
    told += f" and {_amount(held, limit)} reserved for runs under way" if held else ""
    why = f"{what} needs about {_amount(needed, limit)}, but {told} ({limit.key})"
    return Waits(why, limit.key, _free_at(limit, allowed - needed - held, spent, now))


def _free_at(limit: _Limit, room: float, spent: Sequence[Charge], now: float) -> float | None:
    """When no more than `room` of what was spent still counts; None when that waits for a run under way to end."""
    if room < 0:
        return None
    span_s = _SPANS[limit.span]
    charges = sorted((c for c in spent if c.what in limit.kinds and c.at > now - span_s), key=lambda c: c.at)
    for number, charge in enumerate(charges):
        if sum(limit.of(later.cost) for later in charges[number + 1 :]) <= room:
            return charge.at + span_s
    return now


def _amount(value: float, limit: _Limit) -> str:
    return (
        f"{value:.2f} {limit.unit}".rstrip() if limit.key.startswith("budget.money") else f"{value:,.0f} {limit.unit}"
    )
