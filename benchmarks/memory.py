"""Whether memory stays flat over 200 iterations with MuJoCo in the loop."""

import dataclasses
from pathlib import Path

import numpy as np

from benchmarks.timing import printed_by
from minorml.experiments.train import iterate
from minorml.experiments.trained import initial_state
from minorml.parallel.workers import WorkerPool
from minorml.rl.presets import preset
from minorml.rl.problem import make_problem

ITERATIONS = 200


def resident(field="VmRSS"):
    """Resident memory of this process in MiB (Linux), now or, as VmHWM, at its peak."""
    fields = Path("/proc/self/status").read_text().split()
    return int(fields[fields.index(f"{field}:") + 1]) / 1024


def grow():
    """Print resident memory after each of the iterations, MiB."""
    config = dataclasses.replace(preset("cheetah-small/norml"), horizon=20, iterations=ITERATIONS)
    problem = make_problem(config, 1)
    state, samples = initial_state(problem), []
    problem.envs.close()
    with WorkerPool(config) as team:
        for _ in range(ITERATIONS):
            state, _ = iterate(problem, team, state)
            samples.append(resident())
    print("MIB", *samples)


def main(page):
    code = "from benchmarks import memory\nmemory.grow()"  # in a process of its own, whose memory nobody else has used
    samples = list(map(float, printed_by(code).split("MIB")[1].split()))
    slope = np.polyfit(np.arange(ITERATIONS // 2), samples[ITERATIONS // 2:], 1)[0]
    table = page.table(f"Memory over {ITERATIONS} iterations of the half cheetah", "Resident memory, MiB.",
                       ["after 10", "after 100", "after 200", "growth in the second half, KiB per iteration"])
    table.row(f"{samples[9]:.1f}", f"{samples[99]:.1f}", f"{samples[-1]:.1f}", f"{1024 * slope:+.2f}")
