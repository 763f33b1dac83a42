"""What the tests draw. Hypothesis draws shapes, seeds and scales; NumPy draws Gaussian data from the seed.

(Arrays of floats drawn by hypothesis itself are mostly constant, and a constant array hides mistakes.)

Each `…_case` is an ordinary function with defaults, for tests that want one good example; each `…_cases`
is the strategy over its arguments. Data are drawn again where they would ask too much of any oracle: a
hidden relu unit within `MARGIN` of its kink, which a finite difference could cross, or an adaptation step
longer than `LONGEST_STEP`, after which composed steps grow like a tower of exponentials.
"""

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import strategies as st

from minorml.advantage import AdvantageNetwork
from minorml.gradcheck import central_difference, complex_step
from minorml.meta import Batch, MetaParameters, adapt
from minorml.methods import METHODS
from minorml.mlp import ACTIVATIONS, MLP
from minorml.policy import GaussianPolicy

MARGIN = 1e-3
LONGEST_STEP = 1.0

# Ratio and sign of Â: rows on which the clip at 0.8 and 1.2 acts (the third and fourth), and the rows beside them.
RATIOS_AND_SIGNS = np.array([(1.0, 1), (0.6, 1), (0.6, -1), (1.5, 1), (1.5, -1), (1.0, -1)])


def proved_twice(test):
    """Mark a proof, and run it against both oracles, as arguments `derivative` and `rtol`.

    The complex step is exact but for rounding: 1e-12 leaves room for some thousand rounded operations. The
    central difference has an error near ε^⅔ ≈ 4e-11 times the ratio of f'''/f' or f/f'; 1e-6 allows for
    ratios in the tens of thousands.
    """
    oracles = [pytest.param(complex_step, 1e-12, id="complex_step"),
               pytest.param(central_difference, 1e-6, id="central_difference")]
    return pytest.mark.gradients(pytest.mark.parametrize("derivative, rtol", oracles)(test))


def flat(*arrays):
    """All elements, as one vector."""
    return np.concatenate([np.ravel(x) for x in arrays])


def packed(f, *arrays):
    """f(*arrays) as a function of one vector, and that vector: for derivatives in several arguments at once."""
    ends = np.cumsum([x.size for x in arrays])[:-1]

    def packed_f(vector):
        return f(*(part.reshape(x.shape) for part, x in zip(np.split(vector, ends), arrays)))

    return packed_f, flat(*arrays)


def along_all(f, v):
    """f along v and along every unit vector, stacked: a whole matrix, beside which a small f(v) may be inexact."""
    return np.array([f(direction) for direction in (v, *np.eye(v.size))])


def activation_name(mlp):
    """The name under which an MLP's activation was asked for."""
    return next(name for name, functions in ACTIVATIONS.items() if functions is mlp.activation)


def cast(data, dtype):
    """The same case, batch or array with every array of another dtype."""
    if isinstance(data, np.ndarray):
        return data.astype(dtype)
    if isinstance(data, list):
        return [cast(each, dtype) for each in data]
    if hasattr(data, "_fields"):
        return type(data)(*(cast(each, dtype) for each in data))
    return data


def clear_of_kinks(mlp, params, x):
    """Whether every hidden unit has |z| > MARGIN on every row; smooth activations have no kinks."""
    if mlp.activation is not ACTIVATIONS["relu"]:
        return True
    hidden = zip(mlp.forward(params, x), mlp.layers(params)[:-1])
    return all(np.abs(h @ W + b).min() > MARGIN for h, (W, b) in hidden)


def _first_good(draw, seed):
    """draw: rng ↦ (case, whether it is a good one). The first good one, the same for the same seed."""
    attempts = (draw(np.random.default_rng((seed, attempt))) for attempt in itertools.count())
    return next(case for case, good in attempts if good)


class NetworkCase(NamedTuple):
    mlp: MLP
    params: np.ndarray  # (num_params,)
    x: np.ndarray  # (N, n_0)
    dy: np.ndarray  # (N, n_L)
    v: np.ndarray  # (num_params,) a direction for params
    Rdy: np.ndarray  # (N, n_L) and one for dy


def network_case(seed=0, activation="tanh", depth=2, width=4, num_rows=6, n_in=3, n_out=2, scale=0.5):
    def draw(rng):
        mlp = MLP((n_in, *[width] * depth, n_out), activation)
        params, v = scale * rng.normal(size=(2, mlp.num_params))
        x, (dy, Rdy) = rng.normal(size=(num_rows, n_in)), rng.normal(size=(2, num_rows, n_out))
        return NetworkCase(mlp, params, x, dy, v, Rdy), clear_of_kinks(mlp, params, x)

    return _first_good(draw, seed)


class PolicyCase(NamedTuple):
    policy: GaussianPolicy
    laf: AdvantageNetwork
    theta: np.ndarray  # (P,)
    psi: np.ndarray  # (Q,)
    s: np.ndarray  # (N, S)
    a: np.ndarray  # (N, U)
    next_s: np.ndarray  # (N, S)
    w: np.ndarray  # (N,) weights or advantages
    Rw: np.ndarray  # (N,) a direction for w
    v: np.ndarray  # (P,) and one for theta


