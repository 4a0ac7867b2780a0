"""Does the daemon improve itself? A collection with questions: it fires, trains a query adapter, gates it, swaps it.

    python -m bench.adapter --collection ../shared/data/drcd-dev [--queries N]

The documents are dropped as files. Questions are divided by their documents: ragd is told some of them (in a file that
`learn.pairs` names), the others it never sees. The trigger is asked for volume alone. Everything else ragd does by
itself, beside a constant load of searches. Measured on the unseen questions: nDCG@10 by meaning with the adapter, and
after `models rollback` without it, with a paired randomisation test. `--queries N` tells ragd about N of the questions.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.daemon import Running, running
from bench.learning import Laid, await_firing, gains, lay_out, load_of, split_queries, write_pairs
from bench.quality import Collection, load
from ragd.learn.gate import randomisation_p

LOAD_PER_S = 5.0
CONFIGURATION = """\
[[collections]]
name = "bench"
folders = ["documents"]

[learn]
pairs = ["pairs.jsonl"]

[trainers.query_adapter]
changed_chunks = 500
warmup_chunks = 500
cooldown_s = 86400
"""


def main() -> int:
    """Runs the benchmark; 0 unless a promotion lowered what was held out, or a search failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, required=True, help="folder in BEIR's layout")
    parser.add_argument("--told", type=float, default=0.6, metavar="SHARE", help="share of documents to learn from")
    parser.add_argument("--queries", type=int, default=0, metavar="N", help="tell ragd about N of the questions only")
    parser.add_argument("--timeout", type=float, default=1800, metavar="S", help="seconds the run may take")
    given = parser.parse_args()
    collection = load(given.collection)
    told, unseen = split_queries(collection, given.told)
    told = told[: given.queries] if given.queries else told
    with tempfile.TemporaryDirectory(prefix="ragd-adapter-") as scratch:
        place = Path(scratch)
        laid = lay_out(collection, place / "documents")
        pairs = write_pairs(collection, laid, told, place / "pairs.jsonl")
        (place / "ragd.toml").write_text(CONFIGURATION, encoding="utf-8")
        environment = {"RAGD_CONFIG": str(place / "ragd.toml")}
        with running([], place / "state", environment=environment) as daemon:
            daemon.wait_indexed(len(laid.ids))
            report = measured(daemon, place / "state", collection, laid, unseen, given.timeout)
    report |= {"collection": given.collection.name, "told_queries": len(told), "told_pairs": pairs}
    print(json.dumps(report))
    return 1 if report["failed_queries"] or report["ndcg10_gain"] < 0 else 0


def measured(
    daemon: Running, state: Path, collection: Collection, laid: Laid, unseen: list[str], timeout_s: float
) -> dict[str, Any]:
    """What came of the daemon's own run, on questions that it never saw."""
    texts = [collection.queries[query] for query in unseen[:200]]
    with load_of(state / "ragd.sock", texts, LOAD_PER_S) as searches:
        run = await_firing(daemon.client, "query_adapter", timeout_s)
        time.sleep(2.0)
    print(json.dumps(run, indent=1, default=str), flush=True)
    made = daemon.client.learn("GET", f"models/{run['model']}")["facts"] if run["model"] else {}
    champions = daemon.client.learn("GET", "models")["champions"]
    is_promoted = any(each["role"] == "query-adapter" and each["model"] for each in champions)
    after = gains(daemon.client, collection, laid, unseen)
    before, rollback_s = after, 0.0
    if is_promoted:
        begun = time.perf_counter()
        daemon.client.learn("POST", "models/rollback", role="query-adapter")
        rollback_s = time.perf_counter() - begun
        before = gains(daemon.client, collection, laid, unseen)
    account = daemon.client.learn("GET", "spend")["totals"]["runs"]
    return {
        "fired_by": [r["text"] for r in run["reasons"] if r["holds"] and r["condition"] == "changed_chunks"],
        "train_s": round(made.get("train_s", 0.0), 2),
        "fit_s": round(made.get("fit_s", 0.0), 2),
        "run_cpu_s": round(run["cpu_s"], 1),
        "run_wall_s": round(run["ended_at"] - run["started_at"], 1),
        "gate": run["verdict"] or run["state"],
        "gate_says": run["reason"],
        "promoted": is_promoted,
        "unseen_queries": len(unseen),
        "ndcg10_before": round(statistics.fmean(before), 4),
        "ndcg10_after": round(statistics.fmean(after), 4),
        "ndcg10_gain": round(statistics.fmean(after) - statistics.fmean(before), 4),
        "p_value": randomisation_p(before, after, seed=0) if is_promoted else None,
        "rollback_s": round(rollback_s, 4),
        "searches_meanwhile": len(searches.at) + len(searches.failed),
        "failed_queries": len(searches.failed),
        "failures": searches.failed[:3],
        "spend_cpu_s": account["charged"]["cpu_s"],
        "runs_cpu_s": account["runs"]["cpu_s"],
    }


if __name__ == "__main__":
    sys.exit(main())
