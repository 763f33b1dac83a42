"""`check`: the verdict on functions that fool a gradient check, what it says of them, and everybody's gradients."""

import re
import time

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der, rosen_hess_prod

from minorml.gradcheck import assert_gradient, check, full_gradient
from minorml.gradcheck.problems import network

RNG = np.random.default_rng(0)
A = RNG.normal(size=(6, 3))
MINIMUM = np.linalg.lstsq(A, np.ones(6), rcond=None)[0]
X200 = np.linspace(0.1, 2.0, 200)


def one_off(gradient, place, factor):
    gradient = gradient.copy()
    gradient[place] *= factor
    return gradient


def reused():
    buffer = np.empty(3)
    return lambda x: np.sin(x, out=buffer)


def noisy():
    rng = np.random.default_rng(1)
    return lambda x: np.sum(x**2) + 1e-6 * rng.normal()


def hoarder():
    """Writes into its argument."""
    def f(x):
        x *= 2
        return np.sum(x**2)
    return f


def single(x):
    return np.sum(np.tanh(np.asarray(x, np.float32)) ** 2)


X6 = np.linspace(0.2, 1.2, 6, dtype=np.float32)
SLOPE = 2 * np.tanh(X6) * (1 - np.tanh(X6) ** 2)
STRANGE = {  # f, claimed gradient, x, verdict, what the report says
    "abs drops the imaginary part": (lambda x: np.abs(x).sum(), np.zeros(3), np.array([1.0, -2.0, 3.0]), "wrong",
                                     "takes an absolute value"),
    "so does a norm": (np.linalg.norm, np.array([0.6, 0.8]), np.array([3.0, 4.0]), "right", "central differences"),
    ".real": (lambda x: np.sum(x.real**2), np.zeros(2), np.array([1.0, 2.0]), "wrong", "central differences"),
    "x times its conjugate": (lambda x: np.sum(x * x.conj()), np.zeros(2), np.array([1.0, 2.0]), "wrong", "central"),
    "its own buffer": (reused(), np.zeros((3, 3)), np.ones(3), "wrong", "returns the same buffer each time"),
    "writes into x": (hoarder(), np.array([8.0, 16.0]), np.array([1.0, 2.0]), "right", "writes into its argument"),
    "badly scaled": (lambda x: np.log(x).sum(), np.array([1e-6, 1e3]), np.array([1e6, 1e-3]), "right", "all 2 numbers"),
    "at a minimum": (lambda x: 0.5 * ((A @ x - 1) ** 2).sum(), A.T @ (A @ MINIMUM - 1), MINIMUM, "right", "digits"),
    "3 % off in one of 200": (lambda x: np.sum(np.cos(x) * x),
                              one_off(np.cos(X200) - X200 * np.sin(X200), 117, 1.03), X200, "wrong", r"x\[117\]"),
    "noise": (noisy(), np.array([2.0, 4.0]), np.array([1.0, 2.0]), "cannot tell", "f is noisy"),
    "a kink at x": (lambda x: np.sum(np.maximum(x, 0)), np.array([0.5, 1.0]), np.array([0.0, 1.0]), "cannot tell",
                    "kink"),
    "beyond a kink's slopes": (lambda x: np.sum(np.maximum(x, 0)), np.array([1.5, 1.0]), np.array([0.0, 1.0]), "wrong",
                               "not between its slopes"),
    "a jump": (lambda x: np.sum(np.sign(x) * x**2 + (x >= 0)), np.array([0.0]), np.array([0.0]), "cannot tell", "jump"),
    "NaN claimed": (lambda x: np.sum(x**2), np.array([2.0, np.nan]), np.array([1.0, 2.0]), "wrong", "not finite"),
    "wrong shape": (lambda x: np.sum(x**2), np.zeros((2, 1)), np.array([1.0, 2.0]), "wrong", r"expected shape \(2,\)"),
    "float32 throughout": (single, SLOPE, X6, "right", "f computes in float32"),
    "float32, 3 % off": (single, one_off(SLOPE, 2, 1.03), X6, "wrong", r"x\[2\]"),
}


@pytest.mark.gradients
@pytest.mark.parametrize("name", STRANGE)
def test_the_verdict_on_what_fools_a_check(name):
    f, gradient, x, verdict, said = STRANGE[name]
    kept = x.copy()
    report = check(f, x, gradient=gradient)
    assert report.verdict == verdict, report
    assert bool(report) == (verdict == "right")
    assert re.search(said, str(report)), report
    assert np.array_equal(x, kept)


