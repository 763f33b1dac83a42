"""What kind of mistake it is, if the numbers show it: a factor, a sign, a transpose, another order, a missing term."""

from fractions import Fraction

import numpy as np

EXACT = 1e-5  # relative residual below which a pattern is taken for one


def explain(claimed, expected, wrong, layout):
    """Sentences about a gradient: claimed, expected and wrong are (P,), the last says where."""
    if not wrong.any():
        return []
    sentences = []
    for block in layout.blocks:
        part = wrong[block.slice]
        if part.any():
            found = _pattern(claimed[block.slice], expected[block.slice], block.shape, layout.vector[block.slice])
            sentences.append((block.name, int(part.sum()), part.size, found))
    everywhere = all(found == sentences[0][3] and found for *_, found in sentences)
    if len(layout.blocks) > 1 and everywhere and wrong.sum() > 1:
        right = [block.name for block in layout.blocks if not wrong[block.slice].any()]
        names = ", ".join(name for name, *_ in sentences)
        return [f"in {names}: {sentences[0][3]}" + (f"; {', '.join(right)}: right" if right else "")]
    if len(layout.blocks) == 1 and sentences[0][3] is None:
        return []
    return [f"{name}: {number} of {size} wrong" + (f": {found}" if found else "")
            for name, number, size, found in sentences]


def _pattern(g, d, shape, x):
    """What turns d, the derivative, into g, the claim; None where nothing simple does."""
    if not np.isfinite(g).all() or not np.isfinite(d).all():
        return None
    if not g.any():
        return "the claim is zero"
    factor = _factor(g, d)
    if factor is not None:
        return factor
    if g.size < 3:
        return None
    if len(shape) == 2 and min(shape) > 1 and _same(g, d.reshape(shape).T.ravel()):
        return "the claim is the transpose, read in the other's order"
    if _same(g, d[::-1]):
        return "the claim is in the reverse order"
    if _same(np.sort(g), np.sort(d)):
        return "the claim has the same numbers in another order"
    if _same(np.abs(g), np.abs(d)):
        return "the claim has other signs"
    rest = d - g
    if _same(rest, np.full_like(rest, rest.mean())):
        return f"the claim is {_number(abs(rest.mean()))} too {'small' if rest.mean() > 0 else 'large'} everywhere"
    along_x = _fit(rest, x)
    if along_x is not None:
        return f"a term {_number(along_x)} · x is missing"
    return None


def _same(a, b):
    return np.any(b) and np.linalg.norm(a - b) <= EXACT * np.linalg.norm(b)


def _fit(a, b):
    """c with a = c b, or None."""
    if not b.any():
        return None
    c = a @ b / (b @ b)
    return c if _same(a, c * b) else None


def _factor(g, d):
    c = _fit(g, d)
    if c is None or np.linalg.norm(g - c * d) > 1e-2 * np.linalg.norm(g - d):
        return None
    if abs(c + 1) < EXACT:
        return "the claim has the other sign"
    if abs(c - 1) < 1e-3:
        return f"the claim is the derivative times 1 {'+' if c > 1 else '-'} {abs(c - 1):.2g}"
    return f"the claim is {_number(c)} times the derivative"


def _number(c):
    """2, 1/6, 1.03: a fraction where it is a simple one."""
    near = Fraction(float(c)).limit_denominator(1000)
    if near and abs(float(near) - c) < EXACT * abs(c) and (abs(near.numerator) == 1 or near.denominator <= 12):
        return str(near)
    return f"{c:.4g}"
