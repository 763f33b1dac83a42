"""Stopping a sweep: its runs finish their iterations, or end at once."""

import os
import signal
import time

import pytest

SLOW = ["sweep", "--presets", "cheetah-small/norml", "--seeds", "0-1", "--workers", "2", "--set", "num_trajectories=30",
        "--set", "horizon=200"]  # some seconds an iteration


def rows(folder):
    return [(folder / f"cheetah-small-norml-{seed}/metrics.csv").read_bytes().count(b"\n") - 1 for seed in (0, 1)]


def under_way(folder):
    return all((folder / f"cheetah-small-norml-{seed}/checkpoints/iteration-000000.npz").exists() for seed in (0, 1))


@pytest.mark.parametrize("again, at_once", [(0, False), (1, True)], ids=["once", "twice"])
def test_signals_to_a_sweep(start, tmp_path, again, at_once):
    """SIGTERM, to the whole group: the first is not taken for two by the runs; the second waits for nothing."""
    program = start([*SLOW, "--out", tmp_path])
    program.until(lambda: under_way(tmp_path))
    time.sleep(0.5)
    for _ in range(1 + again):
        os.killpg(program.pid, signal.SIGTERM)
        time.sleep(0.2)
    assert program.wait() == 143
    assert "stopped by SIGTERM; the same command goes on" in program.said()
    assert program.said().count("stopping after this iteration") == 1
    assert rows(tmp_path) == [0, 0] if at_once else min(rows(tmp_path)) >= 1
