"""Whether a trainer fires now: its conditions on what was observed, each told with its figures; a pure decision.

First the gates, all of which must be open: it is enabled, has enough examples, is warmed up, and has cooled down.
Then the conditions that its table asks for, joined by `when`. A table that asks nothing gets the default of the
role: an index fit fires when `centroid_cosine` fell below .9, every other trainer when .1 of the chunks changed or when
there are as many new examples as it needs at least.

A condition on a level (drift, bad answers, index fit) that once fired is latched: it counts again only after the level
went back beyond a lower bound, or after a tenth of the chunks changed since. Otherwise a level that training cannot
cure would fire for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ragd.config.learning import TrainerSettings
from ragd.domain.deciding import Decision, Observed, Reason, Window
from ragd.domain.learning import Data, Role
from ragd.domain.plugins import TrainerFacts

GATES = ("enabled", "examples", "warmup", "cooldown")
LEVELS = ("document_drift", "query_drift", "bad_share", "centroid_cosine")
LIKE_SHARE = 0.1  # data of which less than this changed is like data
LEAST_ANSWERS = 20
WINDOWS_ASKED = 3
WINDOWS_NEEDED = 2
DEFAULT_COSINE = 0.9
DEFAULT_SHARE = 0.1
_WORTH_INSERTED_SHARE = 0.02  # fewer new chunks than this cannot have worn an index
_RELEASE = 0.8  # a share of bad answers is released below this part of its threshold
_UNITS: Mapping[Data, str] = {
    Data.VECTORS: "vectors",
    Data.TEXTS: "texts",
    Data.PAIRS: "pairs",
    Data.PROMPTS: "prompts",
}


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier decisions of one trainer left behind: the level conditions that fired and were not released yet."""

    latched: frozenset[str] = frozenset()


def is_enabled(facts: TrainerFacts, settings: TrainerSettings, *, is_file: bool) -> bool:
    """Whether a trainer may fire by itself: as its table says, else index fits, query adapters and trusted files."""
    if settings.enabled is not None:
        return settings.enabled
    return is_file or facts.role in (Role.INDEX, Role.QUERY_ADAPTER)


def decide(
    facts: TrainerFacts,
    settings: TrainerSettings,
    observed: Observed,
    past: Past,
    *,
    policy: Reason | None = None,
    is_file: bool = False,
) -> Decision:
    """Whether the trainer fires, with every gate and condition as a reason, those that do not hold included.

    `policy` is what the plugin's rule named in the settings answered, None when it did not; `is_file` says that the
    trainer comes from a trusted file. `wait_until` is set where nothing but time is missing.
    """
    asked = effective(facts, settings)
    gates = _gates(facts, settings, observed, is_file=is_file)
    conditions = _conditions(facts, asked, observed, past, policy)
    join: Callable[[Iterable[bool]], bool] = all if asked.when == "all" else any
    holds = bool(conditions) and join(reason.holds for reason in conditions)
    fires = holds and all(reason.holds for reason in gates)
    until = None if fires else _wait_until(asked, observed, gates, conditions)
    return Decision(facts.name, observed.at, fires, (*gates, *conditions), until)


def after(facts: TrainerFacts, settings: TrainerSettings, decision: Decision, observed: Observed, past: Past) -> Past:
    """What is left behind for the next decision: firing latches the levels that held, release or new data frees them.

    Folding this over the kept decisions of a trainer gives its past after a restart.
    """
    held = {reason.condition for reason in decision.reasons if reason.holds and reason.condition in LEVELS}
    if decision.fires:
        return Past(past.latched | held)
    if _is_other_data(observed):
        return Past()
    asked = effective(facts, settings)
    return Past(frozenset(name for name in past.latched if not _is_released(name, asked, observed)))


def effective(facts: TrainerFacts, settings: TrainerSettings) -> TrainerSettings:
    """The settings with the role's default conditions where they ask nothing."""
    asks = (
        settings.changed_chunks,
        settings.changed_share,
        settings.new_examples,
        settings.document_drift,
        settings.query_drift,
        settings.bad_share,
        settings.centroid_cosine,
        settings.every_s,
        settings.policy,
    )
    if any(asks):
        return settings
    if facts.role is Role.INDEX:
        return settings.model_copy(update={"when": "any", "centroid_cosine": DEFAULT_COSINE})
    least = max(facts.needs.least, 1)
    return settings.model_copy(update={"when": "any", "changed_share": DEFAULT_SHARE, "new_examples": least})


