"""Whoever does the work, the numbers are the same to the last bit; and who fails is named."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context

import pytest
from gymnasium.vector import SyncVectorEnv
from test_foreign import Slope
from test_train import flat, small
from threadpoolctl import threadpool_info, threadpool_limits

import minorml
from minorml.experiments.train import iterate
from minorml.experiments.trained import initial_state
from minorml.parallel.share import Share
from minorml.parallel.workers import WorkerPool
from minorml.rl.presets import preset
from minorml.rl.problem import make_problem
from minorml.rl.streams import draw_tasks
from minorml.rl.threads import in_threads, one_blas_thread
from minorml.runs.machine import versions

CHEETAH = dataclasses.replace(preset("cheetah-small/norml"), num_trajectories=2, horizon=8, hidden=(4,),
                              laf_hidden=(4,), iterations=2)
CONFIGS = {
    "point": small(num_tasks=5),
    "rewards": small("point/maml", num_tasks=5),
    "two steps, early ends": small("cartpole/norml", num_tasks=5, adapt_steps=2, horizon=40, outer_steps=2),
    "nothing to adapt": small("point/dr", num_tasks=5),
    "cheetah": CHEETAH,
}


def outcome(config, **who):
    """Everything that training gives, the clock aside."""
    trained = minorml.train(config, progress=False, **who)
    return flat(trained.meta).tobytes(), [{**row, "seconds": 0} for row in trained.metrics]


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def test_the_same_bytes_for_threads_and_processes(config):
    alone = outcome(config)
    with ThreadPoolExecutor(3) as threads:
        assert outcome(config, executor=threads) == alone
        assert outcome(config, executor=threads, workers=1) == alone
    assert outcome(config, workers=2) == alone


@pytest.mark.parametrize("threads", [1, 3])
def test_the_same_bytes_for_any_number_of_threads_in_a_worker(config, threads, monkeypatch):
    alone = outcome(config)
    monkeypatch.setattr("minorml.parallel.adaptation.FEWEST_ROWS", 1)
    monkeypatch.setattr("minorml.parallel.adaptation.MOST_ROWS", 1)  # a group for each task
    monkeypatch.setattr("minorml.rl.threads.num_threads", lambda: threads)
    with ThreadPoolExecutor(threads) as executor:
        monkeypatch.setattr("minorml.rl.threads._threads", lambda: executor)
        assert outcome(config) == alone


def test_blas_has_its_threads_again_when_all_have_left():
    """Whoever leaves first: with each entering and leaving for itself, the first would take the others' limit away."""
    def threads():
        return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}

    with threadpool_limits(2):
        first, second = ExitStack(), ExitStack()
        first.enter_context(one_blas_thread)
        second.enter_context(one_blas_thread)
        first.close()
        assert threads() == {1}
        second.close()
        assert threads() == {2}


def test_an_error_in_any_thread_is_raised_when_all_have_stopped(monkeypatch):
    monkeypatch.setattr("minorml.rl.threads.num_threads", lambda: 2)
    for wrong in range(4):
        with pytest.raises(ZeroDivisionError):
            in_threads(lambda x: 1 / x, [x != wrong for x in range(4)])
    assert in_threads(lambda x: 1 / x, [1, 2, 4]) == [1, 0.5, 0.25]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_worker_forked_from_a_process_with_threads_gets_threads_of_its_own(monkeypatch):
    """It would wait for ever for those of its parent, which a fork does not copy."""
    monkeypatch.setattr("minorml.rl.threads.num_threads", lambda: 2)
    assert in_threads(abs, [1, -2, -3]) == [1, 2, 3]
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        assert pool.submit(in_threads, abs, [1, -2]).result(timeout=60) == [1, 2]


@pytest.mark.parametrize("workers", [1, 4, 9])
def test_the_same_bytes_for_any_number_of_processes(workers):
    config = CONFIGS["two steps, early ends"]
    assert outcome(config, workers=workers) == outcome(config)


def test_the_same_bytes_on_a_pool_that_gives_a_share_to_whoever_is_free():
    """There a process may be asked for gradients of what another has sampled: it samples again."""
    config = CONFIGS["two steps, early ends"]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        assert outcome(config, executor=pool, workers=5) == outcome(config)


def test_a_share_that_takes_over_gives_the_same_gradients():
    config = CONFIGS["two steps, early ends"]
    problem = make_problem(config, 1)
    meta = initial_state(problem).meta
    one, other = Share(config, [1, 2]), Share(config, [2])
    one.sample(meta, 7)
    (_, expected), (given,) = one.gradients(meta, meta, 7, 0.5, 2.0), other.gradients(meta, meta, 7, 0.5, 2.0)
    assert given.loss == expected.loss and flat(given.gradient).tobytes() == flat(expected.gradient).tobytes()
    for each in (problem.envs, one, other):
        each.close()


def test_a_task_does_not_depend_on_its_neighbours():
    """… which is what makes shares possible."""
    config = CONFIGS["two steps, early ends"]
    problem = make_problem(config, 1)
    meta = initial_state(problem).meta
    together, alone = Share(config, range(5)), Share(config, [3])
    assert together.sample(meta, 2)[3] == alone.sample(meta, 2)[0]
    assert draw_tasks(config, 2) == draw_tasks(config, 2) != draw_tasks(config, 3)
    for each in (problem.envs, together, alone):
        each.close()


class Breaks(Slope):
    """Somebody's environment, which fails for a negative tilt."""

    def step(self, action):
        if self.tilt < 0:
            raise RuntimeError("the belt came off")
        return super().step(action)


def make_breaks(n):
    return SyncVectorEnv([Breaks] * n)


