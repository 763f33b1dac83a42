"""Functions with right gradients, drawn from a seed: what a gradient checker should have nothing to say against.

Each kind is φ of a vector u and its gradient, for real and complex numbers alike. A problem puts it at another scale,

    f(x) = c φ(x / s),  ∇f(x) = c ∇φ(x / s) / s                                            (problems.1)

with s for each coordinate. A `Network` is one whose parts can be had by themselves.
"""

from typing import NamedTuple

import numpy as np


def _quadratic(rng, n):
    A, b = rng.normal(size=(n + 2, n)) / np.sqrt(n), rng.normal(size=n + 2)
    return lambda u, A=A, b=b: (0.5 * np.sum((A @ u - b) ** 2), A.T @ (A @ u - b))


def _logistic(rng, n):
    A = rng.normal(size=(20, n)) / np.sqrt(n)
    return lambda u, A=A: (np.sum(np.log(1 + np.exp(A @ u))), A.T @ (1 / (1 + np.exp(-(A @ u)))))


def _softmax(rng, n):
    A = rng.normal(size=(10, n)) / np.sqrt(n)

    def value_and_gradient(u):
        e = np.exp(A @ u)
        return np.log(np.sum(e)), A.T @ (e / np.sum(e))

    return value_and_gradient


def _rosenbrock(rng, n):
    a = rng.uniform(1, 10)

    def value_and_gradient(u):
        bend = u[1:] - u[:-1] ** 2
        g = np.concatenate([2 * (u[:-1] - 1) - 4 * a * u[:-1] * bend, 0 * u[:1]])
        g[1:] += 2 * a * bend
        return np.sum(a * bend**2 + (u[:-1] - 1) ** 2) if n > 1 else 0 * u[0], g

    return value_and_gradient


def _waves(rng, n):
    c, w = rng.normal(size=n), rng.uniform(0.5, 3, size=n)
    return lambda u, c=c, w=w: (np.sum(c * u * np.cos(w * u)), c * (np.cos(w * u) - w * u * np.sin(w * u)))


def _rational(rng, n):
    c = rng.normal(size=n)
    return lambda u, c=c: (np.sum(c * u**2 / (1 + u**2)), 2 * c * u / (1 + u**2) ** 2)


def _logarithm(rng, n):
    c = rng.normal(size=n)
    return lambda u, c=c: (np.sum(c * np.log(u * u)), 2 * c / u)


def _likelihood(rng, n):
    """−log of Gaussians whose means and log standard deviations are u."""
    a = rng.normal(size=(5, (n + 1) // 2))

    def value_and_gradient(u):
        mean, log_std = u[: (n + 1) // 2], np.zeros_like(u[: (n + 1) // 2])
        log_std[: n // 2] = u[(n + 1) // 2:]
        e = (a - mean) * np.exp(-log_std)
        g = np.concatenate([-np.sum(e * np.exp(-log_std), axis=0), (len(a) - np.sum(e * e, axis=0))[: n // 2]])
        return np.sum(e * e / 2 + log_std), g

    return value_and_gradient


def _network(rng, n):
    """Squared error of tanh units: u are their weights, three each, and the sum of their outputs is fitted."""
    x, y = rng.normal(size=(8, 3)), rng.normal(size=8)
    units = -(-n // 3)

    def value_and_gradient(u):
        W = np.concatenate([u, np.zeros_like(u, shape=3 * units - n)]).reshape(3, units)
        h = np.tanh(x @ W)
        error = h.sum(axis=1) / np.sqrt(units) - y
        g = x.T @ (error[:, None] * (1 - h * h)) / np.sqrt(units)
        return 0.5 * np.sum(error**2), g.ravel()[:n]

    return value_and_gradient


KINDS = {"quadratic": _quadratic, "logistic": _logistic, "softmax": _softmax, "rosenbrock": _rosenbrock,
         "waves": _waves, "rational": _rational,
         "logarithm": _logarithm, "likelihood": _likelihood, "network": _network}


class Problem(NamedTuple):
    f: object  # x ↦ a number
    gradient: object  # x ↦ (n,), right
    x: np.ndarray  # (n,)
    name: str
    real: bool  # whether f refuses complex numbers


def problem(kind="network", seed=0, size=10, scale=1.0, dtype="float64", real=False, spread=0.0, height=1.0):
    """A problem of this kind, the same for the same arguments.

    scale : of x; spread : the coordinates' own scales differ by up to 10^±spread; height : c of (problems.1)
    real : whether f refuses complex numbers
    """
    rng = np.random.default_rng(seed)
    value_and_gradient = KINDS[kind](rng, size)
    s = (scale * 10.0 ** rng.uniform(-spread, spread, size=size)).astype(dtype)
    x = (s * rng.normal(size=size)).astype(dtype)

    def scaled(x):
        value, gradient = value_and_gradient(x / s)
        return np.asarray(height * value), height * gradient / s

    def f(x):
        if real and np.iscomplexobj(x):
            raise TypeError("f takes real numbers")
        return scaled(x)[0]

    def gradient(x):
        return scaled(x)[1].astype(x.dtype)

    return Problem(f, gradient, x, f"{kind}, {size} numbers of size {scale:.0e} ± {spread:.0f} digits, {dtype}",
                   real)


# Value and slope, the slope by the value's own argument z; and how near z is to a kink, where there is one.
ACTIVATIONS = {
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.where(z.real > 0, z, 0), lambda z: (z.real > 0) + 0 * z),
    "identity": (lambda z: z, np.ones_like),
}
MARGIN = 1e-3


class Network(NamedTuple):
    """A multi-layer perceptron, ½ ‖its outputs − targets‖², and the gradient of that, by backpropagation."""

    params: list  # [W (n_in, n_out), b (n_out,), …], layer by layer
    x: np.ndarray  # (N, n_0)
    targets: np.ndarray  # (N, n_L)
    activation: str

    def inputs(self, params):
        """z = h W + b of each layer, and the h that went in."""
        hs, zs = [self.x], []
        for W, b in zip(params[::2], params[1::2]):
            zs.append(hs[-1] @ W + b)
            hs.append(ACTIVATIONS[self.activation][0](zs[-1]))
        return zs, hs

    def loss(self, params):
        return 0.5 * np.sum((self.inputs(params)[0][-1] - self.targets) ** 2)

    def gradient(self, params):
        zs, hs = self.inputs(params)
        dz, gradient = zs[-1] - self.targets, []
        for layer in reversed(range(len(zs))):
            gradient = [hs[layer].T @ dz, dz.sum(axis=0), *gradient]
            if layer:
                dz = dz @ params[2 * layer].T * ACTIVATIONS[self.activation][1](zs[layer - 1])
        return gradient


def network(seed=0, activation="tanh", depth=2, width=4, inputs=3, outputs=2, rows=6, scale=0.5):
    """A Network of `depth` hidden layers, drawn again until no hidden relu is within MARGIN of its kink."""
    sizes = [inputs, *[width] * depth, outputs]
    for attempt in range(1000):
        rng = np.random.default_rng((seed, attempt))
        params = [scale * rng.normal(size=shape) for pair in zip(sizes, sizes[1:]) for shape in (pair, pair[1:])]
        drawn = Network(params, rng.normal(size=(rows, inputs)), rng.normal(size=(rows, outputs)), activation)
        hidden = drawn.inputs(params)[0][:-1]
        if activation != "relu" or all(np.abs(z).min() > MARGIN for z in hidden):
            return drawn
    raise ValueError(f"network: none of 1,000 was away from its kinks, with {rows} rows and {depth} layers of {width}")
