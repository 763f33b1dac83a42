"""A wrong gradient and the right one: the error of a difference against its step, and Taylor remainders.

Draws the picture of docs/gradcheck.md, as `report.plot` draws it for one of them.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from minorml.gradcheck import check

rng = np.random.default_rng(0)
A, y = rng.normal(size=(20, 6)), rng.normal(size=20)


def loss(W):
    return 0.5 * np.sum((np.tanh(A @ W) - y) ** 2)


def right(W):
    h = np.tanh(A @ W)
    return A.T @ ((h - y) * (1 - h**2))


def wrong(W):
    h = np.tanh(A @ W)
    return A.T @ ((h - y) * (1 - h))


PICTURE = Path(__file__).with_suffix(".png")


def main(path=PICTURE):
    W, v = rng.normal(size=(2, 6)) / 2
    figure, (left, center) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for label, gradient, color in ("right", right, "#1f77b4"), ("wrong", wrong, "#d62728"):
        assert check(loss, W, gradient=gradient).verdict == label
        claimed = gradient(W) @ v
        steps = 10.0 ** np.arange(-13, 0.6, 0.25)
        differences = np.array([(loss(W + t * v) - loss(W - t * v)) / (2 * t) for t in steps])
        left.loglog(steps, np.abs(differences / claimed - 1) + 1e-16, ".-", color=color, label=label)
        steps = 10.0 ** np.arange(-5, 0.1, 0.25)
        remainders = [abs(loss(W + t * v) - loss(W) - t * claimed) for t in steps]
        center.loglog(steps, remainders, ".-", color=color, label=label)
    left.set(xlabel="step t", ylabel="error of the central difference", title="difference against claim")
    center.set(xlabel="step t", ylabel="|f(x + t v) − f(x) − t · claim|", title="Taylor remainder")
    left.legend(), center.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
