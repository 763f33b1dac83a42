"""Workers: what two of them gain, what each kind costs, and what a thousand would ask of the one who coordinates."""

import dataclasses
import pickle
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np

from benchmarks.page import Ratio, Times
from benchmarks.systems import balancing, start
from benchmarks.timing import in_turn
from minorml.experiments.train import iterate
from minorml.parallel.workers import WorkerPool
from minorml.rl.presets import preset


def speed_up(table, name, problem, state, repetitions):
    """One row: an iteration by one process of ours, against two processes and against two threads, in turn."""
    with (WorkerPool(problem.config, workers=1) as one, WorkerPool(problem.config, workers=2) as processes,
          ThreadPoolExecutor(2) as pool, WorkerPool(problem.config, executor=pool) as threads):
        calls = [lambda team=team: iterate(problem, team, state) for team in (one, processes, threads)]
        thetas = [call()[0].meta.theta for call in calls]
        np.testing.assert_array_equal(thetas[1:], thetas[:1] * 2)  # the same numbers first
        alone, *shared = in_turn(*calls, repetitions=repetitions, warm_up=1)
    table.row(name, Times(alone), *(cell for times in shared for cell in (Times(times), Ratio(alone, times))))


def overhead(table, problem, state, repetitions):
    """An iteration of the point agent by everyone who could do it, against doing it here."""
    def executors(stack):
        yield "2 threads", dict(executor=stack.enter_context(ThreadPoolExecutor(2)), workers=2)
        yield "1 process", dict(workers=1)
        yield "2 processes", dict(workers=2)
        try:
            from distributed import LocalCluster
        except ImportError:
            return
        cluster = stack.enter_context(LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=50))
        yield "2 Dask workers", dict(scheduler=cluster.scheduler_address)

    with ExitStack() as stack, WorkerPool(problem.config) as here:
        for name, who in executors(stack):
            with WorkerPool(problem.config, **who) as team:
                a, b = in_turn(lambda: iterate(problem, here, state), lambda: iterate(problem, team, state),
                               repetitions=repetitions)
            table.row(name, Times(a), Times(b), f"{1e3 * np.median(b - a):+.1f}")


class Instant(Executor):
    """Answers at once what it has been given to answer; the messages are packed and unpacked as for a process."""

    def __init__(self):
        self.answers, self.bytes = {}, 0

    def submit(self, function, assignment, method, arguments):
        question = pickle.dumps((function, assignment, method, arguments))
        answer = self.answers[method]
        self.bytes += len(question) + len(answer)
        future = Future()
        future.set_result(pickle.loads(answer))
        return future


def coordinate(problem, state, workers):
    """Seconds and bytes per iteration that coordinating takes, if every worker (with one task) answered at once."""
    config = dataclasses.replace(problem.config, num_tasks=workers)
    instant = Instant()
    with WorkerPool(dataclasses.replace(config, num_tasks=1)) as one:
        sampled = one.sample(state.meta, 0)
        parts = one.gradients(state.meta, state.meta, 0, 0.0, 1.0)
    instant.answers = {"sample": pickle.dumps(sampled), "gradients": pickle.dumps(parts)}
    team = WorkerPool(config, executor=instant, workers=workers)
    begun = time.perf_counter()
    repetitions = max(3, 300 // workers)
    for _ in range(repetitions):
        iterate(problem._replace(config=config), team, state)
    return (time.perf_counter() - begun) / repetitions, instant.bytes / repetitions


def main(page):
    cartpole = balancing()
    cheetah = start(dataclasses.replace(preset("cheetah/norml"), num_trajectories=20, horizon=200))
    table = page.table("Two workers over one", "Milliseconds per outer iteration, in turn.",
                       ["system", "one process", "two processes", "speed-up", "two threads", "speed-up by them"])
    speed_up(table, "cart-pole, 500 steps", *cartpole, repetitions=page.turns(10))
    speed_up(table, "half cheetah, 20 trajectories of 200 steps", *cheetah, repetitions=page.turns(5))
    table = page.table("What each kind of worker costs on the point agent",
                       "Milliseconds per outer iteration, in turn.", ["who", "here", "they", "difference"])
    overhead(table, *start(preset("point/norml")), repetitions=page.turns(30))
    table = page.table("Coordinating many workers", "Cart-pole; one task for each worker, which answers at once; "
                       "messages packed and unpacked.",
                       ["workers", "MB per iteration", "coordinator, ms per iteration"])
    for workers in (1, 10, 100, 1000):
        seconds, size = coordinate(*cartpole, workers)
        table.row(workers, f"{size / 1e6:.2f}", f"{1e3 * seconds:.1f}")
