"""The log-density of a diagonal Gaussian, its derivatives, and their derivatives along a direction.

    a ~ N(μ, diag(e^λ)²),   μ (N, U) a mean per row,   λ (U,) one log standard deviation per dimension

    e = (a − μ) e^{−λ}                                                                       (gaussian.1)
    log π = −½ Σ_u e² − Σ_u λ − ½ U log 2π                                                   (gaussian.2)

e is the action's distance from the mean, in standard deviations. The derivatives need nothing else. As in
`minorml/mlp.py`, arrays may have an axis of tasks before the others; λ then has a row for each task, (M, 1, U).
"""

import numpy as np

LOG_2PI = float(np.log(2 * np.pi))


def standardise(a, mean, log_std):
    """e of (gaussian.1), (N, U)."""
    return (a - mean) * np.exp(-log_std)


def log_density(e, log_std):
    """log π of (gaussian.2), (N,)."""
    return -0.5 * _row_sums(e, e) - (log_std.sum(-1) + 0.5 * LOG_2PI * log_std.shape[-1])


def vjp(e, log_std, w):
    """Gradient of Σ_n w_n log π_n: dμ (N, U) and dλ (U,), for weights w (N,).

    From (gaussian.1), ∂e/∂μ = −e^{−λ} and ∂e/∂λ = −e. So from (gaussian.2)

        dμ = w e e^{−λ},    dλ = Σ_n w (e² − 1)                                              (gaussian.3)
    """
    we = w[..., None] * e
    return we * np.exp(-log_std), _column_sums(we, e) - w.sum(-1, keepdims=True)


def vjp_rows(e, log_std):
    """(gaussian.3) for each row by itself, with weight 1: dμ (N, U), dλ (N, U)."""
    return e * np.exp(-log_std), e * e - 1


def jvp(e, log_std, Rmean, Rlog_std):
    """R{log π} (N,) and R{e} (N, U), when (μ, λ) moves along (Rμ, Rλ).

        Re = −Rμ e^{−λ} − e Rλ                                 from (gaussian.1)
        R{log π} = −Σ_u e Re − Σ_u Rλ                          from (gaussian.2)             (gaussian.4)
    """
    Re = -Rmean * np.exp(-log_std) - e * Rlog_std
    return -_row_sums(e, Re) - Rlog_std.sum(-1), Re


def vjp_tangent(e, log_std, Re, Rlog_std, w, Rw):
    """R{vjp}: the product rule on (gaussian.3), where the weights move by Rw (N,). → Rdμ (N, U), Rdλ (U,)

        Rdμ = (Rw e + w Re − w e Rλ) e^{−λ}                                                  (gaussian.5)
        Rdλ = Σ_n Rw (e² − 1) + 2 w e Re
    """
    we = w[..., None] * e
    Rwe = Rw[..., None] * e + w[..., None] * Re
    Rdmean = (Rwe - we * Rlog_std) * np.exp(-log_std)
    return Rdmean, _column_sums(Rwe, e) + _column_sums(we, Re) - Rw.sum(-1, keepdims=True)


def _row_sums(x, y):
    """Σ_u x_nu y_nu, (N,)."""
    return np.einsum("...nu,...nu->...n", x, y)


def _column_sums(x, y):
    """Σ_n x_nu y_nu, (U,)."""
    return np.einsum("...nu,...nu->...u", x, y)