def policy_case(seed=0, activation="tanh", depth=2, width=4, num_rows=6, obs_dim=3, act_dim=2, scale=0.5):
    """A policy, a learned advantage function, and transitions whose actions the policy itself could have taken."""
    def draw(rng):
        policy, laf = _policy_and_laf(obs_dim, act_dim, [width] * depth, activation)
        theta, v = scale * rng.normal(size=(2, policy.num_params))
        psi = scale * rng.normal(size=laf.num_params)
        s, a, next_s = _transitions(rng, policy, theta, num_rows)
        w, Rw = rng.normal(size=(2, num_rows))
        good = _clear_of_kinks(policy, theta, laf, psi, Batch(s, a, next_s))
        return PolicyCase(policy, laf, theta, psi, s, a, next_s, w, Rw, v), good

    return _first_good(draw, seed)


class MetaCase(NamedTuple):
    policy: GaussianPolicy
    laf: AdvantageNetwork
    method: tuple  # a row of METHODS
    meta: MetaParameters
    pre: list[Batch]  # one for each adaptation step
    post: Batch


def meta_case(method="norml", seed=0, activation="tanh", depth=1, num_steps=1, width=4, num_rows=6,
              obs_dim=3, act_dim=2, scale=0.5):
    """One task of a meta-batch. Every batch carries log-probabilities near, not at, those of its policy.

    So the sampling policies are constants, the inner ratios are not 1, and the outer clip acts on some rows
    and not on others (`ratios`). Steps and offsets are small: three composed steps stay well-conditioned.
    """
    def draw(rng):
        policy, laf = _policy_and_laf(obs_dim, act_dim, [width] * depth, activation)
        meta = MetaParameters(theta=scale * rng.normal(size=policy.num_params),
                              offset=0.1 * rng.normal(size=policy.num_params),
                              psi=scale * rng.normal(size=laf.num_params),
                              alpha=rng.uniform(0.02, 0.1, size=policy.num_params))
        theta, pre = meta.theta, []
        for _ in range(num_steps):
            batch = _batch(rng, policy, theta, rng.normal(size=num_rows), np.exp(0.2 * rng.normal(size=num_rows)))
            pre.append(batch)
            here = meta._replace(theta=theta)
            theta, _ = adapt(policy, laf, METHODS[method], here, batch)
            step = np.linalg.norm(theta - here.theta - here.offset)
            if step > LONGEST_STEP or not _clear_of_kinks(policy, here.theta, laf, meta.psi, batch):
                return None, False
        ratio, sign = ratios(rng, num_rows)
        post = _batch(rng, policy, theta, sign * (0.5 + rng.random(num_rows)), ratio)
        good = _clear_of_kinks(policy, theta, laf, meta.psi, post)
        return MetaCase(policy, laf, METHODS[method], meta, pre, post), good

    return _first_good(draw, seed)


def ratios(rng, num_rows):
    """Ratios at least 0.09 away from 0.8 and from 1.2, and signs of the advantages beside them, (N,) and (N,)."""
    ratio, sign = np.resize(RATIOS_AND_SIGNS, (num_rows, 2)).T
    return ratio * np.exp(rng.uniform(-0.1, 0.1, num_rows)), sign


def _policy_and_laf(obs_dim, act_dim, hidden, activation):
    return (GaussianPolicy(obs_dim, act_dim, hidden, activation),
            AdvantageNetwork(obs_dim, act_dim, hidden, activation))


def _clear_of_kinks(policy, theta, laf, psi, batch):
    return (clear_of_kinks(policy.mlp, policy.split(theta)[0], batch.states)
            and clear_of_kinks(laf.mlp, psi, np.hstack(batch[:3])))


def _transitions(rng, policy, theta, num_rows):
    s, next_s = rng.normal(size=(2, num_rows, policy.obs_dim))
    a, _ = policy.sample(theta[None], s[None], rng.normal(size=(1, num_rows, policy.act_dim)))
    return s, a[0], next_s


def _batch(rng, policy, theta, advantages, ratio):
    """Transitions, and log-probabilities such that π_θ / π_old is `ratio`."""
    s, a, next_s = _transitions(rng, policy, theta, len(ratio))
    return Batch(s, a, next_s, advantages, policy.log_prob(theta, s, a) - np.log(ratio))


_SHAPES = dict(
    seed=st.integers(0, 2**32 - 1),
    activation=st.sampled_from(list(ACTIVATIONS)),
    depth=st.integers(1, 3),
    width=st.integers(1, 5),
    num_rows=st.integers(1, 7),
    scale=st.floats(0.3, 1),
)
_DIMS = dict(obs_dim=st.integers(1, 4), act_dim=st.integers(1, 3))

network_cases = st.builds(network_case, **_SHAPES | dict(depth=st.integers(0, 3)),
                          n_in=st.integers(1, 4), n_out=st.integers(1, 3))
policy_cases = st.builds(policy_case, **_SHAPES, **_DIMS)
# Finite differences of composed steps lose their digits at larger scales: see test_meta for what is proved there. Each
# depth has kernels of its own to compile; `network_cases` and `policy_cases` have more of them.
meta_cases = st.builds(meta_case, st.sampled_from(list(METHODS)), num_steps=st.integers(1, 3),
                       **_SHAPES | dict(scale=st.floats(0.3, 0.5), depth=st.integers(1, 2)), **_DIMS)