@pytest.mark.gradients
def test_a_subgradient_is_right_if_asked_for():
    f, x = (lambda x: np.sum(np.maximum(x, 0))), np.array([0.0, 1.0])
    assert check(f, x, gradient=np.array([0.5, 1.0]), subgradient=True)
    assert check(f, x, gradient=np.array([1.5, 1.0]), subgradient=True).verdict == "wrong"


PATTERNS = [
    (lambda g: 2 * g, "2 times the derivative"),
    (lambda g: -g, "the other sign"),
    (lambda g: 0 * g, "zero"),
    (lambda g: g.T.copy(), "transpose"),
    (lambda g: g + 0.25, "1/4 too large everywhere"),
    (lambda g: g / 6, "1/6 times"),
]


@pytest.mark.gradients
@pytest.mark.parametrize("spoil, said", PATTERNS)
def test_a_clear_pattern_is_said(spoil, said):
    W = RNG.normal(size=(4, 4))
    report = check(lambda x: np.sum(np.sin(x) * W), RNG.normal(size=(4, 4)), gradient=lambda x: spoil(np.cos(x) * W))
    assert report.verdict == "wrong" and said in str(report), report


@pytest.mark.gradients
def test_a_missing_term_of_x_is_said():
    report = check(lambda x: np.sum(np.sin(x)) + 0.5 * np.sum(x**2), RNG.normal(size=9), gradient=np.cos)
    assert "a term 1 · x is missing" in str(report), report


@pytest.mark.gradients
def test_blocks_are_named():
    x = RNG.normal(size=12)
    gradient = 2 * x
    gradient[8:] *= 3
    report = check(lambda x: np.sum(x**2), x, gradient=gradient, names={"W1": slice(0, 8), "b1": slice(8, 12)})
    assert report.worst[0].name.startswith("b1[")
    assert "in b1: the claim is 3 times the derivative; W1: right" in str(report), report
    tree = {"W": RNG.normal(size=(2, 3)), "b": RNG.normal(size=3)}

    def f(p):
        return np.sum((p["W"].sum(axis=0) + p["b"]) ** 2)

    def gradient_of(p):
        e = 2 * (p["W"].sum(axis=0) + p["b"])
        return {"W": np.stack([e, e]), "b": e}

    assert check(f, tree, gradient=gradient_of)
    wrong = gradient_of(tree)
    wrong["W"][1, 2] += 0.1
    assert check(f, tree, gradient=wrong).worst[0].name == "W[1, 2]"


@pytest.mark.gradients
def test_second_order():
    x = RNG.normal(size=7)
    claims = dict(gradient=rosen_der, hvp=rosen_hess_prod)
    assert check(rosen, x, **claims)
    report = check(rosen, x, gradient=rosen_der, hvp=lambda x, v: 1.01 * rosen_hess_prod(x, v))
    assert report["gradient"].verdict == "right" and report["hvp"].verdict == "wrong"
    with pytest.raises(ValueError, match="hvp: expected `gradient` as a function"):
        check(rosen, x, gradient=rosen_der(x), hvp=rosen_hess_prod)


@pytest.mark.gradients
def test_products_with_the_jacobian():
    W = RNG.normal(size=(4, 3))

    def jvp(x, v):
        return np.cos(W @ x) * (W @ v)

    def vjp(x, w):
        return W.T @ (np.cos(W @ x) * w)

    x = RNG.normal(size=3)
    assert check(lambda x: np.sin(W @ x), x, jvp=jvp, vjp=vjp)
    report = check(lambda x: np.sin(W @ x), x, jvp=jvp, vjp=lambda x, w: W.T @ w)
    assert report["vjp"].verdict == report["adjoint"].verdict == "wrong" and report["jvp"].verdict == "right"
    both_wrong = check(None, x, jvp=lambda x, v: W @ v, vjp=lambda x, w: W.T @ w)  # of another function
    assert both_wrong and "weaker proof" in str(both_wrong)
    with pytest.raises(ValueError, match="expected f; given None"):
        check(None, x, gradient=np.cos)


