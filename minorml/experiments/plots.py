"""Figures. Matplotlib (extra `plot`) is imported only when one is drawn."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..advantage import AdvantageNetwork
from ..methods import METHODS
from ..policy import GaussianPolicy
from ..rl.presets import labels
from ..rl.tasks import describe, grid_tasks
from .finetune import act, finetune, on_tasks
from .published import smoothed, trajectories
from .statistics import bootstrap_interval, interquartile_mean


def pyplot():
    try:
        import matplotlib
    except ImportError:
        raise ImportError("plots need matplotlib: pip install 'minorml[plot]'") from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    return plt


def groups(runs):
    """Runs that differ in nothing but the seed, together: {label: [Run]}."""
    found = {}
    for label, run in zip(labels([run.config for run in runs]), runs):
        found.setdefault(label, []).append(run)
    return found


def learning_curves(runs, path, curves=()):
    """Return before adaptation and after it over trajectories, and after it over environment steps.

    A thin line for each run, each point of it a mean over the fiftieth of the run that ends there: an iteration's
    return depends on the few tasks that it drew. Runs that differ in nothing but the seed are a group: their
    interquartile mean, and from two on its 95 % bootstrap band, as far as the shortest of them goes.

    curves : `Published` ones, drawn dashed in the colour of the first group of the method
    """
    plt = pyplot()
    figure, panels = plt.subplots(1, 3, figsize=(15, 5), sharey=True, layout="constrained")
    units = "trajectories", "trajectories", "environment steps"
    colors = {}
    for color, (label, seeds) in zip(plt.rcParams["axes.prop_cycle"].by_key()["color"] * 9, groups(runs).items()):
        metrics = [rows for rows in (run.metrics() for run in seeds) if rows]
        if not metrics:
            continue
        colors.setdefault(seeds[0].config.method, color)
        length = min(map(len, metrics))
        counts = {"trajectories": [trajectories(rows) for rows in metrics],
                  "environment steps": [[row["env_steps"] for row in rows] for rows in metrics]}
        for key, shown in (("pre_return", slice(0, 1)), ("post_return", slice(1, 3))):
            smooth = [smoothed(rows, key) for rows in metrics]
            ys = np.array([y[:length] for y in smooth])
            band = bootstrap_interval(interquartile_mean, ys, resamples=1000)
            for axes, unit in zip(panels[shown], units[shown]):
                for x, y in zip(counts[unit], smooth):
                    axes.plot(x, y, color=color, lw=0.5, alpha=0.5)
                x = np.mean([x[:length] for x in counts[unit]], axis=0)
                axes.fill_between(x, *band, color=color, alpha=0.25, lw=0)
                axes.plot(x, interquartile_mean(ys), color=color, lw=1.5,
                          label=f"{label} ({len(metrics)} seed{'s' * (len(metrics) > 1)})")
    for curve in curves:
        panels[1].plot(curve.trajectories, curve.returns, "--", color=colors.get(curve.method, "gray"), lw=1.2,
                       label=f"the paper's {curve.method}")
    for axes, unit, when in zip(panels, units, ("before", "after", "after")):
        axes.set(xlabel=unit, ylabel=f"return {when} adaptation")
        axes.grid(lw=0.3)
    lines, texts = panels[1].get_legend_handles_labels()
    columns = max(1, 200 // (10 + max(map(len, texts), default=0)))  # 200 letters fit beside each other
    figure.legend(lines, texts, loc="outside lower center", ncols=columns, fontsize="small")
    return save(figure, path)


def is_point(config):
    """Whether this is a point agent in its own units, which `point_trajectories` and `learned_advantage` can draw."""
    return config.env.startswith("minorml_envs:minorml/Point") and not config.obs_scale and not config.action_scale


class Spread(NamedTuple):
    """How much one policy's rollouts on one task differ. Lengths are in units of the plane."""

    mean_return: float
    return_std: float
    position_std: float  # √E‖p − E p‖² of the last position p
    sigma: float  # of the policy's actions
    first_step: float  # from the goal, after the first step: the mean over the rollouts


