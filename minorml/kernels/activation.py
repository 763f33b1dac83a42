"""Activation functions and their slopes, in place; compiled into the passes of `minorml/kernels/network.py`.

Their formulas are `ACTIVATIONS` of `minorml/mlp.py`.
"""

import math

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .registry import helper
from .tile import VECTOR_BYTES

IDENTITY, RELU, TANH = range(3)
NUMBERS = {"identity": IDENTITY, "relu": RELU, "tanh": TANH}
FACTORIALS = tuple(float(math.factorial(n)) for n in range(14))


@intrinsic
def _in_wide_vectors(typing_context):
    """Compile the calling function for vectors as wide as the registers. LLVM by itself prefers half of AVX-512's."""
    def emit(context, builder, signature, args):
        set.add(builder.function.attributes, f'"prefer-vector-width"="{8 * VECTOR_BYTES}"')
        return context.get_dummy_value()

    return types.void(), emit


@intrinsic
def _two_to_the(typing_context, t):
    """2^k for t = 1.5 · 2^m + k, where m is the number of bits of the mantissa: k is then in the last bits of t."""
    def emit(context, builder, signature, args):
        number, integer = context.get_data_type(t), ir.IntType(t.bitwidth)
        mantissa, bias = (23, 127) if t.bitwidth == 32 else (52, 1023)
        exponent = builder.add(builder.bitcast(args[0], integer), integer(bias))
        return builder.bitcast(builder.shl(exponent, integer(mantissa)), number)

    return t(t), emit


@helper
def _tanh(zs):
    """tanh in place, to 3 units in the last place.

    With y = 2|z| = k ln 2 + r, |r| ≤ ½ ln 2:  m = e^y − 1 = 2^k (e^r − 1) + (2^k − 1),  tanh |z| = m / (m + 2).
    e^r − 1 is its Taylor series; for small z k is 0, and nothing cancels.
    """
    _in_wide_vectors()
    number = zs.dtype.type
    wide = zs.itemsize == 8
    whole = number(1.5 * 2.0**52 if wide else 1.5 * 2.0**23)  # what is added to it is rounded to a whole number
    ln2_high = number(0.693147180369123816490 if wide else 0.693359375)  # few bits: its product with k is exact
    ln2_low = number(1.90821492927058770002e-10 if wide else -2.12194440054690583e-4)
    for i in range(zs.size):
        y = abs(zs[i]) * number(2)
        y = number(60) if y > number(60) else y  # tanh is 1 long before; NaN stays NaN
        t = y * number(1 / math.log(2)) + whole
        r = (y - (t - whole) * ln2_high) - (t - whole) * ln2_low
        p = number(0)
        if wide:
            for n in (13, 12, 11, 10, 9, 8):
                p = p * r + number(1 / FACTORIALS[n])
        for n in (7, 6, 5, 4, 3, 2):
            p = p * r + number(1 / FACTORIALS[n])
        p = p * r * r + r
        power = _two_to_the(t)
        m = power * p + (power - number(1))
        zs[i] = math.copysign(m / (m + number(2)), zs[i])


@helper
def activate(activation, z):
    zs = z.ravel()
    if activation == TANH:
        _tanh(zs)
    elif activation == RELU:
        for i in range(zs.size):
            zs[i] = zs[i] if not zs[i] <= 0 else 0  # NaN stays NaN


@helper
def times_slope(activation, x, h):
    _in_wide_vectors()
    xs, hs = x.ravel(), h.ravel()
    if activation == TANH:
        for i in range(xs.size):
            xs[i] -= xs[i] * hs[i] * hs[i]
    elif activation == RELU:
        for i in range(xs.size):
            xs[i] = xs[i] if not hs[i] <= 0 else 0


@helper
def times_slope_tangent(activation, x, Rx, h, Rh):
    """x becomes x ∘ f', and Rx its tangent."""
    _in_wide_vectors()
    xs, Rxs, hs, Rhs = x.ravel(), Rx.ravel(), h.ravel(), Rh.ravel()
    if activation == TANH:
        one = h.dtype.type(1)
        for i in range(xs.size):
            slope = one - hs[i] * hs[i]
            Rxs[i] = Rxs[i] * slope - (xs[i] + xs[i]) * hs[i] * Rhs[i]
            xs[i] *= slope
    else:
        times_slope(activation, x, h)
        times_slope(activation, Rx, h)


if numba.config.DISABLE_JIT:  # no intrinsics then
    def _in_wide_vectors():  # noqa: F811
        pass

    def _tanh(zs):  # noqa: F811
        np.tanh(zs, out=zs)
