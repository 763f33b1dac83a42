"""Where adaptation pays: systems side by side, on one scale, from their pages of results.

    score = (return − untrained) / (ceiling − untrained)                                       (adaptation_map.1)
    share = (return after adaptation − single) / (ceiling − single)                            (adaptation_map.2)

    untrained   the policy that domain randomization begins with
    single      domain randomization's policy, of its rows the best: one policy for all tasks at once
    ceiling     a policy trained on each task alone, the mean over these tasks

All returns but the first are those of sampled policies on held-out tasks. Where the single policy scores nearly 1, one
policy serves all tasks and there is nothing to adapt for. The share is how much of what is left adaptation gets.

    README.md      a table of the systems
    map.csv        the scores of every seed
    map.png        the figure
"""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..methods import METHODS
from ..rl.config import parse_setting
from ..rl.tasks import grid_tasks, parse
from ..runs.checkpoints import write_atomically
from .plots import pyplot, save
from .report import curve_file
from .statistics import interquartile_mean
from .tables import interval, number, table, write_csv

NO_ROOM = 0.05  # of the scale: less than that between the single policy and the ceiling tells nothing


class System(NamedTuple):
    """What a page of results has of a system. Returns are those of seeds, each the mean over held-out tasks."""

    name: str
    untrained: float
    ceiling: float
    single: np.ndarray  # (seeds,)
    adapted: dict  # method → (seeds,), after adaptation

    def scores(self, returns):
        """(adaptation_map.1)"""
        return (np.asarray(returns) - self.untrained) / (self.ceiling - self.untrained)

    @property
    def room(self):
        """How much there is between the single policy and the ceiling, of the scale."""
        return 1 - self.scores(interquartile_mean(self.single))

    def share(self, method):
        """(adaptation_map.2) of each seed, (seeds,); NaN where there is no room."""
        single = interquartile_mean(self.single)
        share = (self.adapted[method] - single) / (self.ceiling - single)
        return share if self.room >= NO_ROOM else np.full_like(share, np.nan)


