"""minorml: meta-reinforcement learning that adapts without rewards, every derivative by hand.

    θ_i = θ + θ_off − α ∘ ∇_θ L_in(θ; D_i^train)                     adapt                       (meta.1)
    min over θ, θ_off, ψ, α of the mean over tasks of L_out(θ_i; D_i^test)

Letters, the same in every module:

    M, K, T   tasks per meta-batch, trajectories per task, steps per trajectory
    N         transitions (rows) of one task's batch
    S, U      dimensions of state and action
    P, Q      numbers of parameters of the policy and of the learned advantage function
    θ, θ_off, ψ, α     `theta` (P,), `offset` (P,), `psi` (Q,), `alpha` (P,)
    dx        ∂L/∂x
    Rx        the derivative of x along a direction (Pearlmutter's R-operator); Rdx that of dx

Reading order, which is also the order of imports:

    mlp → gaussian → policy → advantage → surrogate → meta → methods            the mathematics
    baseline → rollout → adam → tasks → config → presets                        what training needs
    signals → checkpoints → learner → work → team → replay → versions → runs    files and workers
    train → finetune → sweep → video → statistics → plots → origin → report → __main__    the algorithms and the program

The `…kernels` hold compiled forms of formulas that stand in these modules; `gradcheck` is for testing derivatives, ours
and yours.
"""

__version__ = "0.1.0"

from .advantage import AdvantageNetwork
from .config import Config
from .finetune import evaluate, finetune
from .meta import Batch, MetaParameters, adapt, meta_gradient, outer_loss
from .methods import METHODS
from .policy import GaussianPolicy
from .presets import PRESETS, preset
from .runs import RunError
from .signals import Stopped
from .team import WorkerError
from .train import Trained, load, train

__all__ = ["AdvantageNetwork", "Batch", "Config", "GaussianPolicy", "METHODS", "MetaParameters", "PRESETS", "RunError",
           "Stopped", "Trained", "WorkerError", "adapt", "evaluate", "finetune", "load", "meta_gradient", "outer_loss",
           "preset", "train"]
