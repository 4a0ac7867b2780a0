"""Another encoder goes live under load: what a user of the search notices, and what a kill at every stage leaves.

    python -m bench.swap --collection ../shared/data/drcd-dev [--documents N] [--kills N]

An `encoder_lora` run on a collection's own questions (of its first N documents) is promoted, by force where the gate
refuses, while searches by meaning come at a constant pace. Measured: searches that failed; how far the answers of the
first second after the map went live agree with those of the final generation (recall of its first ten hits; the map
stands in while the new space fills); whether documents written during the fill are found by meaning, in both spaces;
how long a rollback takes until answers are the old ones again; and, with the daemon killed at every stage of a
promotion, whether one consistent champion is left each time, with a clean verification. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.daemon import Running, running
from bench.learning import Laid, Load, await_run, lay_out, load_of, split_queries, write_pairs
from bench.quality import Collection, load
from ragd.cli.client import Client
from ragd.domain.errors import RagdError

LOAD_PER_S = 20.0
STANDING = 40
EDITS = 6
POINTS = tuple(
    f"{what}.{where}"
    for what in ("promote", "swap", "rollback")
    for where in ("before_pointer", "in_transaction", "after_pointer", "after_route")
)
CONFIGURATION = """\
[[collections]]
name = "bench"
folders = ["documents"]

[learn]
pairs = ["pairs.jsonl"]

[trainers.query_adapter]
enabled = false

[trainers.encoder_lora]
enabled = false

[trainers.encoder_lora.options]
steps = 24
batch_size = 16
"""


def main() -> int:
    """Runs the benchmark; 0 when nothing failed and every kill left one consistent champion."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, required=True, help="folder in BEIR's layout")
    parser.add_argument("--kills", type=int, default=len(POINTS), metavar="N", help="how many of the points to die at")
    parser.add_argument("--documents", type=int, default=400, metavar="N", help="how many of the documents to take")
    given = parser.parse_args()
    collection = first(load(given.collection), given.documents)
    told, unseen = split_queries(collection, 0.7)
    with tempfile.TemporaryDirectory(prefix="ragd-swap-") as scratch:
        place = Path(scratch)
        laid = lay_out(collection, place / "documents")
        write_pairs(collection, laid, told, place / "pairs.jsonl")
        (place / "ragd.toml").write_text(CONFIGURATION, encoding="utf-8")
        environment = {"RAGD_CONFIG": str(place / "ragd.toml")}
        report: dict[str, Any] = {"collection": given.collection.name}
        with running([], place / "state", environment=environment) as daemon:
            daemon.wait_indexed(len(laid.ids))
            report |= promoted(daemon, place, collection, laid, unseen)
            report["spend_before_kills"] = accounts(daemon.client)
        print(json.dumps(report), flush=True)
        report |= killed(place, environment, POINTS[: given.kills], report["model"])
    print(json.dumps(report))
    good = not report["failed_queries"] and report["kills_inconsistent"] == 0 and report["edits_found"] == EDITS
    return 0 if good else 1


def first(collection: Collection, documents: int) -> Collection:
    """The collection's first documents with the questions that only they answer."""
    taken = collection.documents[:documents]
    names = {document for document, _, _ in taken}
    judgements = {query: judged for query, judged in collection.judgements.items() if names.issuperset(judged)}
    return Collection(taken, collection.queries, judgements)


def promoted(daemon: Running, place: Path, collection: Collection, laid: Laid, unseen: Sequence[str]) -> dict[str, Any]:
    """Trains, promotes, edits meanwhile, waits for the swap, rolls back: all under load."""
    client, socket = daemon.client, place / "state" / "ragd.sock"
    texts = [collection.queries[query] for query in unseen[:STANDING]]
    with load_of(socket, texts, LOAD_PER_S) as searches:
        run = await_run(client, str(client.learn("POST", "train", trainer="encoder_lora")["run"]), 5400.0)
        print(json.dumps(run, indent=1, default=str)[:3000], flush=True)
        if run["state"] != "done":
            raise RagdError(f"the run ended as {run['state']}: {run['reason']}")
        is_forced = run["verdict"] != "passed"
        asked_at = time.time()
        if is_forced:
            client.learn("POST", "models/promote", model=run["model"], force=True)
        while not stage(client):  # what passed is opened first, and goes live a moment later
            time.sleep(0.01)
        mapped_at = time.time()
        edits_found = edited(client, laid)
        fill_s = until_serving(client, mapped_at)
        edits_found_after = found_by_meaning(client)
        final = {text: answer(client, text) for text in texts}
        begun = time.perf_counter()
        client.learn("POST", "models/rollback", role="encoder")
        answer(client, texts[0])
        rollback_s = time.perf_counter() - begun
    return {
        "model": run["model"],
        "gate": run["verdict"],
        "gate_says": run["reason"],
        "forced": is_forced,
        "train_s": round(client.learn("GET", f"models/{run['model']}")["facts"]["train_s"], 1),
        "promotion_s": round(mapped_at - asked_at, 3),
        "fill_s": round(fill_s, 1),
        "recall_from_first_second": first_second(searches, mapped_at, final),
        "map": client.learn("GET", f"models/{run['model']}")["scores"]["facts"]["map"],
        "recall_before": agreement([a for a in searches.answers if a[0] < asked_at][-STANDING:], final),
        "edits": EDITS,
        "edits_found": min(edits_found, edits_found_after),
        "rollback_s": round(rollback_s, 4),
        "searches": len(searches.at) + len(searches.failed),
        "search_ms_p50": round(statistics.median(searches.took_s) * 1000, 1),
        "search_ms_p99": round(statistics.quantiles(searches.took_s, n=100)[98] * 1000, 1),
        "failed_queries": len(searches.failed),
        "failures": searches.failed[:3],
    }


