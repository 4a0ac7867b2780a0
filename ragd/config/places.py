"""Where things lie in a state folder, so that no other room spells a folder's name twice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """Where things lie in a state folder."""

    state: Path

    @property
    def models(self) -> Path:
        """Artefacts of encoders."""
        return self.state / "models"

    @property
    def broker(self) -> Path:
        """The embedded Redis."""
        return self.state / "broker"

    @property
    def generations(self) -> Path:
        """The snapshots, a folder for each generation."""
        return self.state / "generations"

    def generation(self, generation_id: int) -> Path:
        """The snapshots of one generation."""
        return self.generations / str(generation_id)
