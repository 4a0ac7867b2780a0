"""Sites that train together: the mean is weighted, what is not signed, not alike or not sane is refused and named."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from plugins._federation import Card, Update, new_key, publish, shares
from plugins.federated_average import FederatedEncoder, FederatedQueryAdapter, ragd_commands
from plugins.query_adapter import QueryAdapter
from ragd.domain.errors import TrainingFailed
from ragd.domain.learning import Artifact, Role
from ragd.testing.contracts import check_trainer
from ragd.testing.runs import FakeRun, fake_run
from ragd.testing.served import open_artifact, reciprocal_rank
from ragd.testing.tiny import tiny_model

pytestmark = pytest.mark.slow

TRAINING: dict[str, Any] = {"epochs": 4, "batch_size": 16, "temperatures": "0.05", "learning_rate": 0.005}
LORA: dict[str, Any] = {"steps": 3, "rank": 4, "batch_size": 8}


@dataclass(frozen=True)
class Federation:
    """A folder that three sites share, their keys, and the public ones that everybody trusts."""

    folder: Path

    @property
    def exchange(self) -> Path:
        return self.folder / "exchange"

    @property
    def trusted(self) -> Path:
        return self.folder / "trusted"

    def run(self, site: str, **settings: Any) -> FakeRun:
        return fake_run(self.folder / f"run-{site}", settings={**self.options(site), **TRAINING, **settings})

    def options(self, site: str) -> dict[str, Any]:
        return {"exchange": str(self.exchange), "trusted": str(self.trusted), "site": site}

    def key(self, site: str) -> Path:
        return self.folder / f"{site}.key"

    def publish(self, artifact: Artifact, site: str) -> Path:
        return publish(artifact.folder / "federation", self.exchange, site, self.key(site))


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    found = Federation(tmp_path)
    found.exchange.mkdir()
    found.trusted.mkdir()
    for site in ("north", "south", "west"):
        new_key(found.key(site), found.trusted / f"{site}.pub")
    return found


def weight_of(artifact: Artifact) -> Any:
    return load_file(artifact.folder / "transform.safetensors")["weight"]


def test_a_site_alone_gets_what_it_trained_itself(federation: Federation, tmp_path: Path) -> None:
    alone = FederatedQueryAdapter().train(federation.run("north"))
    plain = QueryAdapter().train(fake_run(tmp_path / "plain", settings=TRAINING))
    assert np.allclose(weight_of(alone), weight_of(plain), atol=1e-6)
    assert alone.facts["sites"] == 1


def test_the_mean_is_weighted_by_examples_and_serves(federation: Federation) -> None:
    north = FederatedQueryAdapter().train(federation.run("north"))
    federation.publish(north, "north")
    told = json.loads((north.folder / "federation" / "update.json").read_text())
    # South has the opposite change, and a third of the examples.
    tensors = load_file(north.folder / "federation" / "update.safetensors")
    tensors["weight"] = -tensors["weight"]
    forge(federation, "south", tensors, examples=told["examples"] // 3)
    run = federation.run("west", epochs=1, learning_rate=1e-9)
    west = FederatedQueryAdapter().train(run)
    assert west.facts["site_names"] == "west, north, south"
    parts = np.array([told["examples"], told["examples"], told["examples"] // 3])
    expected = (parts[1] - parts[2]) / parts.sum() * weight_of(north)
    assert np.allclose(weight_of(west), expected, atol=1e-5)
    open_artifact(west, Role.QUERY_ADAPTER, run)


def test_a_site_with_few_labels_gains_from_the_others(federation: Federation) -> None:
    for site in ("north", "south"):
        federation.publish(FederatedQueryAdapter().train(federation.run(site, learning_rate=0.004)), site)
    run = federation.run("west", epochs=1, learning_rate=1e-9)  # learns nothing by itself
    artifact = FederatedQueryAdapter().train(run)
    assert artifact.facts["sites"] == 3
    assert reciprocal_rank(run, artifact.folder) > reciprocal_rank(run) + 0.03


def test_no_text_leaves_a_site(federation: Federation) -> None:
    run = federation.run("north")
    federation.publish(FederatedQueryAdapter().train(run), "north")
    sent = b"".join(path.read_bytes() for path in federation.exchange.iterdir())
    texts = [chunk.text for chunk in run.data.chunks] + [pair.query for pair in run.data.pairs]
    words = {word for text in texts for word in text.split() if len(word) > 4}
    assert len(words) > 50
    assert not [word for word in words if word.encode() in sent]
    card = json.loads((federation.exchange / "north-query-adapter-1.json").read_text())
    assert card.keys() == {"site", "role", "round", "examples", "sha256", "signature"}


def forge(federation: Federation, site: str, tensors: dict[str, Any], examples: int = 100, key: str = "") -> Path:
    """A signed update of any tensors."""
    folder = federation.folder / f"forged-{site}"
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "update.safetensors")
    (folder / "update.json").write_text(json.dumps({"role": "query-adapter", "round": 1, "examples": examples}))
    return publish(folder, federation.exchange, site, federation.key(key or site))


def published(federation: Federation) -> tuple[Path, dict[str, Any]]:
    """North's genuine update: its card's path and its tensors."""
    artifact = FederatedQueryAdapter().train(federation.run("north"))
    return federation.publish(artifact, "north"), load_file(artifact.folder / "federation" / "update.safetensors")


def refusal(federation: Federation) -> str:
    artifact = FederatedQueryAdapter().train(federation.run("west"))
    assert "north" not in str(artifact.facts["site_names"])
    return str(artifact.facts["refused"])


def test_an_update_without_signature_is_refused(federation: Federation) -> None:
    path, _ = published(federation)
    card = json.loads(path.read_text())
    del card["signature"]
    path.write_text(json.dumps(card))
    assert "north-query-adapter-1.json: it is not signed" in refusal(federation)


@pytest.mark.parametrize("field", ["examples", "round", "sha256"])
def test_a_card_that_was_changed_after_signing_is_refused(field: str, federation: Federation) -> None:
    path, _ = published(federation)
    card = json.loads(path.read_text())
    card[field] = "0" * 64 if field == "sha256" else card[field] + 1
    path.write_text(json.dumps(card))
    assert "its signature is not that of north" in refusal(federation)


def test_tensors_that_were_changed_after_signing_are_refused(federation: Federation) -> None:
    path, tensors = published(federation)
    save_file({**tensors, "weight": 2 * tensors["weight"]}, path.with_suffix(".safetensors"))
    assert "its tensors are not those that were signed" in refusal(federation)


def test_a_signature_of_another_site_is_refused(federation: Federation) -> None:
    _, tensors = published(federation)
    forge(federation, "north", tensors, key="south")
    assert "its signature is not that of north" in refusal(federation)


def test_a_site_that_nobody_trusts_is_refused(federation: Federation) -> None:
    published(federation)
    (federation.trusted / "north.pub").unlink()
    assert "the site north is not trusted" in refusal(federation)


def test_another_embedding_space_is_refused(federation: Federation) -> None:
    _, tensors = published(federation)
    forge(federation, "north", {**tensors, "probe": np.roll(tensors["probe"], 1, axis=1).copy()})
    assert "another embedding space: cosine" in refusal(federation)


def test_other_weights_are_refused(federation: Federation) -> None:
    _, tensors = published(federation)
    forge(federation, "north", {**tensors, "more": tensors["weight"]})
    assert "north: it changes other weights than here" in refusal(federation)


def test_what_is_no_number_and_what_is_far_too_large_is_refused(federation: Federation) -> None:
    _, tensors = published(federation)
    forge(federation, "south", {**tensors, "weight": np.full_like(tensors["weight"], np.nan)})
    forge(federation, "north", {**tensors, "weight": 50 * tensors["weight"]})
    new_key(federation.key("east"), federation.trusted / "east.pub")
    forge(federation, "east", tensors)
    told = refusal(federation)
    assert "south: holds values that are no numbers" in told
    assert "north: " in told
    assert "times as large a change as the median" in told


def test_a_round_takes_its_own_updates_and_none_the_newest(federation: Federation) -> None:
    published(federation)
    second = FederatedQueryAdapter().train(federation.run("north", round=2))
    federation.publish(second, "north")
    newest = FederatedQueryAdapter().train(federation.run("west"))
    assert newest.facts["round"] == 3
    first = FederatedQueryAdapter().train(federation.run("south", round=1))
    assert first.facts["sites"] == 2
    assert FederatedQueryAdapter().train(federation.run("south", round=9)).facts["sites"] == 1


def test_too_few_sites_are_counted_and_refusals_named(federation: Federation) -> None:
    published(federation)
    (federation.trusted / "north.pub").unlink()
    with pytest.raises(TrainingFailed, match=r"1 sites can be averaged, 2 are wanted; refused: .*not trusted"):
        FederatedQueryAdapter().train(federation.run("west", least_sites=2))


def test_options_that_are_missing_are_named(tmp_path: Path, federation: Federation) -> None:
    with pytest.raises(TrainingFailed, match="exchange is not set"):
        FederatedQueryAdapter().train(fake_run(tmp_path / "run"))
    with pytest.raises(TrainingFailed, match="does not exist"):
        FederatedQueryAdapter().train(federation.run("west", exchange="/nowhere"))
    with pytest.raises(TrainingFailed, match="unknown option colour"):
        FederatedQueryAdapter().train(federation.run("west", colour="red"))


def test_a_site_that_says_it_has_everything_counts_at_most_ten_medians() -> None:
    updates = [Update(Card("a", "encoder", 1, examples, ""), {}) for examples in (100, 100, 9_999_999)]
    assert shares(updates) == pytest.approx([1 / 12, 1 / 12, 10 / 12])


def test_keys_are_kept_to_their_user_and_never_overwritten(federation: Federation) -> None:
    assert federation.key("north").stat().st_mode & 0o777 == 0o600
    with pytest.raises(TrainingFailed, match="exists already"):
        ragd_commands()["federate-key"](federation.key("north"), federation.folder / "x.pub")


def test_what_is_no_update_cannot_be_published(federation: Federation, capsys: pytest.CaptureFixture[str]) -> None:
    command = ragd_commands()["federate-publish"]
    with pytest.raises(TrainingFailed, match="cannot publish"):
        command(federation.folder, federation.exchange, "north", federation.key("north"))
    with pytest.raises(TrainingFailed, match="cannot be a site's name"):
        command(federation.folder, federation.exchange, "../north", federation.key("north"))
    artifact = FederatedQueryAdapter().train(federation.run("north"))
    command(artifact.folder, federation.exchange, "north", federation.key("north"))
    assert "north-query-adapter-1.json" in capsys.readouterr().out


def test_it_does_what_every_trainer_must(federation: Federation) -> None:
    check_trainer(
        FederatedQueryAdapter(), federation.folder / "contract", settings={**federation.options("west"), **TRAINING}
    )


def test_encoders_are_averaged_by_what_their_low_rank_parts_do(federation: Federation, tmp_path: Path) -> None:
    base = tiny_model(tmp_path / "base")

    def run(site: str, **settings: Any) -> FakeRun:
        options = {**federation.options(site), **LORA, **settings}
        return fake_run(tmp_path / f"encoder-{site}", role=Role.ENCODER, settings=options, subjects=6, model=base)

    north = FederatedEncoder().train(run("north"))
    federation.publish(north, "north")
    own = run("west", rank=2)
    west = FederatedEncoder().train(own)
    assert west.facts["site_names"] == "west, north"
    before, alone, mean = (load_file(folder / "model.safetensors") for folder in (base, north.folder, west.folder))
    theirs = load_file(west.folder / "federation" / "update.safetensors")
    name = "encoder.layer.0.attention.self.query"
    expected = (
        (alone[f"{name}.weight"] - before[f"{name}.weight"]) + theirs[f"{name}.up"] @ theirs[f"{name}.down"]
    ) / 2
    assert np.abs(expected).max() > 1e-5
    assert np.allclose(mean[f"{name}.weight"] - before[f"{name}.weight"], expected, atol=1e-6)
    open_artifact(west, Role.ENCODER, own)


def test_the_trainer_of_encoders_does_what_every_trainer_must(federation: Federation) -> None:
    settings = {**federation.options("west"), **LORA}
    check_trainer(FederatedEncoder(), federation.folder / "contract", settings=settings)
    with pytest.raises(TrainingFailed, match="option dora"):
        FederatedEncoder().train(
            fake_run(federation.folder / "dora", role=Role.ENCODER, settings={**settings, "dora": True})
        )
