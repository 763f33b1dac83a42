"""
Check a gradient
================

A derivative by hand is easy to get wrong by one term. ``minorml.gradcheck.check`` gives a verdict and its reasons. We
plant a mistake that shifts one number by two per cent.
"""

import matplotlib.pyplot as plt
import numpy as np

from minorml.gradcheck import check, taylor_slopes

# %%
# A function and its gradient
# ---------------------------
#
# The log-density of a Gaussian with mean μ and standard deviation e^λ, summed over data: x = (μ, λ).

data = np.random.default_rng(0).standard_normal(100)


def log_density(x):
    mean, log_std = x
    z = (data - mean) * np.exp(-log_std)
    return -0.5 * np.sum(z * z) - len(data) * log_std


def right(x):
    mean, log_std = x
    z = (data - mean) * np.exp(-log_std)
    return np.array([np.sum(z) * np.exp(-log_std), np.sum(z * z) - len(data)])


def wrong(x):
    return right(x) + [0.0, 1.0]  # len(data) - 1 for len(data)


x = np.array([0.3, -0.2])
print(check(log_density, x, gradient=right))

# %%
# The mistake shows
# -----------------
#
# The report names the coordinate, what was claimed and what was expected.

print(check(log_density, x, gradient=wrong))

# %%
# How one sees it
# ---------------
#
# With the right gradient the remainder f(x + t v) − f(x) − t ∇f·v falls like t², with a wrong one like t.

v = np.array([0.6, 0.8])
steps = np.logspace(-4, -1, 20)
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for gradient in right, wrong:
    remainder = [abs(log_density(x + t * v) - log_density(x) - t * gradient(x) @ v) for t in steps]
    slope = taylor_slopes(log_density, x, v, gradient(x) @ v)[0]
    axes.loglog(steps, remainder, ".-", label=f"{gradient.__name__}: slope {slope:.2f}")
axes.set(xlabel="t", ylabel="Taylor remainder")
axes.legend()
plt.show()
