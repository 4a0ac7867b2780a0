"""Decides what each observation means for the catalog: values in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ragd.domain.changes import Action, Change, Known, Observation, Presence


def reconcile(observations: Sequence[Observation], known: Mapping[bytes, Known]) -> list[Change]:
    """One decision for each observed path, in the order given; the last observation of a path counts.

    `known` holds the catalog's rows of these paths; a path that is not in it is new.
    """
    latest = {observation.path: observation for observation in observations}
    return [
        Change(_action(observation, known.get(path)), observation, known.get(path))
        for path, observation in latest.items()
    ]


def _action(seen: Observation, known: Known | None) -> Action:
    if seen.presence is Presence.UNKNOWN:
        return Action.NOTHING
    if seen.presence is Presence.GONE:
        return Action.NOTHING if known is None else Action.DELETE
    if seen.problem:
        is_old_news = known is not None and known.is_failed and known.stat == seen.stat
        return Action.NOTHING if is_old_news else Action.FAIL
    if known is None:
        return Action.ADD
    if known.is_failed:
        # A failure with a hash was the content's; without one the path itself had a problem, which is over now.
        is_same_content = known.content_hash is not None and known.stat == seen.stat
        return Action.NOTHING if is_same_content else Action.MODIFY
    if known.stat == seen.stat:
        return Action.NOTHING
    if seen.content_hash is not None and seen.content_hash == known.content_hash:
        return Action.TOUCH
    return Action.MODIFY
