"""`ragd models`: what it asks, what people and programs read of it, and how a shell completes it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import typer

from ragd.cli.main import build
from ragd.cli.names import model_names
from ragd.cli.terminal import columns
from ragd.domain.errors import BadRequest, Busy, DaemonUnreachable, GateRefused, NotFound

GATE: dict[str, Any] = {
    "verdict": "passed",
    "champion": 0.208,
    "challenger": 0.264,
    "gain": 0.056,
    "p_value": 0.00012,
    "sentence": "passed: ndcg@10 0.208 → 0.264 on 91 held-out queries, p = 0.00012",
}
MODEL: dict[str, Any] = {
    "id": 3,
    "role": "query-adapter",
    "name": "query_adapter",
    "version": 2,
    "status": "champion",
    "created_at": time.time() - 7230,
    "size_bytes": 590_336,
    "space": "f" * 32,
    "base": "f" * 32,
    "parent": 2,
    "run_id": "20261124-1300-query_adapter",
    "sha256": "a" * 64,
    "folder": "query_adapter/2",
    "facts": {"trainable_weights": 147_456, "note\x1b[31m": "red\x1b[31m\nline"},
    "scores": {"gate": GATE},
}
UNMEASURED = MODEL | {"id": 1, "version": 1, "status": "candidate", "scores": {}, "facts": {}, "run_id": None}
LONE = UNMEASURED | {"id": 2, "name": "encoder_lora", "role": "encoder", "status": "retired"}
SHOWN: dict[str, Any] = MODEL | {
    "files": {"transform.json": "00"},
    "report": "# query_adapter: passed\n\n| rule | holds |\x1b[31m\n",
    "lineage": [{"id": 2, "role": "encoder", "name": "encoder_lora", "version": 1, "status": "retired"}],
    "run": {
        "examples": 12_000,
        "data_sha256": "0123456789abcdef" * 4,
        "cpu_s": 3.25,
        "gpu_s": 0.0,
        "peak_memory_mb": 180.4,
    },
    "promotions": [],
}
CHAMPIONS: list[dict[str, Any]] = [
    {
        "role": "encoder",
        "model": None,
        "name": None,
        "version": None,
        "stage": "serving",
        "since": time.time() - 7230,
        "can_roll_back": False,
        "previous": None,
    },
    {
        "role": "query-adapter",
        "model": 3,
        "name": "query_adapter",
        "version": 2,
        "stage": "serving",
        "since": time.time() - 7230,
        "can_roll_back": True,
        "previous": None,
    },
]


class LearningSide:
    """The daemon's registry: knows the models above, and refuses as the real one does."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.shelf: list[dict[str, Any]] = [MODEL, LONE, UNMEASURED]
        self.champions = CHAMPIONS
        self.stage = "serving"
        self.pruned: list[str] = ["query_adapter/1", "encoder_lora/1"]

    def models(self) -> dict[str, Any]:
        return {"models": self.shelf, "champions": self.champions if self.shelf else []}

    def model(self, model: str) -> dict[str, Any]:
        self.asked.append(("model", model))
        if model not in ("3", "query_adapter", "query_adapter/2"):
            raise NotFound(f"there is no model {model}", hint="`ragd models list` shows them")
        return SHOWN

    def compare(self, a: str, b: str) -> dict[str, Any]:
        self.asked.append(("compare", a, b))
        if "encoder_lora" in (a, b):
            raise BadRequest(f"{a} and {b} do not have the same role", hint="compare models of one role")
        other = SHOWN | {"version": 1, "id": 1, "scores": {}, "run": None, "lineage": [], "facts": {"rank": 8}}
        return {"a": other, "b": SHOWN, "differences": {"scores": {}, "facts": {}, "size_bytes": 0}}

    def promote(self, model: str, *, force: bool) -> dict[str, Any]:
        self.asked.append(("promote", model, force))
        if not force and model != "query_adapter/2":
            raise GateRefused(f"{model} did not pass the gate: no gain", hint="promote it with --force")
        role = "index" if model.startswith("coarse") else "encoder" if model.startswith("enc") else "query-adapter"
        return {"role": role, "model": model, "stage": self.stage}

    def rollback(self, role: str) -> dict[str, Any]:
        self.asked.append(("rollback", role))
        if role == "generator":
            raise NotFound("there is no earlier generator to roll back to", hint="`ragd models list`")
        return {"role": role, "model": "configured", "stage": "serving"}

    def prune(self, keep: int) -> dict[str, Any]:
        self.asked.append(("prune", keep))
        return {"pruned": self.pruned, "freed_bytes": 3_000_000 if self.pruned else 0}