def examples_text(facts: TrainerFacts, examples: int) -> str:
    """`has 12 pairs, needs 50`, in the words of what the trainer learns from."""
    return f"has {examples:,} {_UNITS[facts.needs.data]}, needs {facts.needs.least:,}"


def _gates(facts: TrainerFacts, settings: TrainerSettings, observed: Observed, *, is_file: bool) -> tuple[Reason, ...]:
    enabled = is_enabled(facts, settings, is_file=is_file)
    off = f"does not fire by itself; trainers.{facts.name}.enabled = true lets it"
    warm = settings.warmup_chunks
    ready_at = _cooled_at(settings, observed)
    left_s = max(0.0, (ready_at or observed.at) - observed.at)
    cooled = (
        "has not run yet" if observed.last_run_at is None else f"ran {_span(observed.at - observed.last_run_at)} ago"
    )
    return (
        Reason("enabled", enabled, "fires by itself" if enabled else off),
        Reason("examples", observed.examples >= facts.needs.least, examples_text(facts, observed.examples)),
        Reason("warmup", observed.live_chunks >= warm, f"{observed.live_chunks:,} chunks, warm at {warm:,}"),
        Reason(
            "cooldown",
            left_s == 0,
            f"{cooled}, cools down for {_span(settings.cooldown_s)}" + (f": {_span(left_s)} left" if left_s else ""),
        ),
    )


def _conditions(
    facts: TrainerFacts, asked: TrainerSettings, observed: Observed, past: Past, policy: Reason | None
) -> tuple[Reason, ...]:
    """One reason for each condition that is asked, in the order of the settings."""
    found: list[Reason] = []
    changed, share = observed.changed_chunks, _changed_share(observed)
    if asked.changed_chunks:
        text = f"{changed:,} chunks changed since the last run, fires at {asked.changed_chunks:,}"
        found.append(Reason("changed_chunks", changed >= asked.changed_chunks, text))
    if asked.changed_share:
        text = f"{share:.1%} of the chunks changed since the last run, fires at {asked.changed_share:.1%}"
        found.append(Reason("changed_share", share >= asked.changed_share, text))
    if asked.new_examples:
        unit = _UNITS[facts.needs.data]
        text = f"{observed.new_examples:,} new {unit} since the last run, fires at {asked.new_examples:,}"
        found.append(Reason("new_examples", observed.new_examples >= asked.new_examples, text))
    levels = {
        "document_drift": asked.document_drift and _drift("document_drift", observed.document_windows, observed),
        "query_drift": asked.query_drift and _drift("query_drift", observed.query_windows, observed),
        "bad_share": asked.bad_share and _bad_share(asked, observed),
        "centroid_cosine": asked.centroid_cosine and _centroid(asked, observed),
    }
    found += [_latched(reason, past, observed) for reason in levels.values() if isinstance(reason, Reason)]
    if asked.every_s:
        since_s = observed.at - _clock_starts(observed)
        text = f"{_span(since_s)} since the last run, fires after {_span(asked.every_s)}"
        found.append(Reason("every_s", since_s >= asked.every_s, text))
    if asked.policy:
        silent = Reason("policy", False, f"the policy {asked.policy} has not answered")
        told = policy or silent
        found.append(Reason("policy", told.holds, told.text))
    return tuple(found)


def _drift(name: str, windows: Sequence[Window], observed: Observed) -> Reason:
    """Two of the last three windows since the last run drifted."""
    kind = "documents" if name == "document_drift" else "queries"
    recent = _recent(windows, observed)
    drifted = [window for window in recent if window.is_drift]
    if not recent:
        return Reason(name, False, f"no window of {kind} was looked at since the last run")
    newest = recent[0]
    text = (
        f"{len(drifted)} of the last {len(recent)} windows of {kind} drifted, fires at {WINDOWS_NEEDED}; the newest: "
    )
    text += f"{newest.novelty:.1%} novel, chi-square {newest.histogram:.0f}"
    text += f", p {newest.mmd_p:.3f}" if newest.mmd_p is not None else ""
    return Reason(name, len(drifted) >= WINDOWS_NEEDED, text)