@pytest.mark.parametrize("workers", [None, 2])
def test_a_worker_that_raises_is_named_by_its_tasks(tmp_path, workers):
    config = minorml.Config(env="breaks", vary=("tilt=choice:-1,1",), method="norml", horizon=3, num_tasks=4,
                            num_trajectories=2, hidden=(4,), laf_hidden=(4,), iterations=2)
    with pytest.raises(minorml.WorkerError, match=r"^RuntimeError: the belt came off, in step 0, task \d \(tilt=-1\)"):
        minorml.train(config, tmp_path / "run", make_envs=make_breaks, workers=workers, progress=False)
    assert not (tmp_path / "run").exists()  # nothing was learned, and the mended call will find nothing in its way


def test_a_dead_worker_is_named_by_its_tasks_and_nobody_is_left_behind():
    config = CONFIGS["point"]
    problem = make_problem(config, 1)
    with pytest.raises(minorml.WorkerError, match=r"^tasks 3 to 4: a worker failed: BrokenProcessPool"):
        with WorkerPool(config, workers=2) as team:
            state, _ = iterate(problem, team, initial_state(problem))
            os.kill(team._processes[1], signal.SIGKILL)
            iterate(problem, team, state)
    for process in team._processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
    problem.envs.close()


@pytest.mark.parametrize("who, message", [
    (dict(workers=0), "workers: expected 1 or more; given 0"),
    (dict(workers=2, scheduler="tcp://127.0.0.1:1"), "scheduler: expected neither workers nor an executor beside it"),
])
def test_who_cannot_work(tmp_path, who, message):
    with pytest.raises(ValueError, match=message):
        minorml.train(CONFIGS["point"], tmp_path / "run", progress=False, **who)
    assert not (tmp_path / "run").exists()


def test_a_dask_cluster_that_loses_a_worker_in_the_middle():
    distributed = pytest.importorskip("distributed", reason="optional extra `cluster`")
    config = dataclasses.replace(CONFIGS["two steps, early ends"], iterations=8)
    alone = outcome(config)
    with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster:
        assert outcome(config, scheduler=cluster.scheduler_address) == alone
        problem = make_problem(config, 1)
        state, rows = initial_state(problem), []
        with WorkerPool(config, scheduler=cluster.scheduler_address) as team:
            victim = team._client.submit(os.getpid, workers=[sorted(team._client.scheduler_info()["workers"])[0]])
            for k in range(config.iterations):
                if k == 3:
                    os.kill(victim.result(), signal.SIGKILL)
                state, row = iterate(problem, team, state)
                rows.append({**row, "seconds": 0})
        problem.envs.close()
    assert (flat(state.meta).tobytes(), rows) == alone


def test_workers_with_other_versions_are_told_and_noted(tmp_path, capsys, monkeypatch):
    here = versions()
    other = {**here, "packages": {**here["packages"], "numba": "0.1"}}
    monkeypatch.setattr(WorkerPool, "on_each_worker", lambda pool, function: [here, other, other])
    minorml.train(CONFIGS["point"], out=tmp_path / "run")
    told = [line for line in capsys.readouterr().err.splitlines() if "a worker is not as this process is" in line]
    assert len(told) == 1 and "numbers depend on who does the work: numba 0.1 (here " in told[0]
    assert json.loads((tmp_path / "run" / "versions.json").read_text())["workers"] == [other]


def test_whoever_does_a_share_can_be_asked():
    config = CONFIGS["point"]
    with ThreadPoolExecutor(2) as threads, WorkerPool(config, executor=threads) as pool:
        assert pool.on_each_worker(os.getpid) == [os.getpid()] * 2
    with WorkerPool(config) as pool:
        assert pool.on_each_worker(os.getpid) == []


def dies(*_):
    os._exit(9)


def test_a_worker_that_dies_while_it_starts(tmp_path, monkeypatch):
    monkeypatch.setattr("minorml.parallel.workers.begin_worker", dies)
    with pytest.raises(minorml.WorkerError, match="a worker died while it started; in a script"):
        minorml.train(CONFIGS["point"], tmp_path / "run", workers=2, progress=False)
    assert not (tmp_path / "run").exists()


IN_PROCESSES = """
import sys
from gymnasium.vector import AsyncVectorEnv
import gymnasium, minorml

def make_one():
    return gymnasium.make("minorml_envs:minorml/PointRotation-v0")

def make_envs(n):
    return AsyncVectorEnv([make_one] * n)

if __name__ == "__main__":
    config = minorml.Config(env="points", vary=("rotation=uniform:-1,1",), method="norml", horizon=10, num_tasks=2,
                            num_trajectories=2, iterations=10**6)
    try:
        minorml.train(config, make_envs=make_envs, workers=eval(sys.argv[1]), out="run", overwrite=True)
    except minorml.Stopped as stopped:
        print(stopped)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="environments are not forked here")
@pytest.mark.parametrize("workers", [None, 2])
def test_environments_in_processes_of_their_own_leave_signals_to_the_one_that_trains(workers, tmp_path):
    """Control-C reaches all processes of a terminal: one of them answers, and all end."""
    (tmp_path / "points.py").write_text(IN_PROCESSES)
    command = [sys.executable, "points.py", str(workers)]
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as training:  # as `start`
        try:
            metrics = tmp_path / "run" / "metrics.csv"
            begun = time.monotonic()
            while not metrics.exists() or metrics.read_text().count("\n") < 3:
                assert time.monotonic() < begun + 120 and training.poll() is None
                time.sleep(0.1)
            os.killpg(training.pid, signal.SIGINT)
            printed, said = training.communicate(timeout=60)
        finally:
            try:
                os.killpg(training.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    assert training.returncode == 0 and printed.strip() == "SIGINT"
    assert said.count("stopping after this iteration") == 1 and "Traceback" not in said
