"""Many runs side by side, each in a process of its own: one that fails or dies leaves the others alone.

A sweep is a folder with a run's directory for each preset and seed: OUT/point-norml-0, …  Stopped or killed at any
moment it goes on where it was: runs that are finished stay as they are, others are resumed.
"""

import multiprocessing
import os
import signal
from multiprocessing.connection import wait
from pathlib import Path
from typing import NamedTuple

from ..parallel.signals import Stopped, first_signal_waits
from ..parallel.workers import begin_worker
from ..rl.config import Config
from ..rl.threads import available_cores
from ..runs.directory import Run
from ..runs.progress import Progress
from .train import train


class Job(NamedTuple):
    """One run of a sweep."""

    config: Config
    path: Path


class Running(NamedTuple):
    job: Job
    process: multiprocessing.Process
    error: multiprocessing.connection.Connection  # gives the error's text, if there is one


def sweep(jobs, workers=1, progress=True):
    """Do the jobs, `workers` at a time.

    Returns
    -------
    {path: None, or the error that ended the run}

    Raises
    ------
    RunError : a job's directory cannot be used; nothing has been started
    Stopped : SIGINT or SIGTERM came; every run has finished its iteration and saved
    """
    for job in jobs:
        Run.require_usable(job.path, job.config)
    waiting = [job for job in jobs if not is_finished(job)]
    outcome = {job.path: None for job in jobs}
    running = []
    with (first_signal_waits() as stop_if_asked,
          Progress(sum(job.config.iterations for job in jobs), _iterations(jobs), "sweep", progress) as shown):
        try:
            while waiting or running:
                stop_if_asked()
                while waiting and len(running) < workers:
                    running.append(_start(waiting.pop(0), max(1, available_cores() // workers)))
                ended = wait([one.process.sentinel for one in running], timeout=1)
                for one in [one for one in running if one.process.sentinel in ended]:
                    running.remove(one)
                    outcome[one.job.path] = _result(one)
                shown.update(_iterations(jobs), running=len(running))
        except Stopped as stopped:
            _stop(running, stopped.at_once)
            raise
    return outcome


def _stop(running, at_once):
    """End the runs: each after its iteration, or, at a second signal, at once."""
    try:
        for one in running:
            one.process.kill() if at_once else one.process.terminate()
        for one in running:
            one.process.join()
    except Stopped:
        _stop(running, at_once=True)


def is_finished(job):
    """Whether the last of the job's iterations is saved."""
    return (job.path / "checkpoints" / f"iteration-{job.config.iterations:06d}.npz").exists()


def _iterations(jobs):
    """How many iterations all jobs together have finished."""
    return sum(max(0, _lines(job.path / "metrics.csv") - 1) for job in jobs)


def _lines(path):
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def _start(job, threads):
    receive, send = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_run, args=[job, send, threads])
    process.start()
    send.close()
    return Running(job, process, receive)


def _run(job, send, threads):
    """In the process of one run. Signals are left to the sweep, whose SIGTERM lets the iteration be finished."""
    os.setpgrp()  # a signal to the sweep's whole group would be the first of two
    begin_worker(threads, ignore=[signal.SIGINT])
    try:
        train(job.config, job.path, resume=(job.path / "config.json").exists(), progress=False)
    except Stopped:
        pass
    except Exception as error:
        send.send(str(error) or type(error).__name__)


def _result(one):
    """None, or what went wrong."""
    one.process.join()
    if one.error.poll():
        try:
            return one.error.recv()
        except EOFError:
            pass
    code = one.process.exitcode
    if code == 0:
        return None if is_finished(one.job) else "stopped before its last iteration"
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
