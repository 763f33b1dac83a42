"""Compiled kernels against the NumPy formulas that they replace, with the JIT and (NUMBA_DISABLE_JIT=1) without."""

import ast
import inspect
from pathlib import Path

import numba
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import minorml
import minorml.surrogate  # whose formula one of the kernels serves
from minorml.gradcheck import assert_close, assert_gradient, complex_step
from minorml.kernels import activation, network, recurrences, rollout, surrogate, tile
from minorml.kernels.recurrences import discounted_sums, outer_rows
from minorml.kernels.registry import KERNELS, compile_kernel
from minorml.mlp import tanh_times_slope, tanh_times_slope_tangent

FOLDER = Path(minorml.__file__).parent
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from([np.float32, np.float64])
ARRAYS = {"outer_rows_formula": outer_rows, "discounted_sums_formula": discounted_sums}
each_kernel = pytest.mark.parametrize("name", ARRAYS)


@st.composite
def arguments(draw, name, dtype=None):
    """Arguments that the kernel takes."""
    rng = np.random.default_rng(draw(seeds))
    dtype = dtype or draw(dtypes)
    rows = draw(st.integers(0, 5))
    if name == "outer_rows_formula":
        x, dz = (rng.normal(size=(rows, draw(st.integers(1, 4)))).astype(dtype) for _ in range(2))
        return [x, dz, np.zeros((*x.shape, dz.shape[1]), dtype)]
    shape = (*draw(array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)), draw(st.integers(1, 30)))
    return [rng.normal(size=shape).astype(dtype), draw(st.floats(0, 1))]


def call(function, args):
    """The function of copies of its arguments: what one call writes, another must not find."""
    return function(*(np.copy(x) if isinstance(x, np.ndarray) else x for x in args))


def tolerance(name, args):
    """Bound on |compiled − formula|, element by element.

    A product rounds as NumPy's does: a unit or two in the last place. A recurrence over T steps rounds T times; the
    loop accumulates in float64, the formula in the dtype of the rewards.
    """
    eps = np.finfo(args[0].dtype).eps
    if name == "discounted_sums_formula":
        rewards, discount = args
        return (rewards.shape[-1] + 1) * eps * KERNELS[name][0](np.abs(rewards), discount)
    return 2 * eps * np.prod([1 + np.max(np.abs(x), initial=0) for x in args]) ** 2


@each_kernel
@given(st.data())
def test_compiled_equals_formula(name, data):
    args = data.draw(arguments(name))
    formula, compiled = KERNELS[name]
    for ours in call(compiled, args), call(ARRAYS[name], args):
        expected = call(formula, args)
        assert ours.dtype == expected.dtype == args[0].dtype
        assert ours.shape == expected.shape
        assert np.all(np.abs(ours - expected) <= tolerance(name, args))


@each_kernel
@given(st.data())
def test_no_argument_is_written_to(name, data):
    args = data.draw(arguments(name))
    before = [np.copy(x) for x in args]
    KERNELS[name][1](*args)
    names = inspect.signature(KERNELS[name][0]).parameters
    written = {"outer_rows_formula": "out"}.get(name)
    assert all(np.array_equal(x, y) for given, x, y in zip(names, args, before) if given != written)


@each_kernel
@given(st.data())
def test_nan_spreads_as_far_as_in_the_formula(name, data):
    args = data.draw(arguments(name))
    formula, compiled = KERNELS[name]
    x = data.draw(st.sampled_from([x for x in args[:2] if isinstance(x, np.ndarray)]))
    x.flat[:1] = np.nan
    missing = np.isnan(call(compiled, args))
    assert np.array_equal(missing, np.isnan(call(formula, args)))
    assert missing.any() or missing.size == 0


@each_kernel
@given(st.data())
def test_complex_numbers_take_the_formula(name, data):
    args = data.draw(arguments(name, np.complex128))
    args[0] = args[0] + 1e-30j
    ours = call(ARRAYS[name], args)
    assert ours.dtype == np.complex128
    assert np.array_equal(ours, call(KERNELS[name][0], args))


def test_one_complex_argument_is_enough_to_take_the_formula():
    x, dz = np.ones((2, 3)), np.ones((2, 3)) + 1e-30j
    out = np.zeros((2, 3, 3), complex)
    assert np.array_equal(outer_rows(x, dz, out), x[:, :, None] * dz[:, None, :])


@pytest.mark.parametrize("rewards", [np.ones((4, 6)).T, np.ones((4, 6))[:, ::2], np.asfortranarray(np.ones((2, 3, 4)))],
                         ids=["transposed", "strided", "fortran"])
