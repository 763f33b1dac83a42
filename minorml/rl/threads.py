"""Threads: how many there are, and how work is shared out among them.

Tasks run in threads of our own, and BLAS uses one thread in each. Sums therefore keep their order for any number of
cores.
"""

import contextvars
import ctypes
import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from threadpoolctl import ThreadpoolController

FEWEST_ROWS = 1000  # For fewer no second thread is used: to wake it takes as long as the work.


@functools.cache
def num_threads():
    """The number of cores that this process may use, or OMP_NUM_THREADS (the first number of a list such as 2,1)."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return max(1, int(given)) if given.isdecimal() else available_cores()


def available_cores():
    """The cores that this process may run on, and a container's share of them, rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, -(-int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or "max"
        pass
    return max(1, cores)


@functools.cache
def _threads():
    return ThreadPoolExecutor(max(1, num_threads() - 1))


if hasattr(os, "register_at_fork"):  # a fork copies no thread but the one that called it
    os.register_at_fork(after_in_child=_threads.cache_clear)


def in_threads(function, items):
    """[function(item)], the items shared out among this and other threads; NumPy's error state is the caller's."""
    if len(items) < 2 or num_threads() < 2:
        return [function(item) for item in items]
    waiting, results = list(enumerate(items)), {}

    def work():
        while True:
            try:
                n, item = waiting.pop()
            except IndexError:  # none is left
                return
            results[n] = function(item)

    calls = [_threads().submit(contextvars.copy_context().run, work) for _ in range(min(len(items), num_threads()) - 1)]
    try:
        work()
    finally:
        waiting.clear()  # after an error nobody begins another
        wait(calls)
    for call in calls:
        call.result()
    return [results[n] for n in range(len(items))]


_blas = functools.cache(ThreadpoolController)


class _OneBlasThread:
    """A context in which BLAS has one thread. The setting is global; the last context to end restores it."""

    def __init__(self):
        self.lock, self.inside, self.limit = threading.Lock(), 0, None

    def __enter__(self):
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.limit = _blas().limit(limits=1)

    def __exit__(self, kind, error, trace):
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.limit.restore_original_limits()


one_blas_thread = _OneBlasThread()


@functools.cache
def keep_freed_memory():
    """Have the C library keep freed memory. Page faults would otherwise take a tenth of a meta-gradient's time."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
        mallopt(parameter, 2**30)
