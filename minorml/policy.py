"""The policy π_θ(a|s) = N(f(s; θ_μ), diag(e^{θ_σ})²), and every derivative of log π_θ that meta-learning needs.

    θ = [θ_μ, θ_σ] ∈ R^P: the weights of an MLP f (mlp.1), then U log standard deviations.

`GaussianPolicy` describes the family of policies; parameters are always an argument. `policy.at(θ, s, a)` makes one
forward pass and keeps it. The value, the gradient and the Hessian-vector product share it:

    at = policy.at(theta, s, a)      x_n(θ) = log π_θ(a_n|s_n)
    at.log_prob                      x                                   (N,)
    at.vjp(w)                        Σ_n w_n ∇x_n                        (P,)
    tangent = at.along(v)            one R-operator sweep up
    tangent.log_prob                 ∇x_n · v                            (N,)
    tangent.vjp(w, Rw)               Σ_n w_n ∇²x_n v + Rw_n ∇x_n         (P,)

Batches of several tasks can go through together if they have equally many rows: s (M, N, S), a (M, N, U), with one
θ (P,) for all tasks or one for each, (M, P). What is (N,) or (P,) above is then (M, N) or (M, P).
"""

from collections.abc import Sequence

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike
from scipy.special import ndtr, ndtri

from . import gaussian
from .kernels import network, surrogate
from .kernels.registry import served_by
from .mlp import MLP


class GaussianPolicy:
    """A Gaussian policy whose mean is an MLP and whose log standard deviations do not depend on the state.

    Parameters
    ----------
    obs_dim, act_dim : S and U, the dimensions of state and action
    hidden : widths of the hidden layers
    activation : "tanh", "relu" or "identity"
    """

    def __init__(self, obs_dim: int, act_dim: int, hidden: Sequence[int] = (50, 50), activation: str = "tanh"):
        self.obs_dim, self.act_dim = obs_dim, act_dim
        self.mlp = MLP((obs_dim, *hidden, act_dim), activation)
        self.num_params = self.mlp.num_params + act_dim

    def split(self, theta: ndarray) -> tuple[ndarray, ndarray]:
        """θ → (θ_μ, θ_σ), two views. A stack (M, P) gives (M, P − U) and (M, U)."""
        return theta[..., :self.mlp.num_params], theta[..., self.mlp.num_params:]

    def init(self, rng: np.random.Generator, log_std: float, dtype: DTypeLike = np.float32) -> ndarray:
        """A new θ: truncated-normal weights, zero biases, every log σ at `log_std`. (P,)"""
        theta = np.empty(self.num_params, dtype)
        mean_params, log_stds = self.split(theta)
        mean_params[:] = init_mlp(self.mlp, rng)
        log_stds[:] = log_std
        return theta

    @served_by(network.outputs)
    def mean(self, theta: ndarray, s: ndarray) -> ndarray:
        """f(s; θ_μ): (N, S) → (N, U). A stack of parameters (M, P) takes a stack of states (M, N, S)."""
        return self.mlp.forward(self.split(theta)[0], s)[-1]

    def sample(self, theta: ndarray, s: ndarray, noise: ndarray) -> tuple[ndarray, ndarray]:
        """Actions a = f(s) + e^{θ_σ} ∘ noise, and their log-probabilities.

        Shapes: θ (M, P), s (M, K, S), standard normal noise (M, K, U) → a (M, K, U), log π (M, K).
        """
        return self.actions(theta, s, noise), self.noise_log_prob(theta, noise)

    def actions(self, theta: ndarray, s: ndarray, noise: ndarray) -> ndarray:
        """The actions of `sample` alone."""
        std = np.exp(self.split(theta)[1])[..., None, :]  # (M, 1, U)
        return self.mean(theta, s) + std * noise

    def noise_log_prob(self, theta: ndarray, noise: ndarray) -> ndarray:
        """log π of the actions that `sample` makes of noise: (gaussian.2), where e is the noise itself.

        Shapes: θ (M, P), noise (M, …, U) → (M, …).
        """
        log_std = self.split(theta)[1]
        return gaussian.log_density(noise, log_std.reshape(len(theta), *[1] * (noise.ndim - 2), -1))

    def at(self, theta: ndarray, s: ndarray, a: ndarray) -> "LogProb":
        """One forward pass over N rows, kept for the derivatives. θ (P,), s (N, S), a (N, U)."""
        self.check(theta, s, a)
        return LogProb(self, theta, s, a)

    def check(self, theta: ndarray, s: ndarray, a: ndarray, w: ndarray | None = None,
              v: ndarray | None = None) -> None:
        """Raise ValueError unless all shapes fit together, also of weights and a direction if there are any."""
        tasks = check_rows("s", s, self.obs_dim)
        check_shape("a", a, (*tasks, s.shape[-2], self.act_dim))
        check_params("theta", theta, self.num_params, tasks)
        if w is not None:
            check_shape("w", w, np.shape(s)[:-1])
        if v is not None:
            check_params("v", v, self.num_params, tasks)

    def log_prob(self, theta: ndarray, s: ndarray, a: ndarray) -> ndarray:
        """log π_θ(a_n|s_n), (N,)."""
        return self.at(theta, s, a).log_prob

    def scores(self, theta: ndarray, s: ndarray, a: ndarray) -> ndarray:
        """∇_θ log π_θ(a_n|s_n) for each row, (N, P)."""
        check_shape("s", s, ("N", self.obs_dim))
        return self.at(theta, s, a).scores()

    @served_by(surrogate.vjp)
    def vjp(self, theta: ndarray, s: ndarray, a: ndarray, w: ndarray) -> ndarray:
        """Σ_n w_n ∇_θ log π_n, (P,), for weights w (N,)."""
        self.check(theta, s, a, w)
        return self.at(theta, s, a).vjp(w)

    def jvp(self, theta: ndarray, s: ndarray, a: ndarray, v: ndarray) -> ndarray:
        """∇_θ log π_n · v, (N,), for a direction v (P,)."""
        self.check(theta, s, a, v=v)
        return self.at(theta, s, a).along(v).log_prob

    @served_by(surrogate.hvp)
    def hvp(self, theta: ndarray, s: ndarray, a: ndarray, w: ndarray, v: ndarray) -> ndarray:
        """Σ_n w_n ∇²_θ log π_n v, (P,), for weights w (N,) and a direction v (P,)."""
        self.check(theta, s, a, w, v)
        return self.at(theta, s, a).along(v).vjp(w, np.zeros_like(w))