def _recent(windows: Sequence[Window], observed: Observed) -> Sequence[Window]:
    since = observed.last_run_at
    return [window for window in windows if since is None or window.at > since][:WINDOWS_ASKED]


def _bad_share(asked: TrainerSettings, observed: Observed) -> Reason:
    if observed.bad_share is None or observed.answers < LEAST_ANSWERS:
        text = f"{observed.answers:,} answers were judged since the last run, at least {LEAST_ANSWERS} are needed"
        return Reason("bad_share", False, text)
    text = f"{observed.bad_share:.1%} of {observed.answers:,} judged answers are bad, fires at {asked.bad_share:.1%}"
    return Reason("bad_share", observed.bad_share >= asked.bad_share, text)


def _centroid(asked: TrainerSettings, observed: Observed) -> Reason:
    cosine, share = observed.centroid_cosine, _changed_share(observed)
    if cosine is None:
        return Reason("centroid_cosine", False, "the index has no fit that could wear out")
    text = (
        f"new chunks fit the index {cosine:.2f} times as well as the old ones, fires below {asked.centroid_cosine:.2f}"
    )
    if share < _WORTH_INSERTED_SHARE:
        text += f"; but only {share:.1%} of the chunks changed, {_WORTH_INSERTED_SHARE:.0%} would tell"
    return Reason("centroid_cosine", cosine < asked.centroid_cosine and share >= _WORTH_INSERTED_SHARE, text)


def _latched(reason: Reason, past: Past, observed: Observed) -> Reason:
    """The same reason, not holding while its condition fired before and neither went back nor met other data."""
    if not reason.holds or reason.condition not in past.latched or _is_other_data(observed):
        return reason
    text = (
        f"{reason.text}; it fired before, and counts again once it went back or {LIKE_SHARE:.0%} of the chunks changed"
    )
    return Reason(reason.condition, False, text)


def _is_released(name: str, asked: TrainerSettings, observed: Observed) -> bool:
    """Whether a latched level went back beyond its lower bound: well below where it fires."""
    if name in ("document_drift", "query_drift"):
        windows = observed.document_windows if name == "document_drift" else observed.query_windows
        recent = _recent(windows, observed)
        return len(recent) >= WINDOWS_NEEDED and not any(window.is_drift for window in recent)
    if name == "bad_share":
        share = observed.bad_share
        return share is not None and observed.answers >= LEAST_ANSWERS and share <= _RELEASE * asked.bad_share
    cosine = observed.centroid_cosine
    return cosine is None or cosine >= (1 + asked.centroid_cosine) / 2


def _is_other_data(observed: Observed) -> bool:
    return observed.live_chunks > 0 and _changed_share(observed) >= LIKE_SHARE


def _changed_share(observed: Observed) -> float:
    return observed.changed_chunks / max(observed.live_chunks, 1)


def _cooled_at(settings: TrainerSettings, observed: Observed) -> float | None:
    return None if observed.last_run_at is None else observed.last_run_at + settings.cooldown_s


def _clock_starts(observed: Observed) -> float:
    return observed.started_at if observed.last_run_at is None else observed.last_run_at


def _wait_until(
    asked: TrainerSettings, observed: Observed, gates: Sequence[Reason], conditions: Sequence[Reason]
) -> float | None:
    """When it fires if nothing else changes; None where more than time is missing."""
    if any(not gate.holds for gate in gates if gate.condition != "cooldown"):
        return None
    join: Callable[[Iterable[bool]], bool] = all if asked.when == "all" else any
    if not conditions or not join(reason.holds or reason.condition == "every_s" for reason in conditions):
        return None
    moments = [_cooled_at(asked, observed) or observed.at]
    if not join(reason.holds for reason in conditions):
        moments.append(_clock_starts(observed) + asked.every_s)
    return max(moments)


def _span(seconds: float) -> str:
    """A span of time in the unit that reads best."""
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{max(seconds, 0) / divisor:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"
