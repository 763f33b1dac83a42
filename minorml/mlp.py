"""A multi-layer perceptron on a flat parameter vector, and its first and second derivatives.

    h_0 = x,    z_l = h_{l-1} W_l + b_l,    h_l = f(z_l)  (l < L),    y = z_L                     (mlp.1)

    N rows, n_l units in layer l.   x (N, n_0),   W_l (n_{l-1}, n_l),   b_l (n_l,),   y (N, n_L)
    parameters: W_1 row by row, b_1, W_2, b_2, …, W_L, b_L in one flat vector

Three derivatives follow from (mlp.1), each line for line with the forward pass:

    vjp           dy ↦ Σ_n dy_n · ∂y_n/∂p          one sweep down                           (mlp.2), (mlp.3)
    jvp           v  ↦ ∂y/∂p v                     one sweep up                                      (mlp.4)
    vjp_tangent   derivative of the vjp along v    one sweep down beside the vjp's                   (mlp.5)

Several tasks can go through together. Arrays then have an axis of tasks before the others: parameters
(M, num_params), rows (M, N, n). An array without that axis is used for all tasks.

`dx` is ∂L/∂x. `Rx` is the derivative of x when the parameters move along v: Pearlmutter's R-operator
(B. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6, 1994).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .kernels.recurrences import outer_rows


class Activation(NamedTuple):
    """An element-wise function f and its derivatives, all written in terms of its output h = f(z).

    The Jacobian of f is the diagonal f'(z), so one function, x ↦ x ∘ f'(z), is the vjp and the jvp both.
    """

    name: str
    value: Callable  # z ↦ f(z)
    times_slope: Callable  # x, h ↦ x ∘ f'(z)
    times_slope_tangent: Callable  # x, Rx, h, Rh ↦ R{x ∘ f'(z)} = Rx ∘ f'(z) + x ∘ f''(z) ∘ Rz


def tanh_times_slope(x, h):
    """x ∘ f' = x ∘ (1 − h²)"""
    return x - x * h * h


def tanh_times_slope_tangent(x, Rx, h, Rh):
    """R{x − x h²} = Rx − Rx h² − 2 x h Rh,  where f''(z) Rz = −2 h Rh"""
    return Rx - Rx * h * h - (x + x) * h * Rh


def relu(z):
    """max(z, 0); NaN stays NaN"""
    return np.where(z.real <= 0, 0, z)


def relu_times_slope(x, h):
    """f' = 1 where h > 0, else 0 (also at the kink)"""
    return np.where(h.real <= 0, 0, x)


ACTIVATIONS = {row.name: row for row in [
    Activation("tanh", np.tanh, tanh_times_slope, tanh_times_slope_tangent),
    Activation("relu", relu, relu_times_slope, lambda x, Rx, h, Rh: relu_times_slope(Rx, h)),  # f'' = 0
    Activation("identity", lambda z: z, lambda x, h: x, lambda x, Rx, h, Rh: Rx),
]}