@pytest.fixture
def side(backend: Any) -> LearningSide:
    backend.learning = LearningSide()
    found: LearningSide = backend.learning
    return found


def test_models_are_listed_with_their_figures_and_what_serves(ragd: Any, side: LearningSide) -> None:
    result = ragd("models", "list")
    assert result.exit_code == 0
    header, first, second, third, *serving = result.stdout.splitlines()
    assert header.split() == ["MODEL", "ROLE", "STATUS", "MADE", "SIZE", "CHAMPION", "CHALLENGER", "GAIN", "P"]
    assert first.split() == [
        *("query_adapter/2", "query-adapter", "champion", "2", "h", "ago", "576", "KiB"),
        *("0.2080", "0.2640", "+0.0560", "0.00012"),
    ]
    assert second.split()[:3] == ["encoder_lora/1", "encoder", "retired"]
    assert third.split()[-4:] == ["-", "-", "-", "-"]
    assert serving == [
        "encoder: what is configured serves since 2 h ago",
        "query-adapter: query_adapter/2 serves since 2 h ago; `ragd models rollback query-adapter` undoes it",
    ]


@pytest.mark.parametrize(
    ("role", "says"), [("encoder", "its vectors are being made"), ("index", "the index is being fitted to it")]
)
def test_what_is_not_whole_yet_is_said_so(role: str, says: str, ragd: Any, side: LearningSide) -> None:
    side.champions = [CHAMPIONS[1] | {"role": role, "stage": "filling"}]
    assert f"{role}: query_adapter/2 serves since 2 h ago ({says})" in ragd("models", "list").stdout


def test_an_empty_registry_says_what_serves(ragd: Any, side: LearningSide) -> None:
    side.shelf = []
    result = ragd("models", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "no models yet: what is configured serves\n"
    assert json.loads(ragd("models", "list", "--json").stdout) == {"models": [], "champions": []}


def test_everything_is_told_in_json_as_it_came(ragd: Any, side: LearningSide) -> None:
    assert json.loads(ragd("models", "list", "--json").stdout) == side.models()
    assert json.loads(ragd("models", "show", "3", "--json").stdout) == SHOWN
    assert json.loads(ragd("models", "compare", "query_adapter/1", "3", "--json").stdout)["b"] == SHOWN
    promoted = {"role": "query-adapter", "model": "query_adapter/2", "stage": "serving"}
    assert json.loads(ragd("models", "promote", "query_adapter/2", "--json").stdout) == promoted
    rolled = {"role": "encoder", "model": "configured", "stage": "serving"}
    assert json.loads(ragd("models", "rollback", "encoder", "--json").stdout) == rolled
    pruned = {"pruned": ["query_adapter/1", "encoder_lora/1"], "freed_bytes": 3_000_000}
    assert json.loads(ragd("models", "prune", "--json").stdout) == pruned


def test_one_model_is_shown_with_where_it_comes_from_and_its_report(ragd: Any, side: LearningSide) -> None:
    result = ragd("models", "show", "query_adapter/2")
    assert result.exit_code == 0
    told = dict(line.split(maxsplit=1) for line in result.stdout.splitlines()[:10])
    assert told["model"] == "query_adapter/2 (id 3)"
    assert told["status"] == "champion"
    assert told["made"] == "2 h ago, by run 20261124-1300-query_adapter"
    assert told["gate"] == GATE["sentence"]
    assert told["from"] == "encoder_lora/1 < what is configured"
    assert told["data"] == "12,000 examples, 0123456789ab"
    assert told["cost"] == "3.2 s of CPU, 0.0 s of GPU, at most 180 MiB"
    assert told["trainable_weights"] == "147,456"
    assert "\n# query_adapter: passed\n" in result.stdout
    assert "\x1b" not in result.stdout
    assert side.asked == [("model", "query_adapter/2")]


@pytest.mark.parametrize("name", ["nothing", "a b/ö?x=1#y", "query_adapter/9", "100%", "../runs"])
def test_what_is_not_there_is_named_whatever_was_typed(name: str, ragd: Any, side: LearningSide) -> None:
    result = ragd("models", "show", name)
    assert result.exit_code == NotFound.exit_code, result.stderr
    assert "Traceback" not in result.stderr
    if not name.startswith(".."):
        assert f"there is no model {name}" in result.stderr
        assert side.asked == [("model", name)]


def test_two_models_are_compared_side_by_side(ragd: Any, side: LearningSide) -> None:
    result = ragd("models", "compare", "query_adapter/1", "query_adapter/2")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["query_adapter/1", "query_adapter/2"]
    rows = {line.split()[0]: line for line in lines[1:]}
    assert rows["rank"].split() == ["rank", "8", "-"]
    assert rows["trainable_weights"].split() == ["trainable_weights", "-", "147,456"]
    assert rows["gate"].split()[1] == "-"
    assert all(columns(line) <= 100 for line in lines)
    assert side.asked == [("compare", "query_adapter/1", "query_adapter/2")]
    refused = ragd("models", "compare", "query_adapter", "encoder_lora")
    assert refused.exit_code == BadRequest.exit_code
    assert "do not have the same role" in refused.stderr


def test_what_passed_is_promoted(ragd: Any, side: LearningSide) -> None:
    assert ragd("models", "promote", "query_adapter/2").stdout == "query_adapter/2 serves as query-adapter\n"
    assert side.asked == [("promote", "query_adapter/2", False)]


def test_what_was_refused_is_promoted_by_force_only(ragd: Any, side: LearningSide) -> None:
    refused = ragd("models", "promote", "query_adapter/1")
    assert refused.exit_code == 16
    assert "query_adapter/1 did not pass the gate: no gain" in refused.stderr
    assert "hint: promote it with --force" in refused.stderr
    assert ragd("models", "promote", "query_adapter/1", "--force").exit_code == 0
    assert side.asked[-1] == ("promote", "query_adapter/1", True)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("encoder_lora/1", "its vectors are being made, what is there is searched until then"),
        ("coarse_quantizer/1", "the index is being fitted to it, what is there is searched until then"),
    ],
)
def test_a_promotion_that_takes_a_while_says_what_is_missing(
    model: str, says: str, ragd: Any, side: LearningSide
) -> None:
    side.stage = "filling"
    assert ragd("models", "promote", model, "--force").stdout.endswith(f"; {says}\n")


