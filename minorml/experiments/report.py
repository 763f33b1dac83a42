"""A page of results from runs, and the numbers and figures on it.

    README.md                the tables and figures, under the commands that make the runs and the page again
    ENV-METHOD-SEED.csv      a run's learning curve
    evaluation.csv           the return of each run on each held-out task
    ENV-learning.png         all learning curves
    ENV-spread.csv           the point agent: how far a policy's rollouts differ from each other
    ENV-trajectories.png     … some of them, with the offset and without it
    ENV-advantage.png        … what A_ψ has learned
    ENV-advantage-angle.png  … and in the course of training
    ENV-pitch.png            the half cheetah: the pitch of its body
"""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..rl.foreign import EnvironmentFailed
from ..rl.tasks import grid_tasks
from ..runs.checkpoints import write_atomically
from ..runs.directory import Run, RunError
from ..runs.machine import commit
from ..runs.progress import Progress
from . import gait, plots, published, sections
from .finetune import evaluate
from .reproduction import commands, made_with
from .statistics import last_returns, probability_of_improvement
from .tables import cell, duration, interval, number, numbers, table, with_interval, write_csv
from .trained import Trained, load

CURVE = {"iteration": "d", "env_steps": "d", "seconds": ".2f", "pre_return": ".5g", "post_return": ".5g"}
STAGES = [f"{stage}_{how}" for how in ("sampled", "deterministic") for stage in ("before", "offset", "after")]


class Outcome(NamedTuple):
    """What became of a run."""

    run: Run
    label: str  # of its group, which differs in nothing but the seed
    metrics: list
    problem: str  # why it has not all its iterations, or could not be evaluated; or empty
    trained: Trained | None
    held_out: list  # for each held-out task (task, {one of STAGES: mean return}); empty if it could not be evaluated

    @property
    def scores(self):
        """One number of each kind: {name: return}, NaN where there is none."""
        _, before, after = last_returns(self.metrics)
        means = {name: np.mean([stages.get(name, np.nan) for _, stages in self.held_out] or [np.nan])
                 for name in STAGES}
        return {"before": before, "after": after, **means}


def report(folders, out, tasks=16, repetitions=5, seed=0, progress=True, curves=None):
    """Write the page and its files into a folder.

    Parameters
    ----------
    folders : directories of runs, or of sweeps
    out : the folder to write to
    tasks, repetitions, seed : of the evaluation on held-out tasks, as for `evaluate`
    curves : a CSV file of published curves (system,method,trajectories,return) to compare with, or None

    Returns
    -------
    the page's path

    Raises
    ------
    RunError : there is no run, or one whose configuration cannot be read, or the same twice
    ImportError : matplotlib is missing
    """
    plots.pyplot()  # if it is missing, that shows before the work
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise RunError(f"{out}: expected a folder; there is a file of that name")
    if (out / "config.json").exists():
        raise RunError(f"{out}: holds a run, whose evaluation.csv would be written over; choose another --out")
    outcomes = _outcomes(find(folders), tasks, repetitions, seed, progress)
    command = ["minorml", "report", *map(str, folders), "--out", str(out), "--tasks", str(tasks), "--repetitions",
               str(repetitions), "--seed", str(seed), *(["--curves", str(curves)] if curves else [])]
    origin = _origin(outcomes, command)  # before a file is written: the page may lie in the checkout
    _write_curves(out, [one for one in outcomes if one.metrics])
    _write_evaluation(out, outcomes)
    groups = {}
    for one in outcomes:
        groups.setdefault(one.label, []).append(one)
    environments = list(dict.fromkeys(label.partition("/")[0] for label in groups))
    page = [f"# Results: {', '.join(environments)}", *origin, *_summary(groups, tasks, repetitions)]
    for env in environments:
        alike = {label: ones for label, ones in groups.items() if label.partition("/")[0] == env}
        measured = [one for ones in alike.values() for one in ones if one.metrics]
        longest = max((published.trajectories(one.metrics)[-1] for one in measured), default=np.inf)
        theirs = published.read(curves, env.removesuffix("-published")) if curves else []
        theirs = [published.until(curve, longest) for curve in theirs]
        page += [*_learning(env, [one.run for one in measured], out, theirs), *_beside(theirs, alike),
                 *_improvement(env, alike)]
        config = next(iter(alike.values()))[0].run.config
        if plots.is_point(config):
            page += sections.point(env, alike, out, tasks, seed)
        if gait.is_cheetah(config):
            page += sections.cheetah(env, alike, out, seed)
    write_atomically(out / "README.md", ("\n\n".join([*page, *_every_seed(groups)]) + "\n").encode())
    return out / "README.md"