class MLP:
    """The map (mlp.1) from parameters and inputs to outputs.

    Parameters
    ----------
    sizes : n_0, n_1, …, n_L: the widths of input, hidden layers and output
    activation : "tanh", "relu" or "identity", used in the hidden layers
    """

    def __init__(self, sizes, activation="tanh"):
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation: expected one of {', '.join(ACTIVATIONS)}; given {activation!r}")
        sizes = tuple(int(n) for n in sizes)
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"sizes: expected two or more positive layer widths; given {sizes}")
        self.sizes = sizes
        self.activation = ACTIVATIONS[activation]
        self.num_params = sum(n_in * n_out + n_out for n_in, n_out in zip(sizes, sizes[1:]))

    def layers(self, params):
        """[(W_l, b_l)]: views into a flat vector (num_params,), or into a stack of them (M, num_params)."""
        views, start = [], 0
        for n_in, n_out in zip(self.sizes, self.sizes[1:]):
            end = start + n_in * n_out
            W = params[..., start:end].reshape(params.shape[:-1] + (n_in, n_out))
            b = params[..., None, end:end + n_out]  # (…, 1, n_out): one row, for every row of z
            views.append((W, b))
            start = end + n_out
        return views

    def forward(self, params, x):
        """(mlp.1) → [h_0, h_1, …, y], all that the derivatives need."""
        *hidden, (W, b) = self.layers(params)
        hs = [x]
        for W_l, b_l in hidden:
            hs.append(self.activation.value(hs[-1] @ W_l + b_l))  # (N, n_l)
        hs.append(hs[-1] @ W + b)  # (N, n_L)
        return hs

    def deltas(self, params, hs, dy):
        """One sweep down → ([∂L/∂h_1, …], [∂L/∂z_1, …, ∂L/∂z_L]), which a vjp and its derivative share.

            dz_L = dy,    dh_l = dz_{l+1} W_{l+1}ᵀ,    dz_l = dh_l ∘ f'(z_l)                       (mlp.2)
        """
        dhs, dzs = [], [dy]
        for l in reversed(range(1, len(self.sizes) - 1)):
            W, _ = self.layers(params)[l]
            dhs.append(dzs[-1] @ transpose(W))  # (N, n_l)
            dzs.append(self.activation.times_slope(dhs[-1], hs[l]))
        return dhs[::-1], dzs[::-1]

    def vjp(self, params, hs, dy):
        """Σ_n dy_n · ∂y_n/∂p, (num_params,).

            dW_l = h_{l-1}ᵀ dz_l,    db_l = Σ_n dz_l                                              (mlp.3)
        """
        _, dzs = self.deltas(params, hs, dy)
        return flat([(transpose(h) @ dz, sum_rows(dz)) for h, dz in zip(hs, dzs)])

    def vjp_rows(self, params, hs, dy):
        """dy_n · ∂y_n/∂p for each row n: (mlp.3) without its sum over rows, (N, num_params)."""
        dparams = np.empty((len(dy), self.num_params), np.result_type(params, *hs, dy))
        for (dW, db), h, dz in zip(self.layers(dparams), hs, self.deltas(params, hs, dy)[1]):
            outer_rows(h, dz, dW)  # dW (N, n_{l-1}, n_l)
            db[:, 0] = dz  # db (N, 1, n_l)
        return dparams

    def jvp(self, params, hs, v):
        """∂y/∂p v, as [Rh_0, Rh_1, …, Ry].

        With v = (V_1, c_1, …), differentiating (mlp.1) along v, going up from Rh_0 = 0:

            Rz_l = Rh_{l-1} W_l + h_{l-1} V_l + c_l,    Rh_l = f'(z_l) ∘ Rz_l                     (mlp.4)
        """
        layers, directions = self.layers(params), self.layers(v)
        Rhs = [None]  # the input does not move
        for l, ((W, _), (V, c)) in enumerate(zip(layers, directions)):
            Rz = hs[l] @ V + c
            if l > 0:
                Rz = Rz + Rhs[l] @ W
            Rhs.append(self.activation.times_slope(Rz, hs[l + 1]) if l + 1 < len(layers) else Rz)
        return Rhs

    def vjp_tangent(self, params, hs, dy, v, Rhs, Rdy):
        """R{vjp}: the derivative of (mlp.3) when the parameters move along v and dy along Rdy. (num_params,)

        The product rule on each line of (mlp.2) and (mlp.3), going down from Rdz_L = Rdy:

            RdW_l = Rh_{l-1}ᵀ dz_l + h_{l-1}ᵀ Rdz_l,    Rdb_l = Σ_n Rdz_l                         (mlp.5)
            Rdh_l = Rdz_{l+1} W_{l+1}ᵀ + dz_{l+1} V_{l+1}ᵀ
            Rdz_l = Rdh_l ∘ f'(z_l) + dh_l ∘ f''(z_l) ∘ Rz_l
        """
        dhs, dzs = self.deltas(params, hs, dy)
        layers, directions = self.layers(params), self.layers(v)
        Rdz, Rdlayers = Rdy, []
        for l in reversed(range(len(layers))):
            RdW = transpose(hs[l]) @ Rdz
            if l > 0:
                RdW = RdW + transpose(Rhs[l]) @ dzs[l]
            Rdlayers.append((RdW, sum_rows(Rdz)))
            if l > 0:
                Rdh = Rdz @ transpose(layers[l][0]) + dzs[l] @ transpose(directions[l][0])
                Rdz = self.activation.times_slope_tangent(dhs[l - 1], Rdh, hs[l], Rhs[l])
        return flat(Rdlayers[::-1])


def transpose(x):
    """The transposes of a stack of matrices."""
    return x.swapaxes(-1, -2)


def sum_rows(dz):
    """Σ_n dz_n: (…, N, n) → (…, n)."""
    return dz.sum(axis=-2)


def flat(layers):
    """[(dW_l, db_l)] in the order of the parameters: (…, num_params)."""
    return np.concatenate([part for dW, db in layers for part in (dW.reshape(*db.shape[:-1], -1), db)], axis=-1)
