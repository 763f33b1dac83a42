"""The compiled surrogate and its derivatives against the formula, `differentiate` of `minorml/surrogate.py`."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ratios

from minorml import surrogate
from minorml.kernels import network
from minorml.kernels.registry import KERNELS
from minorml.meta import Batch
from minorml.mlp import ACTIVATIONS
from minorml.policy import GaussianPolicy

if numba.config.DISABLE_JIT:  # the loops run as Python then: as many blocks, of fewer rows
    network.MOST_ROWS = 16

FORMULA, KERNEL = KERNELS["differentiate"]
FORMS = {"log": (surrogate.log_form,), "ratio": (surrogate.ratio_form,), "clipped": (surrogate.clipped_form, 0.2),
         "none": (surrogate.no_form,)}
num_rows = st.integers(1, 40)
if not numba.config.DISABLE_JIT:
    num_rows = num_rows | st.sampled_from([127, 128, 129, 573])


def case(form="log", seed=0, dtype=np.float64, hidden=(5, 4), activation="tanh", act_dim=2, tasks=(3,), rows=20,
         shared=False, own=False):
    """Arguments of `differentiate` but for `twice` and the clip, and a direction v; ratios away from the clip."""
    rng = np.random.default_rng(seed)
    policy = GaussianPolicy(3, act_dim, hidden, activation)

    def normal(*shape, scale=1.0):
        return scale * rng.normal(size=shape)

    theta, v = normal(*(() if shared else tasks), policy.num_params, scale=0.3), normal(*tasks, policy.num_params)
    s, a, A = normal(*tasks, rows, 3), normal(*tasks, rows, act_dim), normal(*tasks, rows)
    x = policy.log_prob(theta, s, a)
    old = None if own else (x - np.log(ratios(rng, x.size)[0]).reshape(x.shape)).astype(dtype)
    batch = Batch(s.astype(dtype), a.astype(dtype), s.astype(dtype), None, old)
    return (FORMS[form][0], policy, theta.astype(dtype), batch, A.astype(dtype)), v.astype(dtype)


def cases_of(forms):
    return st.builds(case, forms, st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]),
                     st.sampled_from([(5, 4), (17, 8)]), st.sampled_from([*ACTIVATIONS]), st.integers(1, 3),
                     st.sampled_from([(), (1,), (3,)]), num_rows, st.booleans(), st.booleans())


cases = cases_of(st.sampled_from([*FORMS]))


def results(function, args, v):
    """L, ∇L, dslope_dA, ∇x · v and ∇²L v."""
    *first, along = function(*args, True, *clip_of(args))
    return [*first, *along(v)]


def clip_of(args):
    return next(clip for form, *clip in FORMS.values() if form is args[0])


@pytest.mark.gradients
@pytest.mark.parametrize("form", FORMS)
@given(st.data())
def test_equals_its_formula(form, data):
    """As large sums of products rounded in another order, a few units in the last place of each term."""
    case = data.draw(cases_of(st.just(form)))
    for ours, expected in zip(results(KERNEL, *case), results(FORMULA, *case), strict=True):
        assert np.asarray(ours).dtype == expected.dtype and np.shape(ours) == np.shape(expected)
        bound = 500 * np.finfo(expected.dtype).eps * (1 + np.max(np.abs(expected)))
        assert np.max(np.abs(ours - expected)) <= bound


@given(cases)
def test_without_second_derivatives_the_first_are_the_same_bits(case):
    args, _ = case
    *kept, _ = KERNEL(*args, True, *clip_of(args))
    *first, along = KERNEL(*args, False, *clip_of(args))
    assert along is None and all(np.array_equal(x, y) for x, y in zip(first, kept, strict=True))


@given(cases)
def test_each_task_is_the_same_bits_alone(case):
    (form, policy, theta, batch, A), v = case
    if A.ndim == 1:
        return
    together = results(KERNEL, *case)
    for i in range(len(A)):
        mine = Batch(*(None if x is None else x[i] for x in batch))
        args = (form, policy, theta[i] if theta.ndim == 2 else theta, mine, A[i])
        assert all(np.array_equal(x, y[i]) for x, y in zip(results(KERNEL, args, v[i]), together))


@given(cases)
def test_arguments_are_left_alone_and_may_have_any_layout(case):
    (form, policy, theta, batch, A), v = case
    expected = results(KERNEL, *case)
    strided = [np.repeat(x, 2, axis=-1)[..., ::2] for x in (theta, A, v)]
    fortran = Batch(*(None if x is None else np.asfortranarray(x) for x in batch))
    for x in (*strided, *(x for x in fortran if x is not None)):
        x.flags.writeable = False
    again = results(KERNEL, (form, policy, strided[0], fortran, strided[1]), strided[2])
    assert all(np.array_equal(x, y) for x, y in zip(again, expected))


@pytest.mark.parametrize("form", FORMS)
def test_nan_shows_in_the_gradient(form):
    """An advantage that is NaN is not clipped away; without an inner loss there is nothing that it could reach."""
    (*args, A), v = case(form)
    A[1, 7] = np.nan
    loss, gradient, _, _, Hv = results(KERNEL, (*args, A), v)
    missing = [np.isnan(x).reshape(3, -1).any(axis=1).tolist() for x in (loss, gradient, Hv)]
    assert missing == [[False, form != "none", False]] * 3


@pytest.mark.parametrize("name, wrong", [("s", (3, 20, 4)), ("a", (3, 19, 2)), ("theta", (3, 5))])
def test_a_wrong_shape_is_named(name, wrong):
    (form, policy, theta, batch, A), _ = case()
    theta = np.zeros(wrong) if name == "theta" else theta
    batch = batch._replace(**{{"s": "states", "a": "actions"}[name]: np.zeros(wrong)}) if name != "theta" else batch
    with pytest.raises(ValueError, match=f"{name}: expected shape"):
        KERNEL(form, policy, theta, batch, A, False)


def test_a_form_of_ones_own_takes_the_formula():
    """Also where it has the name of one of ours."""
    def log_form(x, advantages, old_log_probs):
        return surrogate.log_form(x, -advantages, old_log_probs)

    (_, *args, A), v = case()
    *first, along = surrogate.differentiate(log_form, *args, A, True)
    *expected, along_expected = FORMULA(surrogate.log_form, *args, -A, True)
    for ours, theirs in zip([*first, *along(v)], [*expected, *along_expected(v)], strict=True):
        assert np.array_equal(ours, theirs)