def find(folders):
    """The runs in some folders, each the directory of a run or of a sweep."""
    runs = []
    for folder in map(Path, folders):
        inside = [folder] if (folder / "config.json").exists() else sorted(path.parent for path in
                                                                           folder.glob("*/config.json"))
        if not inside:
            raise RunError(f"{folder}: no run here, and none in a folder of it")
        runs += map(Run, inside)
    return runs


def _outcomes(runs, tasks, repetitions, seed, progress):
    outcomes, seen = [], {}
    labelled = [(label, run) for label, group in plots.groups(runs).items()
                for run in sorted(group, key=lambda run: run.config.seed)]
    for label, run in labelled:
        other = seen.setdefault((label, run.config.seed), run)
        if other is not run:
            raise RunError(f"{run.path}: the same configuration and seed as {other.path}; give one of them")
    with Progress(len(runs), label="report", enabled=progress) as shown:
        for label, run in labelled:
            metrics, trained, held_out, problem = [], None, [], ""
            try:
                metrics = run.metrics() if (run.path / "metrics.csv").exists() else []
                trained = load(run.path)
                held_out = _held_out(trained, tasks, repetitions, seed)
            except (ValueError, ImportError, FloatingPointError, OSError, EnvironmentFailed) as error:  # and RunError
                problem = f"not evaluated: {error}"
            problem = "; ".join(filter(None, [_problem(run, len(metrics)), problem]))
            outcomes.append(Outcome(run, label, metrics, problem, trained, held_out))
            shown.update()
    return outcomes


def _problem(run, finished):
    """Why a run has not all its iterations, or an empty text."""
    if finished >= run.config.iterations:
        return ""
    if (run.path / "failures" / f"iteration-{finished + 1:06d}.npz").exists():
        return f"failed in iteration {finished + 1}: a number was not finite"
    return f"unfinished: {finished} of {run.config.iterations} iterations"


def _held_out(trained, tasks, repetitions, seed):
    """The mean return on each task of the grid: [(task, {one of STAGES: return})].

    A method that does not adapt is as good after as before.
    """
    steps = trained.config.adapt_steps
    names = {"before": "before", "offset only": "offset", f"after {steps}": "after"}
    grid = grid_tasks(trained.config.distribution, tasks)
    found = [(task, {}) for task in grid]
    for how in ("sampled", "deterministic"):
        for score in evaluate(trained, grid, steps, repetitions, seed, deterministic=how == "deterministic"):
            if score.stage in names:
                found[grid.index(score.task)][1][f"{names[score.stage]}_{how}"] = score.returns.mean()
        for _, stages in found:
            stages.setdefault(f"after_{how}", stages[f"before_{how}"])
    return found


def _write_curves(out, outcomes):
    for one in outcomes:
        rows = [[format(int(row[name]) if kind == "d" else row[name], kind) for name, kind in CURVE.items()]
                for row in one.metrics]
        write_csv(out / curve_file(one.label, one.run.config.seed), [*CURVE], rows)


def curve_file(label, seed):
    """The name of the file with a run's learning curve. Not every system allows : and others in it."""
    return f"{re.sub('[^A-Za-z0-9=.+-]', '_', re.sub('[/ ]', '-', label))}-{seed}.csv"


def _write_evaluation(out, outcomes):
    attributes = list(dict.fromkeys(name for one in outcomes for task, _ in one.held_out for name in task))
    rows = [[one.label, one.run.config.seed, *(cell(task.get(name)) for name in attributes),
             *(cell(stages.get(name)) for name in STAGES)] for one in outcomes for task, stages in one.held_out]
    write_csv(out / "evaluation.csv", ["run", "seed", *attributes, *STAGES], rows)