def first_second(searches: Load, mapped_at: float, final: dict[str, tuple[int, ...]]) -> float | None:
    """Mean recall of the final first ten, over the searches of the first second after the map went live."""
    return agreement([each for each in searches.answers if mapped_at <= each[0] <= mapped_at + 1.0], final)


def agreement(answers: Sequence[tuple[float, str, tuple[int, ...]]], final: dict[str, tuple[int, ...]]) -> float | None:
    """The mean share of the final hits that these answers held; None without answers."""
    shares = [len(set(hits) & set(final[text])) / max(1, len(final[text])) for _, text, hits in answers]
    return round(statistics.fmean(shares), 4) if shares else None


def edited(client: Client, laid: Laid) -> int:
    """Writes documents while the new space fills; how many are found by meaning once they are searchable."""
    for number in range(EDITS):
        path = laid.folder / f"during-{number}.md"
        path.write_text(f"# Visitor {number}\n\nThe {word(number)} gardener prunes {word(number)} roses.\n")
    client.search(q="gardener", mode="words", after="latest", timeout_s=120.0)
    return found_by_meaning(client)


def word(number: int) -> str:
    """A word that tells the documents of this benchmark apart."""
    return ("crimson", "violet", "amber", "ivory", "scarlet", "golden")[number % EDITS]


def found_by_meaning(client: Client) -> int:
    """How many of the documents written during the fill are among the first hits by meaning."""
    found = 0
    for number in range(EDITS):
        hits = client.search(q=f"who prunes {word(number)} roses", mode="dense", limit=5)["hits"]
        found += any(hit["path"] == f"during-{number}.md" for hit in hits)
    return found


def until_serving(client: Client, since: float, timeout_s: float = 3600.0) -> float:
    """Waits until the new space serves whole; seconds since the map went live."""
    while stage(client) != "serving":
        if time.time() - since > timeout_s:
            raise TimeoutError("the new generation did not fill")
        time.sleep(0.05)
    return time.time() - since


def stage(client: Client) -> str:
    """`filling`, `serving`, or nothing while the configured encoder serves, as it does again after a rollback."""
    champions = client.learn("GET", "models")["champions"]
    return next((str(each["stage"]) for each in champions if each["role"] == "encoder" and each["model"]), "")


def answer(client: Client, text: str) -> tuple[int, ...]:
    """The first ten hits by meaning."""
    return tuple(hit["chunk_id"] for hit in client.search(q=text, mode="dense", limit=10)["hits"])


def accounts(client: Client) -> dict[str, float]:
    """CPU seconds of training and evaluation by the charges, and by the runs' own figures."""
    account = client.learn("GET", "spend")["totals"]["runs"]
    return {name: account[name]["cpu_s"] for name in ("charged", "runs")}


def killed(place: Path, environment: dict[str, str], points: Sequence[str], model: str) -> dict[str, Any]:
    """Promotes or rolls back once for each point, at which the daemon ends as by kill -9, and looks at what is left."""
    inconsistent, back_s = [], []
    for point in points:
        with running([], place / "state", environment=environment) as daemon:
            if stage(daemon.client) and not point.startswith("rollback"):
                with_rollback(daemon.client)
            elif not stage(daemon.client) and point.startswith("rollback"):
                daemon.client.learn("POST", "models/promote", model=model, force=True, timeout_s=120.0)
                until_serving(daemon.client, time.time())
        with running([], place / "state", environment={**environment, "RAGD_TEST_KILL_AT": point}) as daemon:
            ask_and_die(daemon, model, is_rollback=point.startswith("rollback"))
        begun = time.perf_counter()
        with running([], place / "state", environment=environment) as daemon:
            back_s.append(time.perf_counter() - begun)
            problem = inconsistency(daemon, model)
            if problem:
                inconsistent.append(f"{point}: {problem}")
    return {
        "kills": len(points),
        "kills_inconsistent": len(inconsistent),
        "inconsistencies": inconsistent[:3],
        "back_s_median": round(statistics.median(back_s), 2) if back_s else None,
    }


def ask_and_die(daemon: Running, model: str, *, is_rollback: bool) -> None:
    """Asks for what ends the daemon at the point that it was started with, and sees that it ended so."""
    try:
        if is_rollback:
            daemon.client.learn("POST", "models/rollback", role="encoder")
        else:
            daemon.client.learn("POST", "models/promote", model=model, force=True, timeout_s=120.0)
    except RagdError:
        pass  # it died while it answered
    status = daemon.process.wait(300)
    if status != -signal.SIGKILL:
        raise RagdError(f"the daemon ended with {status} instead of being killed")


def inconsistency(daemon: Running, model: str) -> str:
    """What is wrong with what a kill left; empty when one champion serves, hits are found and the index is proven."""
    champions = [each for each in daemon.client.learn("GET", "models")["champions"] if each["role"] == "encoder"]
    names = [f"{each['name']}/{each['version']}" if each["model"] is not None else "" for each in champions]
    serving = daemon.client.status()["model"]
    if len(champions) > 1 or (names and names[0] not in ("", model)):
        return f"champions {champions}"
    if serving["name"] != (names[0] if names and names[0] else "configured"):
        return f"{serving['name']} serves, {names or 'nobody'} is the champion"
    if len(answer(daemon.client, "boundary layer")) != 10:
        return "a search found too little"
    verified = daemon.client.verify()
    return "" if verified["clean"] else f"not clean: {verified}"


def with_rollback(client: Client) -> None:
    """Back to the configured encoder, for the next round."""
    client.learn("POST", "models/rollback", role="encoder")


if __name__ == "__main__":
    sys.exit(main())
