"""The tutorial of the first trainer, done as it is written: its files, its commands, a real daemon, the real model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.conftest import Place

PAGE = Path(__file__).parents[2] / "docs/tutorial/your-first-trainer.md"
QUESTION = "What has Comet agreed about password changes?"
LONGEST = 20

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def company(places: Callable[[], Place], models: Path) -> Place:
    """A daemon on the tutorial's notes, started in the folder that holds the tutorial's files."""
    place = places()
    (place.state / "models").unlink()
    (place.state / "models").mkdir()
    for shared in ("minilm", "stamps"):
        (place.state / "models" / shared).symlink_to(models / shared)
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", code)
            assert name is not None
            (place.folder / name[1]).write_text(code)
        elif language == "toml":
            (place.folder / "ragd.toml").write_text(code)
    subprocess.run([sys.executable, "company.py"], cwd=place.folder, check=True)
    place.start()
    place.until_indexed(180)
    return place


def best(place: Place) -> str:
    """The note that answers the tutorial's question best."""
    return str(place.client.search(q=QUESTION, mode="dense", limit=1)["hits"][0]["path"])


def state_of(place: Place, plugin: str) -> str:
    """How a plugin stands in the daemon."""
    plugins = place.client.learn("GET", "plugins")["plugins"]
    return next((str(one["state"]) for one in plugins if one["name"] == plugin), "")


def test_the_plugin_of_the_tutorial_is_dropped_in_fires_wins_and_comes_back(company: Place) -> None:
    code = (company.folder / "nudge.py").read_text()
    assert (
        len([line for line in code.splitlines() if line.strip() and not line.startswith(("import", "from", "#"))]) <= 20
    )
    assert best(company) != "password-changes-servers-and-backups.md"
    checked = company.ragd("plugins", "check", "nudge.py")
    assert "failed" not in checked, checked
    assert state_of(company, "nudge") == ""
    assert "trainer nudge" in company.ragd("plugins", "trust", "nudge.py")
    runs: list[dict[str, object]] = []

    def has_ended() -> bool:
        runs[:] = company.client.learn("GET", "runs", trainer="nudge")["runs"]
        return bool(runs) and runs[0]["state"] in ("done", "failed", "stopped")

    company.until(has_ended, timeout_s=120)
    assert (runs[0]["state"], runs[0]["verdict"], runs[0]["cause"]) == ("done", "passed", "trigger"), runs[0]
    company.until(lambda: best(company) == "password-changes-servers-and-backups.md")
    explained = company.ragd("triggers", "explain", "nudge")
    assert "changed_share" in explained
    assert "nudge" in company.ragd("runs", "list")
    shown = company.ragd("models", "show", "nudge/1")
    assert "passed: ndcg@10" in shown
    assert "| significance | yes |" in shown
    assert "champion" in company.ragd("models", "list")
    assert "configured serves as query-adapter" in company.ragd("models", "rollback", "query-adapter")
    assert best(company) != "password-changes-servers-and-backups.md"


def test_what_it_cost_adds_up_to_the_sum_of_the_runs(company: Place) -> None:
    account = json.loads(company.ragd("spend", "--json"))["totals"]["runs"]
    by_runs = sum(run["cpu_s"] for run in company.client.learn("GET", "runs")["runs"])
    assert account["charged"]["cpu_s"] == pytest.approx(by_runs, rel=0.05)
    assert by_runs > 0


def test_a_trainer_that_does_next_to_nothing_is_refused_by_the_gate(company: Place) -> None:
    weak = (company.folder / "nudge.py").read_text().replace("asked + ridge,", "asked + 1e9 * ridge,")
    (company.folder / "nudge.py").write_text(weak)
    company.ragd("plugins", "trust", "nudge.py")
    company.until(lambda: state_of(company, "nudge") == "used")
    said = company.ragd("train", "nudge", exit_code=16)
    assert "refused" in said
    assert company.client.learn("GET", "models")["champions"][0]["model"] is None


def test_a_changed_file_is_refused_until_it_is_trusted_again(company: Place) -> None:
    folder = company.folder / ".config" / "ragd" / "plugins"
    file = folder / "nudge.py"
    file.write_text(file.read_text() + "\n# changed\n")
    assert "changed since it was trusted" in company.ragd("plugins", "list")
    company.until(lambda: state_of(company, "nudge") == "not trusted")
    said = company.refused(3, "train", "nudge")
    assert "nudge" in said
