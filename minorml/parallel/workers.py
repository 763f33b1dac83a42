"""The workers: each does a share of the meta-batch.

    None                    this process does everything, as one share
    workers=N               N processes of our own
    executor=E              any concurrent.futures.Executor
    scheduler=ADDRESS       the workers of a Dask cluster

A worker keeps its share's environments from call to call, and its transitions from `sample` to `gradients`. Parameters
travel to the workers, and gradients back. A share goes to the same worker each time, if the executor allows that. A
pool of several workers does not: a worker without a task's transitions samples them again, to identical numbers, in
extra time. Results are added in the order of the tasks, so they do not depend on which worker was first.
"""

import multiprocessing
import os
import signal
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, TimeoutError
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from typing import NamedTuple

import numpy as np

from ..rl.config import Config
from ..rl.foreign import EnvironmentFailed
from ..rl.threads import available_cores, one_blas_thread
from .share import Share

PATIENCE = 2.0  # s: what a process of ours has to close its environments in, before it is killed


class WorkerError(RuntimeError):
    """A worker failed or died; the message names its tasks."""


class Assignment(NamedTuple):
    """What a worker needs to make its share."""

    pool: str  # a name that no other pool has
    config: Config
    indices: tuple[int, ...]
    make_envs: Callable | None


class WorkerPool:
    """Workers and their shares. A context manager, which dismisses the workers at its end.

    Parameters
    ----------
    config : Config
    make_envs : as for `make_problem`; it travels to the workers
    workers : how many processes of our own; with `executor`, in how many shares to cut the meta-batch
    executor : a concurrent.futures.Executor, which stays its owner's
    scheduler : the address of a Dask scheduler, for example tcp://host:8786
    """

    def __init__(self, config, make_envs=None, workers=None, executor=None, scheduler=None):
        if scheduler is not None and (workers, executor) != (None, None):
            raise ValueError("scheduler: expected neither workers nor an executor beside it")
        if workers is not None and workers < 1:
            raise ValueError(f"workers: expected 1 or more; given {workers}")
        self._processes = []  # our own, by number
        self._client = None
        if scheduler is not None:
            executors = self._join(scheduler)[:config.num_tasks]
        elif executor is not None:
            executors = [executor] * min(workers or getattr(executor, "_max_workers", config.num_tasks),
                                         config.num_tasks)
        elif workers is not None:
            _require_sendable(make_envs)
            executors = self._hire(min(workers, config.num_tasks))
        else:
            executors = [_Here()]
        name = uuid.uuid4().hex
        shares = np.array_split(np.arange(config.num_tasks), len(executors))
        self._shares = [(one, Assignment(name, config, tuple(share.tolist()), make_envs))
                        for one, share in zip(executors, shares)]

    def sample(self, meta, iteration):
        """`Share.sample` of every share → M `TaskSummary`, in the order of the tasks."""
        return self._ask("sample", meta, iteration)

    def gradients(self, meta, start, iteration, mean, std):
        """`Share.gradients` of every share → M `TaskGradient`, in the order of the tasks."""
        return self._ask("gradients", meta, start, iteration, mean, std)

    def batches(self, tasks, start, iteration, mean, std):
        """`Share.batches` of every share: (D_i^pre, D_i^post) of each of these tasks, in order."""
        return self._ask("batches", tasks, start, iteration, mean, std)

    def on_each_worker(self, function):
        """What a function gives on whoever does each share; workers of our own are as we are."""
        if self._processes or isinstance(self._shares[0][0], _Here):
            return []
        return [self._wait(future) for future in [executor.submit(function) for executor, _ in self._shares]]

    def _ask(self, method, *arguments):
        futures = []
        try:
            for executor, assignment in self._shares:
                with _named(assignment):
                    futures.append(executor.submit(_work, assignment, method, arguments))
            results = []
            for (_, assignment), future in zip(self._shares, futures):
                with _named(assignment):
                    results += self._wait(future)
            return results
        finally:
            for future in futures:
                future.cancel()

    def _wait(self, future):
        """The future's result. If a Dask cluster has lost all its workers: ConnectionError, not an endless wait."""
        while self._client is not None:
            try:
                return future.result(timeout=10)
            except TimeoutError:
                if future.done():
                    break
                if not self._client.scheduler_info(n_workers=-1)["workers"]:
                    raise ConnectionError("the cluster has no workers left") from None
        return future.result()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        farewells = []
        for executor, assignment in self._shares:
            try:
                farewells.append(executor.submit(_dismiss, assignment))
            except Exception:  # a worker that is gone has nothing to clear away
                pass
        wait_for(farewells, timeout=PATIENCE if self._processes else None)
        for process in self._processes:
            _kill(process)
        if self._processes:
            for executor, _ in self._shares:
                executor.shutdown()
        if self._client is not None:
            self._client.close()

    def _hire(self, n):
        """n processes, each an executor of its own, so that a share can always be asked of the same one."""
        spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        threads = max(1, available_cores() // n)
        executors = [ProcessPoolExecutor(1, spawn, begin_worker, [threads]) for _ in range(n)]
        try:
            self._processes = [one.result() for one in [executor.submit(os.getpid) for executor in executors]]
        except BrokenExecutor as error:
            for executor in executors:
                executor.shutdown()
            raise WorkerError("a worker died while it started; in a script, `train(workers=…)` must stand under "
                              "`if __name__ == '__main__':`") from error
        return executors

    def _join(self, address):
        """An executor for each worker of a Dask cluster; should it die, its calls run on another."""
        try:
            from distributed import Client
        except ImportError as error:
            raise ImportError("scheduler: Dask is missing; pip install 'minorml[cluster]'") from error
        try:
            self._client = Client(address, timeout=20)
        except (OSError, ValueError) as error:
            raise ValueError(f"scheduler: no Dask scheduler answers at {address!r} ({error})") from error
        workers = sorted(self._client.scheduler_info(n_workers=-1)["workers"])
        if not workers:
            self._client.close()
            raise ValueError(f"scheduler: the Dask cluster at {address} has no workers")
        return [self._client.get_executor(workers=[worker], allow_other_workers=True, pure=False)
                for worker in workers]


def _require_sendable(make_envs):
    """Raise unless another process can be given `make_envs`: it is looked up there by its module and name."""
    try:
        ForkingPickler.dumps(make_envs)
    except Exception as error:
        raise ValueError(f"make_envs: {make_envs!r} cannot be sent to another process ({error}); define it in a "
                         "module, by `def`, or leave out workers") from error


class _Here(Executor):
    """An executor that calls the function at once, in this thread."""

    def submit(self, function, /, *arguments):
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


_shares: dict = {}  # what this process works on: (pool, indices) → Share


def _work(assignment, method, arguments):
    """In a worker: a method of a share, which is made when it is first asked for. One BLAS thread."""
    key = assignment.pool, assignment.indices
    if key not in _shares:
        _shares[key] = Share(assignment.config, assignment.indices, assignment.make_envs)
    with one_blas_thread:
        return getattr(_shares[key], method)(*arguments)


def _dismiss(assignment):
    """In a worker: the end of a pool's work."""
    for key in [key for key in _shares if key[0] == assignment.pool]:
        _shares.pop(key).close()


def begin_worker(threads=None, ignore=(signal.SIGINT, signal.SIGTERM)):
    """The first call in a process of our own: leave signals to the parent, and end when the parent ends.

    threads : how many threads the environments and the mathematics may use in this process
    """
    if threads is not None:
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    for signum in ignore:
        signal.signal(signum, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=[multiprocessing.parent_process().sentinel], daemon=True).start()


def _end_with(parent):
    wait([parent])
    os._exit(1)


def _kill(process):
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        pass


@contextmanager
def _named(assignment):
    """Turn what a worker raises, or its death, into an error that names its tasks."""
    try:
        yield
    except FloatingPointError:
        raise
    except Exception as error:
        first, last = assignment.indices[0], assignment.indices[-1]
        tasks = f"task {first}" if first == last else f"tasks {first} to {last}"
        if isinstance(error, EnvironmentFailed):  # which has said the environment, and the task if it is known
            raise WorkerError(f"{error}" if ", task " in str(error) else f"{tasks}: {error}") from error
        raise WorkerError(f"{tasks}: a worker failed: {type(error).__name__}: {error} "
                          f"(env {assignment.config.env})") from error