def _origin(outcomes, command):
    """The commands that make it again, and what the runs were made with."""
    lines = [shlex.join(line) for line in [*commands([one.run for one in outcomes]), command]]
    made = {}
    for one in outcomes:
        made.setdefault(made_with(one.run), []).append(one)
    return ["\n".join(f"    {line}" for line in lines),
            "\n".join(f"- {len(some)} run{'s' * (len(some) > 1)}: {how}" for how, some in made.items()),
            f"Evaluated and drawn by commit {commit() or 'unknown'}.",
            f"One after the other, the runs would have taken {duration(sum(map(_seconds, outcomes)))}. The last table "
            "has the wall time of each."]


def _seconds(outcome):
    return outcome.metrics[-1]["seconds"] if outcome.metrics else 0.0


def _summary(groups, tasks, repetitions):
    text = ("Returns are undiscounted, and means over trajectories and tasks. “Training” is the mean of the last 50 "
            "iterations, on tasks drawn anew in each. “Held out” is on a fixed grid of at most "
            f"{tasks} tasks, {repetitions} repetitions. “Sampled” policies act with their noise, “deterministic” ones "
            "by their mean action. Adaptation is always from sampled actions.\n\nA number for several seeds is their "
            "interquartile mean, or the mean where there are three or fewer, with its 95 % bootstrap interval. With "
            "few seeds that interval is too narrow. Runs that failed or are unfinished count with the iterations that "
            "they have. Domain randomization does not adapt, so it has one value for before and after.")
    names = {"before": "training, before", "after": "training, after",
             **{name: "held out, " + name.replace("_", ", ") for name in STAGES if name != "before_deterministic"}}
    rows = []
    for label, ones in groups.items():
        ended_early = sum(len(one.metrics) < one.run.config.iterations for one in ones)
        seeds = f"{len(ones)}" + f", {ended_early} not finished" * (ended_early > 0)
        rows.append([label, seeds, *(interval([one.scores[name] for one in ones]) for name in names)])
    return ["## Returns", text, table(["", "seeds", *names.values()], rows)]


def _learning(env, runs, out, curves):
    if not runs:
        return []
    plots.learning_curves(runs, out / f"{env}-learning.png", curves)
    return [f"## Learning: {env}", f"![Return over trajectories and environment steps]({env}-learning.png)",
            "Each point is the mean over the fiftieth of the run that ends there. Thin lines are seeds. The thick line "
            "is their interquartile mean, with its 95 % bootstrap band; it ends with the shortest run."
            + " Dashed: the paper's curves, return after adaptation, as far as ours go." * bool(curves)]


def _beside(curves, groups):
    """Ours and the paper's returns after adaptation at the same numbers of trajectories."""
    if not curves:
        return []
    where, rows = published.places(curves), []
    for curve in curves:
        rows.append([f"the paper's {curve.method}",
                     *map(number, np.interp(where, curve.trajectories, curve.returns, right=np.nan))])
        for label, ones in groups.items():
            reached = [published.returns_at(one.metrics, where) for one in ones
                       if one.metrics and one.run.config.method == curve.method]
            if reached:
                rows.append([label, *map(interval, np.transpose(reached))])
    return ["The return after adaptation when so many trajectories have been sampled:",
            table(["trajectories", *(f"{count:,.0f}" for count in where)], rows)]


def _improvement(env, groups):
    """P(row better than column), by the return of training after adaptation."""
    finals = {label: numbers([one.scores["after"] for one in ones]) for label, ones in groups.items()}
    finals = {label: scores for label, scores in finals.items() if len(scores)}
    if len(finals) < 2:
        return []
    rows = [[label, *("" if other == label else with_interval(probability_of_improvement, x, y)
                      for other, y in finals.items())] for label, x in finals.items()]
    return [f"## Probability of improvement: {env}",
            "The probability that a seed of the row ends above a seed of the column (training return, after "
            "adaptation).",
            table(["", *finals], rows)]


def _every_seed(groups):
    names = ["before", "after", *STAGES]
    rows = [[one.label, str(one.run.config.seed), str(len(one.metrics)),
             duration(_seconds(one)) if one.metrics else "",
             *(number(one.scores[name]) for name in names), one.problem] for ones in groups.values() for one in ones]
    return ["## Every seed", table(["", "seed", "iterations", "wall time", "training, before", "after",
                                     *(name.replace("_", ", ") for name in STAGES), ""], rows)]