class LogProb:
    """x_n(θ) = log π_θ(a_n|s_n) around one θ: the chain (mlp.1) → (gaussian.1) → (gaussian.2), kept."""

    def __init__(self, policy, theta, s, a):
        self.policy = policy
        self.mean_params, log_std = policy.split(theta)
        self.log_std = log_std[..., None, :]  # a row for all rows
        self.hs = policy.mlp.forward(self.mean_params, s)
        self.e = gaussian.standardise(a, self.hs[-1], self.log_std)  # (N, U)
        self.log_prob = gaussian.log_density(self.e, self.log_std)  # (N,)

    def vjp(self, w):
        """Σ_n w_n ∇x_n: (gaussian.3), then (mlp.3). (P,)"""
        dmean, dlog_std = gaussian.vjp(self.e, self.log_std, w)
        return np.concatenate([self.policy.mlp.vjp(self.mean_params, self.hs, dmean), dlog_std], axis=-1)

    def scores(self):
        """∇x_n for each row, (N, P)."""
        dmean, dlog_std = gaussian.vjp_rows(self.e, self.log_std)
        return np.concatenate([self.policy.mlp.vjp_rows(self.mean_params, self.hs, dmean), dlog_std], axis=1)

    def along(self, v):
        """The same chain differentiated along v: (mlp.4), then (gaussian.4)."""
        return LogProbTangent(self, v)


class LogProbTangent:
    """How x_n(θ), and any vjp of it, change when θ moves along v."""

    def __init__(self, at, v):
        self.at = at
        self.Rmean_params, Rlog_std = at.policy.split(v)
        self.Rlog_std = Rlog_std[..., None, :]
        self.Rhs = at.policy.mlp.jvp(at.mean_params, at.hs, self.Rmean_params)
        self.log_prob, self.Re = gaussian.jvp(at.e, at.log_std, self.Rhs[-1], self.Rlog_std)  # (N,)

    def vjp(self, w, Rw):
        """R{Σ_n w_n ∇x_n} = Σ_n w_n ∇²x_n v + Rw_n ∇x_n, where the weights move by Rw: (gaussian.5), (mlp.5). (P,)"""
        at = self.at
        dmean, _ = gaussian.vjp(at.e, at.log_std, w)
        Rdmean, Rdlog_std = gaussian.vjp_tangent(at.e, at.log_std, self.Re, self.Rlog_std, w, Rw)
        Rdmean_params = at.policy.mlp.vjp_tangent(
            at.mean_params, at.hs, dmean, self.Rmean_params, self.Rhs, Rdmean)
        return np.concatenate([Rdmean_params, Rdlog_std], axis=-1)


def init_mlp(mlp, rng, scale=0.1):
    """Weights from a normal of deviation `scale` cut at two deviations, biases 0. (num_params,)

    The inverse-distribution method: u uniform between Φ(−2) and Φ(2), then Φ⁻¹(u).
    """
    params = np.zeros(mlp.num_params)
    for W, _ in mlp.layers(params):
        W[:] = scale * ndtri(rng.uniform(ndtr(-2), ndtr(2), W.shape))
    return params


def check_rows(name, rows, width):
    """Raise ValueError unless `rows` is (N, width), or (M, N, width) for M tasks. Returns () or (M,)."""
    tasks = np.shape(rows)[:-2]
    check_shape(name, rows, (*tasks, "N", width))
    return tasks


def check_params(name, params, size, tasks):
    """Raise ValueError unless `params` is (size,), for all tasks, or has one row for each task."""
    check_shape(name, params, (size,) if np.ndim(params) < 2 else (*tasks, size))


def check_shape(name, array, expected):
    """Raise ValueError unless `array` has the expected shape; a letter stands for any length."""
    shape = np.shape(array)
    if len(shape) != len(expected) or any(isinstance(n, int) and n != m for n, m in zip(expected, shape)):
        wanted = "(" + ", ".join(str(n) for n in expected) + ("," if len(expected) == 1 else "") + ")"
        raise ValueError(f"{name}: expected shape {wanted}; given {shape}")