def point_stages(trained, tasks, seed=0):
    """Roll out the point agent: {stage: for each task (its `Trajectories`, their `Spread`)}.

    The stages: the meta-policy θ; θ + θ_off, where the method has it; the fine-tuned policy, where the method adapts.
    """
    config, meta, method = trained.config, trained.meta, METHODS[trained.config.method]
    stages = {"meta-policy θ": np.stack([meta.theta] * len(tasks))}
    if "offset" in method.learned:
        stages["θ + θ_off"] = np.stack([meta.theta + meta.offset] * len(tasks))
    if method.adapts:
        stages["fine-tuned θ_i"] = finetune(trained, tasks, seed=seed)
    with on_tasks(config, tasks) as problem:
        return {stage: [(one, _spread(one, np.exp(problem.policy.split(theta)[1]), _goal(task)))
                        for one, theta, task in zip(act(problem, thetas, tasks, seed), thetas, tasks)]
                for stage, thetas in stages.items()}


def _spread(trajectories, sigma, goal):
    paths = _paths(trajectories)
    first, last = (np.array([path[i] for path in paths]) for i in (1, -1))
    return Spread(*map(float, (trajectories.returns.mean(), trajectories.returns.std(),
                               np.sqrt(last.var(axis=0).sum()), sigma.mean(), np.hypot(*(first - goal).T).mean())))


def _paths(trajectories):
    """The positions that each trajectory of the point agent went through: [(steps + 1, 2)]."""
    return [2 * states[:alive.sum() + 1]  # the observation is half the position
            for states, alive in zip(trajectories.states, trajectories.alive)]


def point_trajectories(runs, path, tasks=4, rollouts=10, seed=0):
    """Ten rollouts of the meta-policy, of meta + offset, and of the fine-tuned policy (the paper's Figure 3).

    Above each: return ± deviation over all K rollouts, and the spread of their last positions.

    runs : {name: Trained}; one row of panels for each, and for each of so many held-out tasks
    """
    plt = pyplot()
    columns = ["meta-policy θ", "θ + θ_off", "fine-tuned θ_i"]
    figure, panels = plt.subplots(len(runs) * tasks, 3, figsize=(9, 3.2 * len(runs) * tasks), sharex=True, sharey=True,
                                  squeeze=False, layout="constrained")
    rows = iter(panels)
    for name, trained in runs.items():
        grid = grid_tasks(trained.config.distribution, tasks)
        stages = point_stages(trained, grid, seed)
        for i, (task, row) in enumerate(zip(grid, rows)):
            for axes, stage in zip(row, columns):
                if stage not in stages:
                    axes.axis("off")
                    continue
                one, spread = stages[stage][i]
                for points in _paths(one)[:rollouts]:
                    axes.plot(*points.T, ".-", lw=0.8, ms=3, alpha=0.7)
                _plane(axes, task)
                axes.set_title(f"{stage}\nreturn {spread.mean_return:.2f} ± {spread.return_std:.2f}, "
                               f"last position ± {spread.position_std:.2f}", fontsize="small")
            row[0].set_ylabel(f"{name}\n{describe(task)}", fontsize="small")
    return save(figure, path)


def learned_advantage(trained, path, tasks=4, seed=0):
    """What the point agent's A_ψ has learned, and what adaptation makes of it.

    Above: A_ψ(s, a, s′) at the origin for four actions a (arrow), over the displacement s′ − s. A dot is where a
    rotation takes the action. The inner step makes an action likelier where A_ψ < 0: it descends mean A_ψ log π.
    Below: where the mean action takes the point, before adaptation to a rotation and after it.
    """
    plt, config, meta = pyplot(), trained.config, trained.meta
    grid = grid_tasks(config.distribution, tasks)
    figure, panels = plt.subplots(3, tasks, figsize=(3.2 * tasks, 9.6), squeeze=False, layout="constrained")
    _draw_advantages(figure, panels[0], config, meta.psi, grid)
    policy = GaussianPolicy(2, 2, config.hidden, config.activation)
    side = np.linspace(-1.75, 1.75, 8)
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    fine_tuned = finetune(trained, grid, seed=seed)
    for row, when, thetas in zip(panels[1:], ("before", "after"), ([meta.theta] * len(grid), fine_tuned)):
        for axes, task, theta in zip(row, grid, thetas):
            actions = policy.mean(theta, (points / 2).astype(theta.dtype))
            moves = _turned(np.clip(actions, -1, 1), task.get("rotation", 0.0))
            axes.quiver(*points.T, *moves.T, np.hypot(*moves.T), angles="xy", scale_units="xy", scale=3, width=0.008,
                        cmap="viridis", clim=(0, np.sqrt(2)))
            _plane(axes, task)
            axes.set_title(f"{when} adaptation to {describe(task)}\nmean length {np.hypot(*moves.T).mean():.2f}",
                           fontsize="small")
    return save(figure, path)


