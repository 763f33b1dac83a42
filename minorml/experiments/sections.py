"""What a page of results tells of one system alone, as paragraphs. `groups` are {label: [Outcome]} of its runs."""

import numpy as np

from ..rl.tasks import grid_tasks
from . import gait, plots
from .tables import cell, interval, number, table, write_csv
from .trained import load


def point(env, groups, out, tasks, seed):
    """The point agent: how much its rollouts differ, and what A_ψ has learned."""
    rows, cells = [], []
    for label, ones in groups.items():
        spreads = {}  # stage → (seeds, fields of Spread)
        for one in [one for one in ones if one.held_out]:
            stages = plots.point_stages(one.trained, grid_tasks(one.run.config.distribution, tasks), seed)
            for stage, performed in stages.items():
                means = np.mean([spread for _, spread in performed], axis=0)
                spreads.setdefault(stage, []).append(means)
                rows.append([label, one.run.config.seed, stage, *map(cell, means)])
        cells += [[label, stage, str(len(x)), *(interval(column) for column in np.transpose(x))]
                  for stage, x in spreads.items()]
    if not rows:
        return []
    write_csv(out / f"{env}-spread.csv", ["run", "seed", "policy", *plots.Spread._fields], rows)
    page = [f"## Trajectories: {env}",
            "How much the rollouts of one policy on one task differ: the standard deviation of their returns and of "
            "their last positions (√E‖p − E p‖²); then the σ of the policy's actions, and how far from the goal their "
            f"first step lands. Means over {tasks} held-out tasks, then interquartile means over seeds with 95 % "
            "intervals.",
            table(["", "policy", "seeds", "return", "deviation of the return", "of the last position", "σ",
                   "first step to goal"], cells)]
    shown = {}  # the first complete run of each
    for one in _complete(groups):
        shown.setdefault(one.run.config.method, one)
    figure = {f"{one.run.config.method}, seed {one.run.config.seed}": one.trained for one in shown.values()
              if "psi" in one.run.config.learned}
    if figure:
        plots.point_trajectories(figure, out / f"{env}-trajectories.png", tasks=2, seed=seed)
        page += [f"![Ten rollouts of each policy]({env}-trajectories.png)"]
    if "norml" in shown and any(part.name == "rotation" for part in shown["norml"].run.config.distribution):
        plots.learned_advantage(shown["norml"].trained, out / f"{env}-advantage.png", seed=seed)
        page += [f"![A_ψ, and the mean action before and after adaptation]({env}-advantage.png)",
                 f"{shown['norml'].label}, seed {shown['norml'].run.config.seed}. The upper row shows A_ψ at the "
                 "origin for four actions (arrows), over the displacement that follows. Dots mark where rotations take "
                 "the action. The adaptation step makes an action likelier where A_ψ is negative. The lower row shows "
                 "where the mean action takes the point, before and after adaptation."]
        plots.advantage_over_angle(_in_the_course(shown["norml"]), out / f"{env}-advantage-angle.png")
        page += [f"![A_ψ over the angle of an action]({env}-advantage-angle.png)",
                 "The same run: −A_ψ at the origin for an action of length 1 over its angle, where no rotation turns "
                 "it (the paper's Figures 2b and 2d, in the paper's sign)."]
    return page


def cheetah(env, groups, out, seed):
    """The half cheetah: how steadily domain randomization and NoRML run."""
    pairs = {}  # seed → the complete runs of both
    for one in _complete(groups):
        if one.label in (f"{env}/dr", f"{env}/norml"):
            pairs.setdefault(one.run.config.seed, []).append(one)
    gaits = {k: gait.equally_fast(pair, seed) for k, pair in pairs.items() if len(pair) == 2}
    if not gaits:
        return []
    gait.draw(next(iter(gaits.values())), out / f"{env}-pitch.png")
    rows = [[one.label, str(k), str(one.iteration), number(one.returns.mean()),
             *(number(x, 3) for x in (np.mean([p.mean() for p in one.pitches]), one.deviation))]
            for k, pair in gaits.items() for one in pair]
    return [f"## Gait: {env}",
            "How steadily the body is carried where both run equally fast (the paper's Figure 5b). Of each run the "
            "checkpoint is taken whose return in training is nearest to what the slower of the two ended with. The "
            "pitch in every step, of sampled policies, adapted where the method adapts; the deviation is the standard "
            "deviation over the steps on one task, and the mean over tasks.",
            table(["", "seed", "iteration", "return", "mean pitch, rad", "deviation, rad"], rows),
            f"![The distribution of the pitch, first seed]({env}-pitch.png)"]


def _complete(groups):
    """The runs that have all their iterations and could be evaluated."""
    return [one for ones in groups.values() for one in ones if one.held_out and not one.problem]


def _in_the_course(outcome):
    """A run's Trained from its first checkpoint that is kept, the one nearest to its middle, and the last."""
    *earlier, last = outcome.run.kept()
    middle = min(earlier, key=lambda iteration: abs(iteration - last / 2), default=last)
    shown = sorted({*earlier[:1], middle} - {last})
    return [*(load(outcome.run.path, iteration=iteration) for iteration in shown), outcome.trained]