@pytest.mark.gradients
def test_one_wrong_coordinate_among_very_many():
    """By random directions and bisection; memory for some copies of x, not for a matrix."""
    c = RNG.normal(size=100_000)
    x = RNG.normal(size=c.size)
    right = c * np.cos(x)

    def f(x):
        return np.sum(c * np.sin(x))

    assert check(f, x, gradient=right)
    begun = time.perf_counter()
    report = check(f, x, gradient=one_off(right, 77_777, 1.01))
    assert report.verdict == "wrong" and report.worst[0].name == "x[77777]", report
    assert time.perf_counter() - begun < 30


@pytest.mark.gradients
def test_the_same_report_for_the_same_rng_and_a_repr_to_read():
    wrong = one_off(np.cos(X200), 3, 1.1)
    reports = [check(lambda x: np.sum(np.sin(x)), X200, gradient=wrong, rng=5) for _ in range(2)]
    assert str(reports[0]) == repr(reports[1])


@pytest.mark.parametrize("arguments, error, said", [
    (dict(x=np.ones(2)), ValueError, "expected gradient, hvp, jvp or vjp"),
    (dict(x=np.array([]), gradient=0), ValueError, "at least one number"),
    (dict(x=np.array(["a"]), gradient=0), TypeError, "expected real numbers"),
    (dict(x=np.ones(3), gradient=0, names={"a": slice(0, 2), "b": slice(1, 3)}), ValueError, "do not overlap"),
])
def test_what_cannot_be_checked_is_an_error(arguments, error, said):
    with pytest.raises(error, match=said):
        check(np.sum, **arguments)


@pytest.mark.gradients
def test_nothing_and_next_to_nothing():
    assert check(lambda x: x[:0] ** 2, np.ones(3), gradient=np.zeros((3, 0)))
    assert check(lambda x: x[0] + 2e-309 * x[1], np.ones(2), gradient=np.array([1, 2e-309]))  # below the complex step


@pytest.mark.gradients
def test_full_gradient_of_any_shape():
    x = np.arange(9.0).reshape(3, 3)
    assert np.allclose(full_gradient(lambda x: (x**2).sum(), x), 2 * x)


@pytest.mark.gradients
def test_a_gradient_that_is_rounding_is_right_for_assert_gradient_too():
    assert_gradient(lambda x: 0.5 * ((A @ x - 1) ** 2).sum(), A.T @ (A @ MINIMUM - 1), MINIMUM)
    with pytest.raises(AssertionError, match="absolute value"):
        assert_gradient(lambda x: np.abs(x).sum(), np.zeros(3), np.array([1.0, -2.0, 3.0]))


@pytest.mark.gradients
@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
def test_a_network_written_by_hand(activation):
    net = network(seed=3, activation=activation)
    assert check(net.loss, net.params, gradient=net.gradient)


def test_pictures(tmp_path):
    report = check(rosen, RNG.normal(size=4), gradient=rosen_der, hvp=rosen_hess_prod)
    report.plot(tmp_path / "rosenbrock.png")
    assert (tmp_path / "rosenbrock.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="nothing to draw"):
        check(noisy(), np.ones(2), gradient=np.ones(2)).plot(tmp_path / "none.png")


def test_torch_and_jax_gradients():
    """Everybody's gradients: f is a function of NumPy arrays, whatever computes inside."""
    jax = pytest.importorskip("jax", reason="JAX is an extra (`oracle`)")
    x = RNG.normal(size=5)
    f = jax.jit(lambda x: jax.numpy.sum(jax.numpy.tanh(x) ** 2))  # in float32, JAX's default
    assert check(lambda x: np.asarray(f(x)), x, gradient=lambda x: np.asarray(jax.grad(f)(x)))


def test_the_plugin(pytester, monkeypatch):
    pytester.makepyfile("""
        import numpy as np

        def test_right(gradcheck):
            gradcheck(lambda x: np.sum(x**2), np.ones(3), gradient=lambda x: 2 * x)

        def test_wrong(gradcheck):
            gradcheck(lambda x: np.sum(x**2), np.ones(3), gradient=lambda x: x)
    """)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # installed or not, it is loaded once
    result = pytester.runpytest_subprocess("--gradcheck-report", "page", "-p", "minorml.gradcheck.plugin")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*1/2 times the derivative*", "*2 checks of derivatives: *index.html*"])
    page = (pytester.path / "page" / "index.html").read_text(encoding="utf-8")
    assert "1 wrong, 0 cannot tell, 1 right" in page and page.index("test_wrong") < page.index("test_right")
    assert (pytester.path / "page" / "check-1.png").exists()
