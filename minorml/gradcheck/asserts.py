"""For a test: raise AssertionError with the reason."""

import numpy as np

from .check import check
from .derivatives import central_difference, complex_step, relative_error
from .judge import WRONG


def assert_close(given, expected, rtol=1e-12, name="derivative"):
    """Raise AssertionError, naming the worst coordinate, unless shapes agree and relative_error ≤ rtol."""
    given, expected = np.asarray(given), np.asarray(expected)
    if given.shape != expected.shape:
        raise AssertionError(f"{name}: expected shape {expected.shape}; given {given.shape}")
    error = relative_error(given, expected)
    if not error <= rtol:  # also where the error is NaN
        difference = np.abs(given - expected)
        worst = np.unravel_index(np.argmax(np.where(np.isnan(difference), np.inf, difference)), difference.shape)
        place = ", ".join(str(i) for i in worst)
        raise AssertionError(f"{name}: relative error {error:.1e}, allowed {rtol:.1e}; "
                             f"worst at [{place}]: expected {expected[worst]:.15g}, given {given[worst]:.15g}")


def assert_gradient(f, gradient, x, rtol=1e-12, derivative=complex_step, name="gradient"):
    """Raise AssertionError, with the report of `check`, unless `gradient` is that of f at x.

    Parameters
    ----------
    f : x ↦ a number, or an array
    gradient : of shape x.shape + f(x).shape, claimed to be ∂f/∂x
    rtol : bound on `relative_error` over the whole gradient. A gradient that is right to rounding passes at any rtol.
        Where numbers of it cannot be told, what is uncertain about them counts as error
    derivative : `complex_step`; `central_difference` (with an rtol near 1e-6); or one's own, (f, x, v) ↦ f'(x)·v

    Where f does not allow what `derivative` asks, `check` looks for itself, and says so: a function that drops the
    imaginary part is never compared by the complex step.
    """
    oracles = {complex_step: None, central_difference: "differences"}
    report = check(f, x, gradient=gradient, every=True, oracle=oracles.get(derivative, derivative), rtol=rtol)
    finding = report.findings[0]
    if report or finding.relative_error + finding.unclear <= rtol:
        return
    reason = finding.summary
    if finding.worst and finding.verdict == WRONG:
        worst = finding.worst[0]
        reason = (f"relative error {finding.relative_error:.1e}, allowed {rtol:.1e}; worst at "
                  f"{worst.name.removeprefix('x')}: expected {worst.expected:.15g}, given {worst.claimed:.15g}")
    raise AssertionError(f"{name}: {reason}\n{report}")
