"""How steadily the half cheetah runs: the distribution of its body's pitch (the paper's Figure 5b).

The paper compares domain randomization with NoRML where both run equally fast. So do we: of each run, the checkpoint is
taken whose return in training is nearest to what the slower of the two ended with.
"""

from typing import NamedTuple

import numpy as np

from ..methods import METHODS
from ..rl.tasks import grid_tasks
from .finetune import act, finetune, on_tasks
from .plots import pyplot, save
from .published import smoothed
from .trained import load


class Gait(NamedTuple):
    """The running of one run's policies, adapted where the method adapts."""

    label: str
    iteration: int  # of the checkpoint
    returns: np.ndarray  # (tasks,) the mean over episodes
    pitches: list  # for each task the pitch in every step of every episode, rad

    @property
    def deviation(self):
        """The standard deviation of the pitch in an episode's steps, rad; the mean over tasks."""
        return float(np.mean([pitch.std() for pitch in self.pitches]))


def is_cheetah(config):
    """Whether the first observation is the half cheetah's pitch."""
    return config.env.startswith("minorml_envs:minorml/HalfCheetah")


def equally_fast(outcomes, seed=0):
    """The gaits of several runs, at nearly the same return: [Gait]."""
    learned = [smoothed(one.metrics, "post_return") for one in outcomes]
    speed = min(returns[-1] for returns in learned)
    return [gait(one.label, one.run, _nearest(one.run, returns, speed), seed)
            for one, returns in zip(outcomes, learned)]


def _nearest(run, returns, speed):
    """The iteration, of those that are kept, with a return nearest to `speed`."""
    return min((k for k in run.kept() if k > 0), key=lambda k: abs(returns[k - 1] - speed))


def gait(label, run, iteration, seed=0):
    """Adapt to each task of the run, and watch the pitch of K episodes."""
    trained = load(run.path, iteration=iteration)
    config, tasks = trained.config, grid_tasks(trained.config.distribution, 16)
    if METHODS[config.method].adapts:
        thetas = finetune(trained, tasks, seed=seed)
    else:
        thetas = np.stack([trained.meta.theta] * len(tasks))
    with on_tasks(config, tasks) as problem:
        performed = act(problem, thetas, tasks, seed)
    scale = (config.obs_scale or (1.0,))[0]
    return Gait(label, iteration, np.array([one.returns.mean() for one in performed]),
                [scale * one.live(one.states[:, 1:])[:, 0].astype(float) for one in performed])


def draw(gaits, path):
    """The distributions, all tasks together."""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    edges = np.linspace(-0.7, 0.7, 71)
    for one in gaits:
        axes.hist(np.concatenate(one.pitches), edges, density=True, histtype="step", lw=1.5,
                  label=f"{one.label}, return {one.returns.mean():.0f}, deviation {one.deviation:.2f}")
    axes.set(xlabel="pitch of the body, rad", ylabel="density")
    figure.legend(fontsize="small", loc="outside upper center")
    return save(figure, path)
