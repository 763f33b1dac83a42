"""`check` on drawn functions: no false alarm on right gradients, no planted error passed. `--gradchecks 1000`: all."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from minorml.gradcheck import check
from minorml.gradcheck.strategies import problems

FINEST = {False: -11, True: -6}  # log10 of the smallest error planted, by whether f takes real numbers only


def drawn(number, *strategies):
    """The same examples every time, and no shrinking: they are counted."""
    def run(test):
        settings(max_examples=number, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
                 suppress_health_check=list(HealthCheck))(given(*strategies)(test))()

    return run


def told(problem, report, planted=""):
    return f"{problem.name} {planted}\n{report}"


def test_no_false_alarm_on_right_gradients(gradchecks, record_property):
    verdicts = Counter()

    @drawn(gradchecks, problems())
    def each(problem):
        report = check(problem.f, problem.x, gradient=problem.gradient)
        verdicts[report.verdict] += 1
        assert report.verdict != "wrong", told(problem, report)

    record_property("verdicts", dict(verdicts))
    print(dict(verdicts))
    assert verdicts["cannot tell"] <= 0.01 * verdicts.total(), verdicts


def test_no_planted_error_passes(gradchecks, record_property):
    """Each in one coordinate, or in a block, relative to the gradient that stands there.

    Coordinates with less than a thousandth of the usual contribution to a change of f are left out: their gradient is
    next to nothing by chance, and rounding is not small beside it.
    """
    verdicts = Counter()

    @drawn(gradchecks, problems(dtype=st.just("float64")), st.floats(0, 1), st.floats(0, 1), st.booleans(),
           st.sampled_from([1, 1, 5, 50]))
    def each(problem, place, size, negative, length):
        gradient, contribution = problem.gradient(problem.x), np.abs(problem.gradient(problem.x) * problem.x)
        eligible = np.flatnonzero(contribution > 1e-3 * np.sqrt(np.mean(contribution**2)))
        if not len(eligible):
            return  # a constant
        finest = FINEST[problem.real]
        error = 10 ** (finest * (1 - size)) * (-1 if negative else 1)
        start = int(place * (len(eligible) - 1))
        gradient[eligible[start:start + length]] *= 1 + error
        report = check(problem.f, problem.x, gradient=gradient)
        verdicts[report.verdict] += 1
        planted = f"error {error:.1e} at {eligible[start:start + length]}"
        assert report.verdict == "wrong", told(problem, report, planted)

    record_property("verdicts", dict(verdicts))
    print(dict(verdicts))
    assert verdicts["wrong"] == verdicts.total()


@pytest.mark.gradients
def test_the_problems_are_what_they_say():
    """Without this, "no false alarm" would only say that the two sides agree."""
    from minorml.gradcheck.problems import KINDS, problem
    for kind in KINDS:
        f, gradient, x, *_ = problem(kind, size=7)
        expected = [(f(x + 1e-5 * e) - f(x - 1e-5 * e)) / 2e-5 for e in np.eye(7)]
        assert np.allclose(gradient(x), expected, rtol=1e-7, atol=1e-7), kind
