"""Small plugins around training, with their tests: a trainer, a policy, a tracker, a launcher; NAME is their name."""

TRAINER = '''
"""Turns queries towards the chunks that answer them: a linear query adapter, in numpy."""

import numpy as np

from ragd.hooks.api import Artifact, Data, Needs, Role, Run, hookimpl, save_transform


class Trainer:
    name, role, needs, cost_s = "NAME", Role.QUERY_ADAPTER, Needs(Data.PAIRS, least=50), 1.0

    def train(self, run: Run) -> Artifact:
        used, right = np.unique(run.data.rows([pair.positives[0] for pair in run.data.pairs]), return_inverse=True)
        chunks, asked = run.data.vectors[used].astype(np.float32), run.encode_queries([p.query for p in run.data.pairs])
        step, weight = 0, np.zeros((chunks.shape[1], chunks.shape[1]), np.float32)
        while step < 50 and not run.is_stopping:
            turned = asked + asked @ weight.T
            turned /= np.linalg.norm(turned, axis=1, keepdims=True)
            chances = np.exp(20 * turned @ chunks.T)
            chances /= chances.sum(axis=1, keepdims=True)
            weight += 5 * (chunks[right] - chances @ chunks).T @ asked / len(asked)
            step += 1
            run.progress(step, 50, loss=-np.log(chances[range(len(right)), right]).mean())
        return save_transform(run.folder / "adapter", "residual", weight=weight)


@hookimpl
def ragd_trainers():
    return [Trainer()]
'''
TRAINER_TEST = '''
"""The trainer keeps every promise that ragd asks of one, and learns."""

from pathlib import Path

from ragd.testing import check_trainer, fake_run, load_plugin, reciprocal_rank

(TRAINER,) = load_plugin(Path(__file__).with_name("NAME.py")).trainers()


def test_it_keeps_the_contract(tmp_path):
    check_trainer(TRAINER, tmp_path)


def test_it_finds_what_it_was_not_trained_on(tmp_path):
    run = fake_run(tmp_path / "run")
    artifact = TRAINER.train(run)
    assert reciprocal_rank(run, artifact.folder) > reciprocal_rank(run) + 0.2
'''
POLICY = '''
"""Fires when many chunks changed and people find the answers bad."""

from ragd.hooks.api import Observed, Reason, hookimpl


class Policy:
    name = "NAME"

    def decide(self, observed: Observed) -> Reason:
        share = observed.bad_share or 0.0
        holds = observed.changed_chunks >= 500 and share >= 0.2
        text = f"{observed.changed_chunks} chunks changed (500 wanted), {share:.0%} of answers bad (20 % wanted)"
        return Reason(self.name, holds, text)


@hookimpl
def ragd_trigger_policies():
    return [Policy()]
'''
POLICY_TEST = '''
"""The policy keeps every promise that ragd asks of one, and fires when it should."""

from pathlib import Path

from ragd.hooks.api import Observed
from ragd.testing import check_policy, load_plugin

(POLICY,) = load_plugin(Path(__file__).with_name("NAME.py")).policies()


def test_it_keeps_the_contract():
    check_policy(POLICY)


def test_it_fires_when_much_changed_and_answers_are_bad():
    assert POLICY.decide(Observed(at=0, live_chunks=900, changed_chunks=600, examples=0, bad_share=0.3)).holds
    assert not POLICY.decide(Observed(at=0, live_chunks=900, changed_chunks=600, examples=0)).holds
'''
TRACKER = '''
"""Keeps the metrics of every run as one JSON line a step."""

import json

from ragd.hooks.api import hookimpl


class Tracker:
    name = "NAME"

    def started(self, run_id, facts):
        self.logged(run_id, 0, {})

    def logged(self, run_id, step, metrics):
        with open("NAME.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"run": run_id, "step": step, **metrics}) + "\\n")

    def ended(self, run_id, state, facts):
        self.logged(run_id, -1, {})


@hookimpl
def ragd_trackers():
    return [Tracker()]
'''
TRACKER_TEST = '''
"""The tracker keeps every promise that ragd asks of one, and what it is told."""

from pathlib import Path

from ragd.testing import check_tracker, load_plugin

(TRACKER,) = load_plugin(Path(__file__).with_name("NAME.py")).trackers()


def test_it_keeps_the_contract_and_every_step(tmp_path):
    check_tracker(TRACKER, tmp_path)
    assert len((tmp_path / "NAME.jsonl").read_text().splitlines()) == 10
'''
LAUNCHER = '''
"""Starts runs on this machine, standing back for everything else."""

import subprocess

from ragd.hooks.api import Cost, LaunchFailed, hookimpl


class Launched:
    def __init__(self, process):
        self._process = process

    def poll(self):
        return self._process.poll()

    def stop(self):
        if self.poll() is None:
            self._process.terminate()
            self._process.wait()

    def cost(self):
        return Cost()


class Launcher:
    name = "NAME"

    def launch(self, command, folder, resources):
        try:
            return Launched(subprocess.Popen(["nice", "-n", "19", *command], cwd=folder, start_new_session=True))
        except OSError as error:
            raise LaunchFailed(f"the run could not be started: {error}", hint="is `nice` installed?") from error


@hookimpl
def ragd_launchers():
    return [Launcher()]
'''
LAUNCHER_TEST = '''
"""The launcher keeps every promise that ragd asks of one."""

from pathlib import Path

from ragd.testing import check_launcher, load_plugin

(LAUNCHER,) = load_plugin(Path(__file__).with_name("NAME.py")).launchers()


def test_it_keeps_the_contract(tmp_path):
    check_launcher(LAUNCHER, tmp_path)
'''
