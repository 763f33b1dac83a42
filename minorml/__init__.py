"""minorml: meta-reinforcement learning that adapts without rewards, every derivative by hand.

    θ_i = θ + θ_off − α ∘ ∇_θ L_in(θ; D_i^pre)                       adapt                       (meta.1)
    min over θ, θ_off, ψ, α of the mean over tasks of L_out(θ_i; D_i^post)

Letters, the same in every module:

    M, K, T   tasks per meta-batch, trajectories per task, steps per trajectory
    N         transitions (rows) of one task's batch
    S, U      dimensions of state and action
    P, Q      numbers of parameters of the policy and of the learned advantage function
    θ, θ_off, ψ, α     `theta` (P,), `offset` (P,), `psi` (Q,), `alpha` (P,)
    dx        ∂L/∂x
    Rx        the derivative of x along a direction (Pearlmutter's R-operator); Rdx that of dx

Reading order, which is also the order of imports, room by room:

    mlp → gaussian → policy → advantage → surrogate → meta → methods                        the mathematics
    rl/           baseline → threads → foreign → rollout → adam → tasks → checks → streams → config → presets → problem
    rl/           → survey                                                                  what training needs besides
    parallel/     adaptation → share → signals → workers                          the work, and who does it
    runs/         progress → checkpoints → failures → version → machine → directory                   runs on disk
    deployment/   c_source → export → recording → logs → collect → reference → adapting → corrections → fit → controller
                                                                                            a robot's logs and policies
    experiments/  trained → train → finetune → sweep → video → statistics → tables → published → plots →
    experiments/  gait → sections → reproduction → report → adaptation_map
    commands/     values → training → adapting → showing → __main__                         the command line

`kernels/` holds compiled forms of formulas that stand in these modules; `gradcheck` tests derivatives, ours and yours.
"""

import importlib
from typing import TYPE_CHECKING

from .runs.version import __version__ as __version__

if TYPE_CHECKING:
    from .advantage import AdvantageNetwork
    from .deployment.controller import Policy, load_policy
    from .deployment.logs import load_recording
    from .deployment.recording import Recording
    from .experiments.finetune import collect, evaluate, finetune
    from .experiments.train import train
    from .experiments.trained import Trained, load
    from .meta import Batch, MetaParameters, adapt, meta_gradient, outer_loss
    from .methods import METHODS
    from .parallel.signals import Stopped
    from .parallel.workers import WorkerError
    from .policy import GaussianPolicy
    from .rl.config import Config
    from .rl.presets import PRESETS, preset
    from .runs.directory import RunError

# Where each public name lives. It is imported when it is first asked for: who wants `minorml.gradcheck` alone does not
# load a simulator.
_HOMES = {
    "AdvantageNetwork": "advantage", "Batch": "meta", "Config": "rl.config", "GaussianPolicy": "policy",
    "METHODS": "methods", "MetaParameters": "meta", "PRESETS": "rl.presets", "Policy": "deployment.controller",
    "Recording": "deployment.recording", "RunError": "runs.directory", "Stopped": "parallel.signals",
    "Trained": "experiments.trained", "WorkerError": "parallel.workers", "adapt": "meta",
    "collect": "experiments.finetune", "evaluate": "experiments.finetune", "finetune": "experiments.finetune",
    "load": "experiments.trained", "load_policy": "deployment.controller", "load_recording": "deployment.logs",
    "meta_gradient": "meta", "outer_loss": "meta", "preset": "rl.presets", "train": "experiments.train",
}

__all__ = ["AdvantageNetwork", "Batch", "Config", "GaussianPolicy", "METHODS", "MetaParameters", "PRESETS", "Policy",
           "Recording", "RunError", "Stopped", "Trained", "WorkerError", "adapt", "collect", "evaluate", "finetune",
           "load", "load_policy", "load_recording", "meta_gradient", "outer_loss", "preset", "train"]


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'minorml' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"minorml.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_HOMES})