def _draw_advantages(figure, row, config, psi, tasks):
    """A_ψ at the origin, over displacements, for an action in each of the directions."""
    laf = AdvantageNetwork(2, 2, config.laf_hidden, config.laf_activation)
    side = np.linspace(-1.5, 1.5, 81)
    moves = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    actions = _turned(np.array([1.0, 0.0]), 2 * np.pi * np.arange(len(row)) / len(row)).round(12) + 0.0  # no −0
    maps = [laf.value(psi, *(np.broadcast_to(x, moves.shape).astype(psi.dtype) for x in (0.0, a, moves / 2)))
            .reshape(len(side), -1) for a in actions]
    largest = np.abs(maps).max()
    for axes, a, values in zip(row, actions, maps):
        image = axes.pcolormesh(side, side, values, cmap="coolwarm", vmin=-largest, vmax=largest, rasterized=True)
        axes.annotate("", a, (0, 0), arrowprops={"arrowstyle": "->", "lw": 1.5})
        for task in tasks:
            if "rotation" in task:
                x, y = _turned(a, task["rotation"])
                axes.plot(x, y, "ko", ms=4)
                axes.annotate(f"{np.degrees(task['rotation']):+.0f}°", (x, y), (4, 4), textcoords="offset points",
                              fontsize="small")
        axes.set(aspect="equal", xlabel="displacement")
        axes.set_title(f"A_ψ at the origin, a = ({a[0]:.2g}, {a[1]:.2g})", fontsize="small")
    figure.colorbar(image, ax=row, label="A_ψ; likelier where < 0")


def advantage_over_angle(stages, path):
    """−A_ψ at the origin over the angle of an action, after several iterations (the paper's Figures 2b and 2d).

    Actions of length 1, without a rotation: they take the point to (cos ω, sin ω). The inner step makes an action
    likelier where A_ψ < 0, so −A_ψ is drawn, which has the paper's sign.

    stages : the Trained of one run after several iterations
    """
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    angles = np.linspace(-np.pi, np.pi, 181)
    actions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for trained in stages:
        laf = AdvantageNetwork(2, 2, trained.config.laf_hidden, trained.config.laf_activation)
        psi = trained.meta.psi
        values = laf.value(psi, *(x.astype(psi.dtype) for x in (np.zeros_like(actions), actions, actions / 2)))
        axes.plot(np.degrees(angles), -values, label=f"after {len(trained.metrics)} iterations")
    axes.axhline(0, color="0.8", lw=0.8, zorder=0)
    axes.set(xlabel="angle of the action, degrees; 0 is towards the goal", ylabel="−A_ψ; likelier where it is high",
             xticks=range(-180, 181, 60))
    axes.legend(fontsize="small")
    return save(figure, path)


def _turned(vectors, angle):
    """Vectors (…, 2) turned by an angle, as in (point.1)."""
    x, y = np.moveaxis(vectors, -1, 0)
    return np.stack(np.broadcast_arrays(np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y),
                    axis=-1)


def _goal(task):
    angle = task.get("goal_angle", 0.0)
    return np.array([np.cos(angle), np.sin(angle)])


def _plane(axes, task):
    """The plane with the start and the task's goal."""
    axes.plot(0, 0, "k+", ms=10)
    axes.plot(*_goal(task), "r*", ms=10)
    axes.set(xlim=(-2.1, 2.1), ylim=(-2.1, 2.1), aspect="equal")


def save(figure, path):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    pyplot().close(figure)
    return path