def test_discounted_sums_take_any_memory_layout(rewards):
    assert_close(discounted_sums(rewards, 0.5), KERNELS["discounted_sums_formula"][0](rewards, 0.5))


@given(seeds, st.integers(1, 20), st.floats(0, 1))
def test_discounted_sums_equal_their_definition(seed, horizon, discount):
    rewards = np.random.default_rng(seed).normal(size=(3, horizon))
    expected = np.array([oracles.returns(row, discount) for row in rewards])
    np.testing.assert_allclose(discounted_sums(rewards, discount), expected, rtol=0, atol=1e-13)


@pytest.mark.gradients
@given(seeds, st.integers(0, 5), st.integers(1, 4), st.integers(1, 4))
def test_outer_rows_are_the_gradient_of_an_affine_layer(seed, rows, n_in, n_out):
    """∂/∂W of dz_n · (x_n W), for each row n."""
    rng = np.random.default_rng(seed)
    x, dz = rng.normal(size=(rows, n_in)), rng.normal(size=(rows, n_out))
    W = rng.normal(size=n_in * n_out)
    ours = outer_rows(x, dz, np.empty((rows, n_in, n_out))).reshape(rows, n_in * n_out)
    assert_gradient(lambda W: np.sum(dz * (x @ W.reshape(n_in, n_out)), axis=1), ours.T, W, 1e-13)


@pytest.mark.gradients
@given(seeds, st.integers(1, 20), st.floats(0, 1))
def test_discounted_sums_are_linear_in_the_rewards(seed, horizon, discount):
    """∂R_t/∂r_u = γ^(u − t) for u ≥ t, else 0; and R is that matrix times r."""
    rewards = np.random.default_rng(seed).normal(size=horizon)
    t = np.arange(horizon)
    matrix = np.triu(discount ** np.maximum(t - t[:, None], 0))
    assert_gradient(lambda r: discounted_sums(r, discount), matrix.T, rewards)
    np.testing.assert_allclose(discounted_sums(rewards, discount), matrix @ rewards, rtol=0, atol=1e-13)


@pytest.mark.gradients
@given(seeds)
def test_slopes_of_tanh_are_its_derivatives(seed):
    """x ∘ f'(z), and how it moves when x and z do; f' itself by the complex step of NumPy's tanh."""
    x, Rx, z, Rz = np.random.default_rng(seed).normal(size=(4, 3, 5))
    h, Rh = np.tanh(z), Rz / np.cosh(z)**2
    assert_close(tanh_times_slope(x, h), x * complex_step(np.tanh, z, np.ones_like(z)))

    def moving(t):
        return (x + t * Rx) / np.cosh(z + t * Rz)**2

    assert_close(tanh_times_slope_tangent(x, Rx, h, Rh), np.imag(moving(1e-30j)) / 1e-30)


def test_every_kernel_is_compared_with_its_formula():
    assert set(KERNELS) == {*ARRAYS, "mean", "vjp", "hvp", "_at",  # test_network_kernels
                            "differentiate"}  # test_surrogate_kernels


def test_every_decorated_function_is_a_kernel():
    """By the source, which holds without the JIT too."""
    decorated, compiled = set(), set()
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for decorator in getattr(node, "decorator_list", []):
                match decorator:
                    case ast.Call(ast.Name("served_by"), [ast.Attribute()]):
                        decorated.add(node.name)
                    case ast.Call(ast.Name("replaces"), [ast.Name(formula)]):
                        decorated.add(formula)
                    case ast.Name("compile_kernel" | "compile_exactly"):
                        compiled.add(node.name)
    assert decorated == set(KERNELS)
    assert compiled == {"_forward", "_vjp", "_differentiate", "_differentiate_along", "_rollout"}  # behind the kernels


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_no_two_compiled_functions_share_a_name():
    """Code from Numba's cache is linked by name: of two functions with one, either may be called for the other."""
    modules = activation, network, recurrences, rollout, surrogate, tile
    functions = {id(x): x.py_func for module in modules for x in vars(module).values() if hasattr(x, "py_func")}
    names = [f"{f.__module__}.{f.__qualname__}" for f in functions.values()]
    assert len(names) > 10 and len(set(names)) == len(names), sorted(names)


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_without_a_folder_for_compiled_code_it_compiles_again_and_says_so(monkeypatch):
    """As where neither the package's folder nor the user's can be written: Numba refuses to cache."""
    from numba.core.caching import CacheImpl
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    with pytest.warns(RuntimeWarning, match="cannot keep compiled code on disk.*NUMBA_CACHE_DIR"):
        compiled = compile_kernel(lambda x: x + x)
    assert compiled(2.0) == 4.0
