"""Hypothesis strategies for tests of derivatives. They need hypothesis, which the rest of `gradcheck` does not.

Hypothesis draws shapes, seeds and scales, and NumPy draws Gaussian data from the seed: arrays of floats that Hypothesis
draws itself are mostly constant, and a constant array hides mistakes. A failing example shrinks to few numbers, of
size 1, from seed 0.

    @given(gaussian(shapes(2), scale=scales()))
    def test_my_gradient(x):
        assert check(f, x, gradient=g)
"""

import numpy as np
from hypothesis import strategies as st

from .problems import ACTIVATIONS, KINDS, network, problem

seeds = st.integers(0, 2**32 - 1)
# Each attempt at data away from a kink has a seed of its own. So few fail that this many in a row are no chance.
ATTEMPTS = 1000


def scales(low=1e-6, high=1e6):
    """Positive numbers, each order of magnitude as likely as another; they shrink towards 1."""
    ends = np.log10([low, high])
    middle = np.clip(0, *ends)
    return st.builds(lambda end, part: float(10 ** (middle + part * (end - middle))),
                     st.sampled_from(ends), st.floats(0, 1))


def shapes(dimensions=1, largest=8):
    """Tuples of `dimensions` sizes from 1 to `largest`."""
    return st.tuples(*[st.integers(1, largest)] * dimensions)


@st.composite
def gaussian(draw, shape=None, scale=1.0, dtype="float64", away_from=None, margin=1e-3):
    """Gaussian arrays of a shape and standard deviation, each given or drawn by a strategy (the shape: `shapes()`).

    away_from : array ↦ distances from the kinks of what is to be tested, such as a layer's inputs to relu; arrays are
        drawn again until all of these are beyond `margin`
    """
    parts = (shapes() if shape is None else shape, scale, seeds)
    shape, scale, seed = (draw(part) if isinstance(part, st.SearchStrategy) else part for part in parts)
    for attempt in range(ATTEMPTS):
        array = (scale * np.random.default_rng((seed, attempt)).normal(size=shape)).astype(dtype)
        if away_from is None or np.min(np.abs(away_from(array)), initial=np.inf) > margin:
            return array
    raise ValueError(f"gaussian: no array of shape {shape} was further than {margin} from the kinks, of {ATTEMPTS}")


NETWORK = dict(activation=st.sampled_from(sorted(ACTIVATIONS)), depth=st.integers(0, 3), width=st.integers(1, 5),
               inputs=st.integers(1, 4), outputs=st.integers(1, 3), rows=st.integers(1, 7), scale=st.floats(0.3, 1))
PROBLEM = dict(kind=st.sampled_from(sorted(KINDS)), size=st.integers(1, 300), scale=scales(),
               dtype=st.sampled_from(["float64", "float32"]), real=st.booleans(), spread=st.sampled_from([0.0, 3.0]),
               height=scales())


def networks(**strategies):
    """Small networks with weights and data, each away from its kinks: see `Network`. NETWORK, with some changed."""
    return st.builds(network, seed=seeds, **NETWORK | strategies)


def problems(**strategies):
    """Functions with right gradients, to try a gradient checker on: see `problem`. PROBLEM, with some changed."""
    return st.builds(problem, seed=seeds, **PROBLEM | strategies)
