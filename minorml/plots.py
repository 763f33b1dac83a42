"""The figures. Matplotlib is asked for only when one is drawn (extra `plot`)."""

from pathlib import Path

import numpy as np

from .finetune import finetune, on_tasks
from .tasks import describe, grid_tasks
from .work import EVALUATE, stream

BAND = 95  # per cent of the bootstrap band


def _pyplot():
    try:
        import matplotlib
    except ImportError:
        raise ImportError("plots need matplotlib: pip install 'minorml[plot]'") from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    return plt


def bootstrap_band(curves, resamples=1000, seed=0):
    """The 95 % bootstrap band of the mean over seeds: curves (n, T) → low (T,), high (T,)."""
    rng = np.random.default_rng(seed)
    means = np.stack([curves[rng.integers(len(curves), size=len(curves))].mean(axis=0) for _ in range(resamples)])
    return np.percentile(means, [(100 - BAND) / 2, (100 + BAND) / 2], axis=0)


def learning_curves(runs, path):
    """Return over environment steps: before adaptation dashed, after it solid.

    Runs of one environment and method are one group, whatever else they differ in: a thin line for each run, and from
    two on their mean with a 95 % bootstrap band.
    """
    plt = _pyplot()
    groups = {}
    for run in runs:
        groups.setdefault((run.config.env.rpartition("/")[2], run.config.method), []).append(run.metrics())
    figure, axes = plt.subplots(figsize=(8, 5))
    for color, ((env, method), seeds) in zip(plt.rcParams["axes.prop_cycle"].by_key()["color"] * 9, groups.items()):
        length = min(len(rows) for rows in seeds)
        if length == 0:
            continue
        steps = np.mean([[row["env_steps"] for row in rows[:length]] for rows in seeds], axis=0)
        for key, style, when in (("pre_return", "--", "before"), ("post_return", "-", "after")):
            curves = np.array([[row[key] for row in rows[:length]] for rows in seeds])
            for rows in seeds:
                axes.plot([row["env_steps"] for row in rows], [row[key] for row in rows], style, color=color, lw=0.5,
                          alpha=0.5)
            plural = f"{len(seeds)} seed" + "s" * (len(seeds) > 1)
            axes.plot(steps, curves.mean(axis=0), style, color=color, lw=1.5,
                      label=f"{env} {method}, {when} adaptation ({plural})")
            if len(seeds) > 1:
                axes.fill_between(steps, *bootstrap_band(curves), color=color, alpha=0.2, lw=0)
    axes.set(xlabel="environment steps", ylabel="return")
    axes.legend(fontsize="small")
    return _save(figure, path)


def point_trajectories(trained, path, rotations=4, rollouts=10, seed=0):
    """Ten rollouts of the meta-policy, of meta + offset, and of the fine-tuned policy (the paper's Figure 3).

    One row of panels for each of a few held-out rotations.
    """
    plt = _pyplot()
    config, meta = trained.config, trained.meta
    tasks = grid_tasks(config.distribution, rotations)
    stages = {"meta-policy θ": np.stack([meta.theta] * rotations),
              "θ + θ_off": np.stack([meta.theta + meta.offset] * rotations),
              "fine-tuned θ_i": finetune(trained, tasks, seed=seed)}
    figure, panels = plt.subplots(rotations, len(stages), figsize=(3 * len(stages), 3 * rotations), sharex=True,
                                  sharey=True, squeeze=False)
    with on_tasks(config, tasks) as learner:
        for column, (name, thetas) in enumerate(stages.items()):
            rngs = [stream(seed, EVALUATE, 1, i) for i in range(rotations)]
            for row, one in enumerate(learner.rollout(thetas, rngs)):
                axes = panels[row, column]
                _draw_trajectories(axes, one, rollouts)
                axes.set_title(f"{name}: {one.returns.mean():.2f}" if row else f"{name}\n{one.returns.mean():.2f}",
                               fontsize="small")
                if column == 0:
                    axes.set_ylabel(describe(tasks[row]), fontsize="small")
    return _save(figure, path)


def _draw_trajectories(axes, trajectories, rollouts):
    """The first few paths of the point agent, its start and its goal."""
    for states, alive in zip(trajectories.states[:rollouts], trajectories.alive[:rollouts]):
        lived = states[:alive.sum() + 1] * 2  # the observation is half the position
        axes.plot(*lived.T, ".-", lw=0.8, ms=3, alpha=0.7)
    axes.plot(0, 0, "k+", ms=10)
    axes.plot(1, 0, "r*", ms=10)
    axes.set(xlim=(-2.1, 2.1), ylim=(-2.1, 2.1), aspect="equal")


def _save(figure, path):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    figure.clf()
    return path
