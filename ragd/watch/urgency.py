"""Which changes a person waits for: a few at once are edits, many at once are a copy or a checkout."""

from __future__ import annotations

_EDITS, _EDITS_A_SECOND = 256, 16.0
_FINDS, _FINDS_A_SECOND = 64, 4.0


class Bucket:
    """A token bucket: `burst` at once, and `per_s` more a second."""

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst, self._per_s = float(burst), per_s
        self._left = self._burst
        self._at = 0.0

    def takes(self, now: float) -> bool:
        """Whether there is a token left at `now` (Unix seconds), and takes it; a clock set back starts over."""
        since_s = now - self._at
        self._left = min(self._burst, self._left + since_s * self._per_s) if since_s >= 0 else self._burst
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Urgency:
    """Known documents that change are urgent up to hundreds at once, new files only a few: they come in copies."""

    def __init__(self) -> None:
        self._edits = Bucket(_EDITS, _EDITS_A_SECOND)
        self._finds = Bucket(_FINDS, _FINDS_A_SECOND)

    def takes(self, now: float, *, is_new: bool) -> bool:
        """Whether one more change at `now` (Unix seconds) overtakes a backfill."""
        return (self._finds if is_new else self._edits).takes(now)
