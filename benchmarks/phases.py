"""Where the time of one outer iteration goes, phase by phase."""

import dataclasses
import sys
import time
from collections import defaultdict
from contextlib import contextmanager

import numpy as np

from minorml import learner, work
from minorml.presets import preset
from minorml.team import Team
from minorml.train import initial_state, iterate

train_module = sys.modules["minorml.train"]  # `minorml.train` is the function
WARM_UP = 3


@contextmanager
def stopwatch(spent):
    """Time the pieces that an iteration calls, one after the other; `spent[phase]` adds up seconds."""
    pieces = {(learner, "rollout"): "roll out", (work, "estimate_advantages"): "advantages",
              (work, "normalise"): "advantages", (work, "adapt"): "adapt",
              (work, "outer_loss"): "outer gradient", (train_module, "_update"): "Adam"}
    originals = {(module, name): getattr(module, name) for module, name in [*pieces, (work, "in_threads")]}

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

    work.in_threads = lambda function, items: [function(item) for item in items]
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
    point = learner.make_learner(config, 1)
    point.envs.close()
    state = initial_state(point)
    rows = []
    with Team(config) as team:
        for _ in range(config.iterations):
            spent = defaultdict(float)
            with stopwatch(spent):
                start = time.perf_counter()
                state, _ = iterate(point, team, state)
                spent["whole"] = time.perf_counter() - start
            rows.append(spent)
    return {phase: np.median([row[phase] for row in rows[WARM_UP:]]) for phase in rows[0]}


def main():
    print("### One outer iteration, by phase\n")
    print("Medians over iterations, one thread, milliseconds.\n")
    columns = {"point/norml": 100, "point/maml": 100, "point-sparse/norml": 20, "point-sparse/maml": 20}
    splits = {name: split(name, iterations) for name, iterations in columns.items()}
    print("| phase | " + " | ".join(splits) + " |\n|---|" + "---|" * len(splits))
    phases = [phase for phase in next(iter(splits.values())) if phase != "whole"]
    for phase in [*phases, "the rest", "whole"]:
        cells = []
        for times in splits.values():
            value = times["whole"] - sum(times[p] for p in phases) if phase == "the rest" else times[phase]
            cells.append(f"{1e3 * value:.2f} ({value / times['whole']:.0%})")
        print(f"| {phase} | " + " | ".join(cells) + " |")
    print()
