"""A policy as a file that a robot runs: ONNX, C, or NumPy arrays.

    x = s / obs_scale
    h_0 = x,    h_l = f(h_{l-1} W_l + b_l),    μ = h_{L-1} W_L + b_L                       as in (mlp.1)
    mean action          μ ∘ action_scale + action_offset
    standard deviation   e^{θ_σ} ∘ action_scale

Observations s and actions are in the environment's own units, and so is the standard deviation: an exploring robot adds
it, times standard normal noise, to the mean action.

| suffix     | what it holds                                                                                         |
|------------|-------------------------------------------------------------------------------------------------------|
| `.onnx`    | input `observation` (N, S); outputs `action` (N, U), the mean, and `standard_deviation` (U,); float32  |
| `.c`, `.h` | C99 functions `act` and `act_with_noise`; float32; see `c_source`                                      |
| `.npz`     | the arrays of `Network`, `log_std` (U,), and `manifest`, JSON text that names the activation           |
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..policy import check_shape
from ..runs import checkpoints
from ..runs.version import __version__
from .c_source import c_source


class Network(NamedTuple):
    """All that a policy computes with, scales included. S observations, U actions, layer l of n_l units."""

    activation: str  # "tanh", "relu" or "identity", of the hidden layers
    weights: list  # [W_l (n_{l-1}, n_l)]
    biases: list  # [b_l (n_l,)]
    obs_scale: np.ndarray  # (S,)
    action_scale: np.ndarray  # (U,)
    action_offset: np.ndarray  # (U,)
    standard_deviation: np.ndarray  # (U,) of the action, in the environment's units

    @classmethod
    def of(cls, policy):
        """Take a policy apart: weights in its own dtype, the rest in float64."""
        mlp = policy.family.mlp
        S, U = mlp.sizes[0], mlp.sizes[-1]
        check_shape("theta", policy.theta, (policy.family.num_params,))
        mean_params, log_std = policy.family.split(policy.theta)
        layers = mlp.layers(mean_params)
        action_scale = _vector("action_scale", policy.action_scale, U, default=1.0)
        with np.errstate(over="ignore"):  # an infinite one is told of below
            standard_deviation = np.exp(log_std.astype(np.float64)) * action_scale
        return cls(mlp.activation.name,
                   [W for W, _ in layers],
                   [b[0] for _, b in layers],
                   _vector("obs_scale", policy.obs_scale, S, default=1.0),
                   action_scale,
                   _vector("action_offset", getattr(policy, "action_offset", ()), U, default=0.0),
                   standard_deviation)._checked()

    def float32(self):
        """The same in float32; ValueError where a number is beyond its range."""
        def cast(array):
            return array.astype(np.float32)

        with np.errstate(over="ignore"):  # as above
            return Network(self.activation, [cast(W) for W in self.weights], [cast(b) for b in self.biases],
                           *map(cast, self[3:]))._checked()

    @property
    def sizes(self):
        """S, n_1, …, U."""
        return (len(self.obs_scale), *(len(b) for b in self.biases))

    def arrays(self):
        """Its arrays by name: W1, b1, W2, …, obs_scale, …."""
        layers = {f"{letter}{l}": array for l, pair in enumerate(zip(self.weights, self.biases), start=1)
                  for letter, array in zip("Wb", pair)}
        return layers | {name: getattr(self, name) for name in self._fields[3:]}

    def _checked(self):
        """Itself; ValueError where it has a number that cannot be computed with."""
        for name, array in self.arrays().items():
            positive = name in ("obs_scale", "action_scale", "standard_deviation")
            good = np.isfinite(array) & ((array > 0) | (not positive))
            if not good.all():
                raise ValueError(f"{name}: expected {'positive ' * positive}finite numbers in {array.dtype}; "
                                 f"given {array[~good][0]}")
        return self


def _vector(name, values, size, default):
    """A scale or an offset, one number for each coordinate; nothing given stands for `default`. (size,)"""
    if not len(values):
        return np.full(size, default)
    check_shape(name, values, (size,))
    return np.asarray(values, np.float64)


def export(policy, path):
    """Write a policy to a file that runs without minorml; the suffix says which kind: see the table above.

    Parameters
    ----------
    policy : with `family` (GaussianPolicy), `theta` (P,), `obs_scale` (S,) or (), `action_scale` (U,) or () and, where
        it has one, `action_offset` (U,) or ()
    path : ends in .onnx, .c, .h or .npz; a file that is there is replaced, as a whole or not at all

    Raises
    ------
    ValueError : another suffix; a parameter, scale or standard deviation that float32 cannot hold
    ImportError : .onnx without the package `onnx`
    OSError : the file cannot be written
    """
    path = Path(path)
    if path.suffix not in WRITERS:
        raise ValueError(f"export: expected a file that ends in .onnx, .c (or .h) or .npz; given {str(path)!r}")
    WRITERS[path.suffix](policy, path)


def _write_onnx(policy, path):
    checkpoints.write_atomically(path, onnx_model(Network.of(policy).float32()).SerializeToString())


def _write_c(policy, path):
    checkpoints.write_atomically(path, c_source(Network.of(policy).float32(), path.name).encode("ascii"))


def _write_npz(policy, path):
    network = Network.of(policy)
    arrays = network.arrays() | {"log_std": policy.family.split(policy.theta)[1]}  # with the weights, θ to the last bit
    checkpoints.write(path, arrays, activation=network.activation, minorml=__version__)


WRITERS = {".onnx": _write_onnx, ".c": _write_c, ".h": _write_c, ".npz": _write_npz}


def onnx_model(network):
    """The ONNX model of a Network in float32: any number N of observations at a time."""
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError:
        raise ImportError("export to .onnx needs onnx: pip install 'minorml[onnx]'") from None
    node, last = helper.make_node, len(network.weights)
    nodes = [node("Div", ["observation", "obs_scale"], ["h0"])]
    for l in range(1, last + 1):
        linear = l == last or network.activation == "identity"
        nodes.append(node("Gemm", [f"h{l - 1}", f"W{l}", f"b{l}"], [f"h{l}" if linear else f"z{l}"]))
        if not linear:
            nodes.append(node(ONNX_ACTIVATIONS[network.activation], [f"z{l}"], [f"h{l}"]))
    nodes += [node("Mul", [f"h{last}", "action_scale"], ["scaled"]),
              node("Add", ["scaled", "action_offset"], ["action"]),
              node("Identity", ["deviation"], ["standard_deviation"])]  # an output has to come from a node

    def tensor(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    constants = network.arrays()
    constants["deviation"] = constants.pop("standard_deviation")
    graph = helper.make_graph(
        nodes, "policy", [tensor("observation", "N", network.sizes[0])],
        [tensor("action", "N", network.sizes[-1]), tensor("standard_deviation", network.sizes[-1])],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in constants.items()])
    # Old versions of the format, which hold all that is needed: old runtimes read them, and so do new ones.
    model = helper.make_model(graph, producer_name="minorml", producer_version=__version__, ir_version=8,
                              opset_imports=[helper.make_opsetid("", 13)])
    checker.check_model(model, full_check=True)
    return model


ONNX_ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu"}
