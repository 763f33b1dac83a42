"""A verdict on derivatives: `check`."""

import numpy as np

from .findings import Examination
from .function import Function, look
from .judge import RIGHT
from .layout import Layout
from .report import Finding, Report

EVERY = 1000  # coordinates, up to which each is looked at
listeners: list = []  # functions of a Report, called with every one that is made


def check(f, x, gradient=None, hvp=None, jvp=None, vjp=None, names=None, rng=0, *, subgradient=False, every=None,
          oracle=None, rtol=None):
    """Judge what is claimed to be the derivative of f at x.

    Parameters
    ----------
    f : x ↦ a number, or an array of shape F
    x : a number, an array of any shape, or a dict, list or tuple of arrays; f is called with the like
    gradient : of the form of x, each array with F after its own shape; or the function that gives it, x ↦ gradient
    hvp : (x, v) ↦ the Hessian times v, of the form of x; is compared with `gradient`, which must be a function
    jvp : (x, v) ↦ the derivative of f along v, of shape F
    vjp : (x, w) ↦ the gradient of ⟨w, f(x)⟩, of the form of x
    names : {name: slice} of the flattened x, for the report; arrays in a dict bear their keys
    rng : seed, or Generator, of the random directions
    subgradient : at a kink of f, whether anything between its slopes on both sides is right; else it is "cannot tell"
    every : whether to look at each coordinate; by default where x has at most 1,000. Otherwise random directions are
        tried, and where they disagree the wrong coordinates are found by bisection, with memory for a few copies of x
    oracle, rtol : "differences", to do without the complex step; or a derivative (f, x, v) ↦ f'(x)·v of one's own,
        and the relative error of it

    Returns
    -------
    Report : true where everything is right

    Raises TypeError or ValueError where f, x or names cannot be used; a gradient of a wrong shape is a wrong gradient.
    Without f (None), jvp and vjp are compared with each other, ⟨w, J v⟩ = ⟨Jᵀ w, v⟩: they can be wrong together.
    """
    layout = Layout(x, names)
    rng = np.random.default_rng(rng)
    examine = Examination(layout, rng, subgradient, layout.size <= EVERY if every is None else every, oracle, rtol)
    claims = {"gradient": gradient, "hvp": hvp, "jvp": jvp, "vjp": vjp}
    if all(claim is None for claim in claims.values()):
        raise ValueError("check: expected gradient, hvp, jvp or vjp; given none of them")
    if f is None and (jvp is None or vjp is None or gradient is not None or hvp is not None):
        raise ValueError("check: expected f; given None, with which only jvp and vjp can be compared")
    if hvp is not None and not callable(gradient):
        raise ValueError("hvp: expected `gradient` as a function beside it, x ↦ gradient, to be compared with; given "
                         + ("none" if gradient is None else "an array"))
    findings = []
    if f is not None:
        function = Function(f, layout)
        if 0 in function.shape:
            return Report([Finding(name, RIGHT, "f(x) has no elements, and so no derivative that could be wrong")
                           for name, claim in claims.items() if claim is not None])
        facts = look(function, rng)
        if gradient is not None:
            findings.append(examine.gradient(function, facts, gradient))
        if hvp is not None:
            findings.append(examine.hvp(function, gradient, hvp))
        if jvp is not None:
            findings.append(examine.jvp(function, facts, jvp))
        if vjp is not None:
            findings.append(examine.vjp(f, function, facts, vjp))
    if jvp is not None and vjp is not None:
        findings.append(examine.adjoint(jvp, vjp))
    report = Report(findings)
    for listener in listeners:
        listener(report)
    return report

