"""Where the inner step's advantages come from: the learned advantage function A_ψ, or rewards.

    A_ψ(s, a, s') = MLP([s, a, s']; ψ) ∈ R,    ψ ∈ R^Q                                      (advantage.1)

In the inner step A_ψ takes the place of the advantage that is estimated from rewards (Yang et al. 2019, sec. 4). It is
never trained towards a target. ψ gets its gradient from the outer loss, through the adaptation step.

Both sources are functions (laf, psi, batch) ↦ (A, vjp): N advantages, and the function that takes N weights w to
Σ_n w_n ∇_ψ A_n. Each method names its source in `minorml/methods.py`. `laf`, here and elsewhere, is the learned
advantage function as an `AdvantageNetwork`.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike

from .kernels import network
from .kernels.registry import served_by
from .mlp import MLP
from .policy import check_rows, check_shape, init_mlp


class AdvantageNetwork:
    """The learned advantage function (advantage.1).

    Parameters
    ----------
    obs_dim, act_dim : S and U; the input is [s, a, s'], 2S + U wide
    hidden, activation : as in `GaussianPolicy`
    """

    def __init__(self, obs_dim: int, act_dim: int, hidden: Sequence[int] = (50, 50), activation: str = "tanh"):
        self.obs_dim, self.act_dim = obs_dim, act_dim
        self.mlp = MLP((2 * obs_dim + act_dim, *hidden, 1), activation)
        self.num_params = self.mlp.num_params

    def init(self, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> ndarray:
        """A new ψ: truncated-normal weights, zero biases. (Q,)"""
        return init_mlp(self.mlp, rng).astype(dtype)

    def inputs(self, psi: ndarray, s: ndarray, a: ndarray, next_s: ndarray) -> ndarray:
        """[s, a, s'] of N rows, (N, 2S + U); ValueError unless all shapes fit."""
        check_shape("psi", psi, (self.num_params,))
        tasks = check_rows("s", s, self.obs_dim)
        check_shape("a", a, (*tasks, s.shape[-2], self.act_dim))
        check_shape("next_s", next_s, (*tasks, s.shape[-2], self.obs_dim))
        return np.concatenate([s, a, next_s], axis=-1)

    def at(self, psi: ndarray, s: ndarray, a: ndarray, next_s: ndarray) -> tuple[ndarray, Callable]:
        """One forward pass over N rows → A (N,) and vjp: w (N,) ↦ Σ_n w_n ∇_ψ A_n (Q,)."""
        A, vjp = self._at(psi, self.inputs(psi, s, a, next_s))

        def checked(w):
            check_shape("w", w, A.shape)
            return vjp(w)

        return A, checked

    @served_by(network.value_and_vjp)
    def _at(self, psi, x):
        """(advantage.1) of the inputs x, and its vjp."""
        hs = self.mlp.forward(psi, x)
        return hs[-1][..., 0], lambda w: self.mlp.vjp(psi, hs, w[..., None])

    def value(self, psi: ndarray, s: ndarray, a: ndarray, next_s: ndarray) -> ndarray:
        """A_ψ(s_n, a_n, s'_n), (N,)."""
        return self.at(psi, s, a, next_s)[0]

    def vjp(self, psi: ndarray, s: ndarray, a: ndarray, next_s: ndarray, w: ndarray) -> ndarray:
        """Σ_n w_n ∇_ψ A_ψ(s_n, a_n, s'_n), (Q,), for weights w (N,)."""
        return self.at(psi, s, a, next_s)[1](w)

    def jvp(self, psi: ndarray, s: ndarray, a: ndarray, next_s: ndarray, v: ndarray) -> ndarray:
        """∇_ψ A_ψ(s_n, a_n, s'_n) · v, (N,), for a direction v (Q,): (mlp.4)."""
        check_shape("v", v, (self.num_params,))
        return self.mlp.jvp(psi, self.mlp.forward(psi, self.inputs(psi, s, a, next_s)), v)[-1][:, 0]

    def hvp(self, psi: ndarray, s: ndarray, a: ndarray, next_s: ndarray, w: ndarray, v: ndarray) -> ndarray:
        """Σ_n w_n ∇²_ψ A_ψ(s_n, a_n, s'_n) v, (Q,): (mlp.5) with weights w (N,) that do not move.

        The meta-gradient needs no second derivative in ψ (meta.5). Other ways to train A_ψ may.
        """
        hs = self.mlp.forward(psi, self.inputs(psi, s, a, next_s))
        check_shape("w", w, (len(s),))
        check_shape("v", v, (self.num_params,))
        dy = w[:, None]
        return self.mlp.vjp_tangent(psi, hs, dy, v, self.mlp.jvp(psi, hs, v), np.zeros_like(dy))


def learned(laf, psi, batch):
    """A = A_ψ(s, a, s'). It cannot see a reward: a `Batch` has no field for rewards."""
    return laf.at(psi, batch.states, batch.actions, batch.next_states)


def estimated(laf, psi, batch):
    """A = Â, estimated from rewards (`minorml/rl/baseline.py`) and stored in the batch. It does not depend on ψ."""
    if batch.advantages is None:
        raise ValueError("batch.advantages: this method adapts from rewards and needs (N,) advantages; given None")
    return batch.advantages, lambda w: np.zeros(w.shape[:-1] + psi.shape, psi.dtype)