def test_a_promotion_that_must_wait_says_so(ragd: Any, side: LearningSide, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_busy(*_: Any, **__: Any) -> None:
        raise Busy("another encoder's space is being filled", hint="wait for it, or roll back first")

    monkeypatch.setattr(side, "promote", is_busy)
    result = ragd("models", "promote", "encoder_lora")
    assert result.exit_code == Busy.exit_code
    assert "hint: wait for it, or roll back first" in result.stderr


def test_the_last_promotion_of_a_role_is_undone(ragd: Any, side: LearningSide) -> None:
    assert ragd("models", "rollback", "query-adapter").stdout == "configured serves as query-adapter\n"
    assert side.asked == [("rollback", "query-adapter")]
    assert ragd("models", "rollback", "generator").exit_code == NotFound.exit_code


def test_a_role_that_is_none_is_refused_before_anything_is_asked(ragd: Any, side: LearningSide) -> None:
    result = ragd("models", "rollback", "cook")
    assert result.exit_code == 2
    assert side.asked == []


def test_files_are_removed_and_what_that_freed_is_told(ragd: Any, side: LearningSide) -> None:
    assert ragd("models", "prune").stdout == "removed query_adapter/1, encoder_lora/1: 2.9 MiB\n"
    side.pruned = []
    assert ragd("models", "prune", "--keep", "0").stdout == "nothing to remove\n"
    assert side.asked == [("prune", 3), ("prune", 0)]
    assert ragd("models", "prune", "--keep", "-1").exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("show", "3"), ("compare", "1", "2"), ("promote", "3"), ("rollback", "encoder"), ("prune",)],
    ids=lambda arguments: arguments[0],
)
def test_without_a_daemon_each_says_how_to_start_one(arguments: tuple[str, ...], ragd: Any, state: Path) -> None:
    result = ragd("models", *arguments)
    assert result.exit_code == DaemonUnreachable.exit_code
    assert "hint: start one with `ragd run FOLDER`" in result.stderr


def context(state: Path) -> Any:
    """A command line as a shell's completion sees it."""
    made = typer.Context(typer.main.get_command(build()))
    made.params = {"state": state}
    return made


def test_a_shell_completes_models(side: LearningSide, state: Path) -> None:
    assert model_names(context(state), "query") == ["query_adapter/2", "query_adapter/1"]
    assert model_names(context(state), "") == ["query_adapter/2", "encoder_lora/1", "query_adapter/1"]
    assert model_names(context(state), "x") == []


def test_without_a_daemon_nothing_is_completed(state: Path) -> None:
    assert model_names(context(state), "") == []
