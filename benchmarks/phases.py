"""Where the time of one outer iteration goes, phase by phase."""

import dataclasses
import time
from collections import defaultdict
from contextlib import contextmanager

import numpy as np

from minorml.experiments import train
from minorml.experiments.train import iterate
from minorml.experiments.trained import initial_state
from minorml.parallel import adaptation, share
from minorml.parallel.workers import WorkerPool
from minorml.rl import problem
from minorml.rl.presets import preset

WARM_UP = 3


@contextmanager
def stopwatch(spent):
    """Time the pieces that an iteration calls, one after the other; `spent[phase]` adds up seconds."""
    pieces = {(problem, "rollout"): "roll out", (share, "estimate_advantages"): "advantages",
              (adaptation, "estimate_advantages"): "advantages", (adaptation, "normalise"): "advantages",
              (adaptation, "adapt"): "adapt", (adaptation, "outer_loss"): "outer gradient", (train, "_update"): "Adam"}
    in_turn = [(module, "in_threads") for module in (adaptation, share)]
    originals = {(module, name): getattr(module, name) for module, name in [*pieces, *in_turn]}

    def timed(function, phase):
        def call(*args):
            start = time.perf_counter()
            result = function(*args)
            spent[phase] += time.perf_counter() - start
            if phase == "adapt":
                theta_i, pullback = result
                return theta_i, timed(pullback, "pull back")
            return result
        return call

    for module, _ in in_turn:
        module.in_threads = lambda function, items: [function(item) for item in items]
    for (module, name), phase in pieces.items():
        setattr(module, name, timed(originals[module, name], phase))
    try:
        yield
    finally:
        for (module, name), function in originals.items():
            setattr(module, name, function)


def split(name, iterations):
    """Median seconds per iteration of each phase, and of the whole."""
    config = dataclasses.replace(preset(name), iterations=iterations + WARM_UP)
    point = problem.make_problem(config, 1)
    point.envs.close()
    state = initial_state(point)
    rows = []
    with WorkerPool(config) as team:
        for _ in range(config.iterations):
            spent = defaultdict(float)
            with stopwatch(spent):
                start = time.perf_counter()
                state, _ = iterate(point, team, state)
                spent["whole"] = time.perf_counter() - start
            rows.append(spent)
    return {phase: np.median([row[phase] for row in rows[WARM_UP:]]) for phase in rows[0]}


def main(page):
    columns = {"point/norml": 100, "point/maml": 100, "point-sparse/norml": 20, "point-sparse/maml": 20}
    splits = {name: split(name, page.turns(iterations)) for name, iterations in columns.items()}
    table = page.table("One outer iteration, by phase", "Medians over iterations, one thread, milliseconds.",
                       ["phase", *splits])
    phases = [phase for phase in next(iter(splits.values())) if phase != "whole"]
    for phase in [*phases, "the rest", "whole"]:
        cells = []
        for times in splits.values():
            value = times["whole"] - sum(times[p] for p in phases) if phase == "the rest" else times[phase]
            cells.append(f"{1e3 * value:.2f} ({value / times['whole']:.0%})")
        table.row(phase, *cells)
