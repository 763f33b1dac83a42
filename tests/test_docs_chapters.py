"""The numbers that chapters work out by hand are those that the code finds, and those that their programs print."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from minorml.gradcheck import assert_close, complex_step

DOCS = Path(__file__).resolve().parent.parent / "docs"
BY_PEN = (DOCS / "meta-gradient.md").read_text(encoding="utf-8")
R_OPERATOR = (DOCS / "r-operator.md").read_text(encoding="utf-8")
NO_REWARD = (DOCS / "why-no-reward.md").read_text(encoding="utf-8")


def vector(text):
    """"(0, −1½, 1)" as an array."""
    return np.array([number(x.strip()) for x in text.strip("()").split(",")])


def number(text):
    sign, text = (-1, text[1:]) if text[0] == "−" else (1, text)
    part = {"½": 0.5, "¾": 0.75, "¼": 0.25, "⅜": 0.375}.get(text[-1], 0)
    return sign * (float(text.rstrip("½¾¼⅜") or 0) + part)


def run(page):
    """What the program of a chapter computes, by name."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names = {}
    exec(compile(code, "a chapter", "exec"), names)
    return names


def shown_below_the_program(page):
    return re.search(r"^```\n\n((?: {4}.*\n)+)", page, re.MULTILINE)[1].split()


@pytest.fixture(scope="module")
def by_pen():
    return run(BY_PEN)


@pytest.mark.parametrize("field, symbol", [("theta", "θ"), ("offset", "θ_off"), ("alpha", "α"), ("psi", "ψ")])
def test_the_gradients_by_pen_are_those_of_adapt(by_pen, field, symbol):
    (numbers,) = re.findall(rf"^\| ∂L_out/∂{symbol} \|.*\| (\(.*\)) \|$", BY_PEN, re.MULTILINE)
    np.testing.assert_array_equal(getattr(by_pen["gradient"], field), vector(numbers))


def test_the_steps_by_pen_are_those_of_adapt(by_pen):
    """θ_i; and g and H v, read off the pullback: ∂α = −g ∘ g' and ∂θ = g' − H v."""
    def on_the_page(pattern):
        return vector(re.search(pattern + r" = (\([^)]*\))$", BY_PEN, re.MULTILINE)[1])

    np.testing.assert_array_equal(by_pen["theta_i"], on_the_page("θ_i = .*"))
    np.testing.assert_array_equal(-by_pen["pullback"](np.ones(3)).alpha, on_the_page("g = .*"))
    np.testing.assert_array_equal(np.array([0, 1, 0]) - by_pen["gradient"].theta, on_the_page("H v = .*"))


def test_the_program_by_pen_prints_what_the_page_shows(by_pen):
    assert shown_below_the_program(BY_PEN) == f"{by_pen['theta_i']}\n{by_pen['gradient']}".split()


def test_the_r_operator_by_pen(capsys):
    network = run(R_OPERATOR)
    assert capsys.readouterr().out.split() == shown_below_the_program(R_OPERATOR)
    params, v, dy = network["params"], network["v"], np.ones((1, 1))
    gradient, product = (vector(re.search(rf"{name} = .*?(\([^A-Za-z]*\))", R_OPERATOR)[1])
                         for name in (r"hence ∇L", "hence H v"))
    np.testing.assert_allclose(network["network"].vjp(params, network["hs"], dy), gradient, atol=1e-15)

    def loss_gradient(p):
        return network["network"].vjp(p, network["network"].forward(p, network["x"]), dy)

    assert_close(complex_step(loss_gradient, params, v), product)
    assert_close(complex_step(loss_gradient, params, np.eye(4)[2])[0], product[2])  # the exercise: H is symmetric


def test_the_angle_of_the_chapter_is_the_one_that_its_program_prints(capsys, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `plot`")
    matplotlib.use("Agg")
    names = runpy.run_path(str(DOCS / "examples/gallery/why_no_reward.py"))
    printed = [np.array(line.split("[")[1].strip(" ]").split(), float) for line in capsys.readouterr().out.splitlines()]
    on_the_page = [vector(found) for found in re.findall(r"\(−0\.\d{3}, −0\.\d{3}\)", NO_REWARD)]
    assert len(on_the_page) == 2
    np.testing.assert_array_equal(printed[:2], on_the_page)
    x, y = names["turn"] @ names["direction"]
    assert re.search(r"off by ([\d.]+) degrees", NO_REWARD)[1] == f"{np.degrees(abs(np.arctan2(y, x))):.1f}"


def test_how_much_the_angle_scatters():
    """Over seeds: the mean of Δx a, which is the step's direction, for φ = 0; all φ are alike."""
    seeds, samples = 2000, int(re.search(r"With (\d+) samples", NO_REWARD)[1])
    actions = np.random.default_rng(0).normal(size=(seeds, samples, 2))
    x, y = (actions[..., :1] * actions).mean(axis=1).T
    expected = float(re.search(r"standard deviation of that angle is ([\d.]+) degrees", NO_REWARD)[1])
    assert np.degrees(np.arctan2(y, x).std()) == pytest.approx(expected, rel=3 / np.sqrt(2 * seeds))


def test_two_steps_by_pen():
    """The answer to the exercise, by the program of the chapter and a second step on the same transition."""
    names = run(BY_PEN)
    answer = BY_PEN[BY_PEN.index("**Exercise.**"):BY_PEN.index("</details>")]
    theta, pullback = names["adapt"](names["policy"], names["advantage"], names["METHODS"]["norml"], names["meta"],
                                     [names["transition"]] * 2)
    np.testing.assert_allclose(theta, vector(re.search(r"which is\s+(\(.*?\))", answer)[1]), rtol=1e-12)
    np.testing.assert_allclose(pullback(np.array([0.0, 1, 0])).theta,
                               vector(re.search(r"∂L_out/∂θ = (\(.*?\))", answer)[1]), rtol=1e-12)