def read(page):
    """The systems of a folder that `report` wrote.

    Raises
    ------
    ValueError : it has no such files, or not the runs that the scale is made of
    """
    page, found = Path(page), {}
    try:
        with open(page / "evaluation.csv", newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                system, _, run = row["run"].partition("/")
                seeds = found.setdefault(system, {}).setdefault(run, {})
                seeds.setdefault(int(row["seed"]), []).append(float(row["after_sampled"]))
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{page}: expected the folder of a page of results; {error!r}") from None
    return [_system(page, name, runs) for name, runs in found.items() if "dr" in runs]


def _system(page, name, runs):
    """One system from {METHOD or METHOD SETTING: {seed: [return on each task]}}."""
    returns = {run: np.array([np.mean(tasks) for tasks in seeds.values()]) for run, seeds in runs.items()}
    single = max((x for run, x in returns.items() if _is_single(run)), key=interquartile_mean)
    alone = [interquartile_mean(x) for run, x in returns.items() if _is_alone(run)]
    if not alone:
        raise ValueError(f"{page}: {name} has no run of {name}/dr on one task alone, which is the ceiling; "
                         "minorml sweep --set vary=NAME=choice:VALUE makes one")
    untrained = np.mean([_first_return(page / curve_file(f"{name}/dr", seed)) for seed in runs["dr"]])
    adapted = {method: returns[method] for method in METHODS if method in returns and METHODS[method].adapts}
    return System(name, float(untrained), float(np.mean(alone)), single, adapted)


def _is_single(run):
    """Whether this is domain randomization on all tasks, by whatever other settings."""
    method, *settings = run.split(" ")
    return method == "dr" and not any(one.startswith("vary=") for one in settings)


def _is_alone(run):
    """Whether this is domain randomization on a distribution of one task."""
    method, *settings = run.split(" ")
    if method != "dr" or len(settings) != 1 or not settings[0].startswith("vary="):
        return False
    return len(grid_tasks(list(map(parse, parse_setting(settings[0])[1])), 2)) == 1


def _first_return(path):
    with open(path, newline="", encoding="utf-8") as file:
        return float(next(csv.DictReader(file))["pre_return"])


def adaptation_map(pages, out):
    """Write the table, the figure and the scores of some pages of results into a folder → the table's path."""
    out, systems = Path(out), [system for page in pages for system in read(page)]
    if not systems:
        raise ValueError("map: no system in these pages has a run of domain randomization")
    systems.sort(key=lambda system: system.room)
    rows = [[one.name, method, k, f"{one.scores(x):.4f}"] for one in systems
            for method, returns in {"dr": one.single, **one.adapted}.items() for k, x in enumerate(returns)]
    write_csv(out / "map.csv", ["system", "method", "number", "score"], rows)
    methods = [method for method in METHODS if any(method in one.adapted for one in systems)]
    draw(systems, methods, out / "map.png")
    cells = [[one.name, number(one.untrained), interval(one.single),
              *(interval(one.adapted[m]) if m in one.adapted else "" for m in methods), number(one.ceiling),
              f"{number(100 * one.room, 0)} %", *(_percent(one.share(m)) if m in one.adapted else "" for m in methods)]
             for one in systems]
    header = ["system", "untrained", "best single policy", *methods, "ceiling", "room",
              *(f"share, {m}" for m in methods)]
    text = ["# Where adaptation pays", f"    minorml map {' '.join(map(str, pages))} --out {out}",
            "![Scores of each system](map.png)",
            "Returns after adaptation, sampled, on held-out tasks; the interquartile mean over seeds with its 95 % "
            "interval. The ceiling is a policy trained on each task alone. The room is what lies between the best "
            "single policy and the ceiling, of what lies between an untrained policy and the ceiling. The share is how "
            "much of that room a method gets; where the room is below "
            f"{100 * NO_ROOM:.0f} %, one policy serves all tasks and no share is given.",
            table(header, cells)]
    write_atomically(out / "README.md", ("\n\n".join(text) + "\n").encode())
    return out / "README.md"


def _percent(shares):
    return f"{number(100 * interquartile_mean(shares), 0)} %" if np.isfinite(shares).all() else "no room"


def draw(systems, methods, path):
    """A row for each system: its best single policy, each method's seeds, the ceiling at 1."""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.8 * len(systems)), layout="constrained")
    colors = dict(zip(methods, plt.rcParams["axes.prop_cycle"].by_key()["color"]))
    for y, one in enumerate(systems):
        single = 1 - one.room
        axes.barh(y, one.room, left=single, height=0.7, color="0.92", zorder=0)
        axes.plot([single, single], [y - 0.35, y + 0.35], color="black", lw=2,
                  label="best single policy" if y == 0 else None)
        for k, method in enumerate(methods):
            if method in one.adapted:
                scores = one.scores(one.adapted[method])
                height = y + 0.28 - 0.56 * (k + 0.5) / len(methods)
                axes.plot(scores, np.full(len(scores), height), "o", ms=3, alpha=0.5, color=colors[method])
                axes.plot(interquartile_mean(scores), height, "D", ms=6, color=colors[method], mec="white")
    for method in methods:
        axes.plot([], [], "D", color=colors[method], label=method)
    axes.axvline(1, color="black", lw=0.8)
    axes.set(yticks=range(len(systems)), yticklabels=[one.name for one in systems], ylim=(-0.6, len(systems) - 0.4),
             xlabel="0: untrained policy, 1: a policy trained on each task alone")
    axes.set_xlim(left=max(-0.2, min(-0.02, axes.get_xlim()[0])))
    axes.set_title("Where adaptation pays: the grey part is what a single policy leaves", fontsize="medium")
    figure.legend(loc="outside right upper", fontsize="small")
    return save(figure, path)
