"""Proof of the proofs: plant one mistake, run the gradient tests on the mistaken copy, and see them fail.

Each row of `MUTANTS` is a mistake that is easily made in this mathematics. The tests of its own module,
`pytest -m gradients tests/test_<module>.py`, must catch it by an assertion about numbers: exit status 1, not
the 2 or more of a copy that cannot be imported. The unharmed copy must pass the same way.
"""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.mutations


class Mutant(NamedTuple):
    module: str
    mistake: str
    original: str  # stands exactly once in the module
    mutated: str


UNHARMED = Mutant("", "none", "", "")
TESTED_BY = {"kernels/recurrences": "kernels", "kernels/tile": "tile_kernels", "kernels/network": "network_kernels",
             "kernels/activation": "network_kernels",  # which it is compiled into
             "kernels/surrogate": "surrogate_kernels"}

MUTANTS = [Mutant(*row) for row in [
    ("kernels/recurrences", "outer product without its second factor",
     "x[n, i] * dz[n, o]", "x[n, i]"),
    ("kernels/recurrences", "recurrence without the discount",
     "following = rows[n, t] + discount * following", "following = rows[n, t] + following"),
    ("kernels/recurrences", "reward discounted too",
     "following = rows[n, t] + discount * following", "following = discount * (rows[n, t] + following)"),
    ("kernels/recurrences", "returns run forward",
     "range(rows.shape[1] - 1, -1, -1)", "range(rows.shape[1])"),

    ("mlp", "slope of tanh: 1 - h for 1 - h h",
     "return x - x * h * h", "return x - x * h"),
    ("mlp", "f'' term dropped",
     "Rx - Rx * h * h - (x + x) * h * Rh", "Rx - Rx * h * h"),
    ("mlp", "f'' term halved",
     "- (x + x) * h * Rh", "- x * h * Rh"),
    ("mlp", "f'' term added",
     "- (x + x) * h * Rh", "+ (x + x) * h * Rh"),
    ("mlp", "slope of relu on the wrong side",
     "np.where(h.real <= 0, 0, x)", "np.where(h.real <= 0, x, 0)"),
    ("mlp", "bias gradient averaged over rows",
     "sum_rows(dz)) for h, dz", "sum_rows(dz) / len(dz)) for h, dz"),
    ("mlp", "jvp: bias direction missing",
     "Rz = hs[l] @ V + c", "Rz = hs[l] @ V"),
    ("mlp", "jvp: layers below do not move",
     "Rz = Rz + Rhs[l] @ W", "pass"),
    ("mlp", "R{vjp}: V^T term missing",
     " + dzs[l] @ transpose(directions[l][0])", ""),
    ("mlp", "R{vjp}: Rh^T dz term missing",
     "RdW = RdW + transpose(Rhs[l]) @ dzs[l]", "pass"),
    ("mlp", "vjp: dz not taken through f'",
     "self.activation.times_slope(dhs[-1], hs[l])", "dhs[-1]"),

    ("mlp", "a sum over rows that forgets the last",
     "return dz.sum(axis=-2)", "return dz[..., :-1, :].sum(axis=-2)"),

    ("kernels/network", "every task given the first one's parameters",
     "forward_block(activation, widths, params[i % len(params)], block)",
     "forward_block(activation, widths, params[0], block)"),
    ("kernels/network", "the last block left out",
     "for b in range(num_blocks(x.shape[1], R)):", "for b in range(x.shape[1] // R):"),
    ("kernels/network", "biases missing",
     "h[n] = 1", "h[n] = 0"),
    ("kernels/activation", "f'' term halved",
     "(xs[i] + xs[i]) * hs[i] * Rhs[i]", "xs[i] * hs[i] * Rhs[i]"),
    ("kernels/network", "jvp: layers below do not move",
     "product(Rz, MORE, params[start:], ONE, m, n, Rh)", "pass"),
    ("kernels/network", "R{vjp}: V^T term missing",
     "product(Rdh, MORE, v[start:], m, ONE, m, dz)", "pass"),
    ("kernels/network", "R{vjp}: Rh^T dz term missing",
     "dots(Rsums[start:start + n * m], MORE, Rh, dz)", "pass"),
    ("kernels/network", "gradient of the last block alone",
     "blocks[i, b], dblock, b == 0, sums)", "blocks[i, b], dblock, True, sums)"),
    ("kernels/network", "rows that fill up a block count",
     "lines[:, count:] = 0", "lines[:, count:] = 1"),
    ("kernels/tile", "a tile that leaves a row out",
     "for i in range(tall, rows):\n            _product_flat(C",
     "for i in range(tall + 1, rows):\n            _product_flat(C"),
    ("kernels/tile", "C not added",
     "builder.select(fresh, zero, builder.load(place, align=self.bytes))", "zero"),
    ("kernels/tile", "half of the lanes left out",
     "for n in (0, count)]", "for n in (0, 0)]"),

    ("gaussian", "log density without its log sigma",
     "- (log_std.sum(-1) + 0.5 * LOG_2PI", "- (0.5 * LOG_2PI"),
    ("gaussian", "variance for deviation",
     "return (a - mean) * np.exp(-log_std)", "return (a - mean) * np.exp(-2 * log_std)"),
    ("gaussian", "vjp: -1 of the log sigma gradient missing",
     "_column_sums(we, e) - w.sum(-1, keepdims=True)", "_column_sums(we, e)"),
    ("gaussian", "vjp: sign of the mean's gradient",
     "return we * np.exp(-log_std), _col", "return -we * np.exp(-log_std), _col"),
    ("gaussian", "rows: -1 of the log sigma gradient missing",
     "e * e - 1", "e * e"),
    ("gaussian", "jvp: e does not move with log sigma",
     "Re = -Rmean * np.exp(-log_std) - e * Rlog_std", "Re = -Rmean * np.exp(-log_std)"),
    ("gaussian", "jvp: log sigma term missing",
     "return -_row_sums(e, Re) - Rlog_std.sum(-1), Re", "return -_row_sums(e, Re), Re"),
    ("gaussian", "R{vjp}: log sigma term missing",
     "(Rwe - we * Rlog_std) * np.exp(-log_std)", "Rwe * np.exp(-log_std)"),
    ("gaussian", "R{vjp}: Rw dropped",
     "Rwe = Rw[..., None] * e + w", "Rwe = w"),
    ("gaussian", "R{vjp}: e^2 differentiated once, not twice",
     "_column_sums(Rwe, e) + _column_sums(we, Re)", "_column_sums(Rwe, e)"),

    ("policy", "log sigma has no gradient",
     "mlp.vjp(self.mean_params, self.hs, dmean), dlog_std]",
     "mlp.vjp(self.mean_params, self.hs, dmean), 0 * dlog_std]"),
    ("policy", "tangent of the vjp: its weights' own motion in place of the weights",
     "dmean, _ = gaussian.vjp(at.e, at.log_std, w)", "dmean, _ = gaussian.vjp(at.e, at.log_std, Rw)"),
    ("policy", "hvp: the gradient added",
     "along(v).vjp(w, np.zeros_like(w))", "along(v).vjp(w, w)"),

    ("advantage", "rows not weighted",
     "self.mlp.vjp(psi, hs, w[..., None])", "self.mlp.vjp(psi, hs, np.ones_like(w)[..., None])"),
    ("advantage", "s in place of s'",
     "np.concatenate([s, a, next_s], axis=-1)", "np.concatenate([s, a, s], axis=-1)"),

    ("advantage", "hvp: its weights moving",
     "self.mlp.jvp(psi, hs, v), np.zeros_like(dy))", "self.mlp.jvp(psi, hs, v), dy)"),

    ("surrogate", "log form: 1/N missing in dslope_dA",
     "dslope_dA=np.full_like(x, 1 / n)", "dslope_dA=np.ones_like(x)"),
    ("surrogate", "ratio form: outer product left out",
     "loss=slope, slope=slope, curvature=slope,", "loss=slope, slope=slope, curvature=0 * slope,"),
    ("surrogate", "ratio form: minus sign missing",
     "dslope_dA = -ratio(x, old_log_probs) / x.shape[-1]", "dslope_dA = ratio(x, old_log_probs) / x.shape[-1]"),
    ("surrogate", "ratio not held constant where no old log-probabilities are given",
     "x.real.copy() if old_log_probs is None", "x if old_log_probs is None"),
    ("surrogate", "clip: comparison swapped",
     "r.real > bound, r.real < bound", "r.real < bound, r.real > bound"),
    ("surrogate", "clip: bounds swapped",
     ">= 0, 1 + clip, 1 - clip)", ">= 0, 1 - clip, 1 + clip)"),
    ("surrogate", "gradient of the loss in place of its slope",
     "at.vjp(rows.slope), rows.dslope_dA", "at.vjp(rows.loss), rows.dslope_dA"),
    ("surrogate", "Hessian without the curvature",
     "tangent.vjp(rows.slope, rows.curvature * tangent.log_prob)", "tangent.vjp(rows.slope, 0 * tangent.log_prob)"),

    ("kernels/surrogate", "ratio of one where old log-probabilities are given",
     "put(old[i, first:first + count], before)", "pass"),
    ("kernels/surrogate", "clip: the upper bound lower",
     "number(1 - clip), number(1 + clip)", "number(1 - clip), number(1 - clip)"),
    ("kernels/surrogate", "-1 of the log sigma gradient missing",
     "e[u, r] * e[u, r] - one)", "e[u, r] * e[u, r])"),
    ("kernels/surrogate", "later blocks kept over the first",
     "blocks[i % len(blocks), b % blocks.shape[1]]", "blocks[i % len(blocks), 0]"),
    ("kernels/surrogate", "jvp: log sigma term missing",
     "-= e[u, r] * Re[u, r] + Rlog_std[u]", "-= e[u, r] * Re[u, r]"),
    ("kernels/surrogate", "Hessian without the curvature",
     "Rw = w * Rx_block[r] if curved else zero", "Rw = zero"),

    ("methods", "MAML adapts on the log form",
     '"maml", surrogate.ratio_form', '"maml", surrogate.log_form'),
    ("methods", "NoRML adapts from rewards",
     'surrogate.log_form, advantage.learned, ("theta", "psi", "offset")',
     'surrogate.log_form, advantage.estimated, ("theta", "psi", "offset")'),

    ("meta", "adaptation uphill",
     "meta.offset - meta.alpha * g", "meta.offset + meta.alpha * g"),
    ("meta", "adaptation without the offset",
     "meta.theta + meta.offset - meta.alpha * g", "meta.theta - meta.alpha * g"),
    ("meta", "alpha missing in v",
     "along(meta.alpha * g_post)", "along(g_post)"),
    ("meta", "theta: identity missing",
     "theta=g_post - Hv", "theta=-Hv"),
    ("meta", "theta: sign of H v",
     "theta=g_post - Hv", "theta=g_post + Hv"),
    ("meta", "theta: first order only",
     "theta=g_post - Hv", "theta=g_post"),
    ("meta", "psi: sign",
     "psi=-advantage_vjp(", "psi=advantage_vjp("),
    ("meta", "psi: g' in place of v",
     "dslope_dA * Rx)", "dslope_dA * along(g_post)[0])"),
    ("meta", "psi: dslope_dA missing",
     "dslope_dA * Rx)", "Rx)"),
    ("meta", "alpha: sign",
     "alpha=-g * g_post", "alpha=g * g_post"),
    ("meta", "several steps: pullbacks in the wrong order",
     "in reversed(pullbacks)", "in pullbacks"),
    ("meta", "several steps: each fed the last gradient",
     "step_back(total.theta)", "step_back(g_post)"),
    ("meta", "several steps: offset, psi and alpha not accumulated",
     "*(a + b for a, b in", "*(b for _, b in"),
]]


def run_gradient_tests(mutant, folder):
    """pytest on a copy with the mistake in it; the finished process, with its output as text.

    The copy is of the mathematics alone: it has its own, empty, configuration, no plugin but hypothesis, and an
    empty `__init__`, which would import the training program too.
    """
    for package in "minorml", "tests":
        shutil.copytree(ROOT / package, folder / package,
                        ignore=shutil.ignore_patterns("__pycache__", Path(__file__).name))
    (folder / "minorml" / "__init__.py").write_text("")
    (folder / "pytest.ini").write_text("[pytest]\n")
    if mutant is not UNHARMED:
        path = folder / "minorml" / f"{mutant.module}.py"
        text = path.read_text(encoding="utf-8")
        assert text.count(mutant.original) == 1, f"{mutant}: expected the original once"
        path.write_text(text.replace(mutant.original, mutant.mutated), encoding="utf-8")
    modules = [mutant.module] if mutant is not UNHARMED else sorted({mutant.module for mutant in MUTANTS})
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    environment |= dict(PYTHONPATH=str(folder), PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", OPENBLAS_NUM_THREADS="1",
                        NUMBA_DISABLE_JIT="0" if mutant.module in ("kernels/recurrences", "kernels/tile") else "1")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "gradients", "-p", "no:cacheprovider",
               "-p", "_hypothesis_pytestplugin", "--hypothesis-profile=mutations"]
    files = [f"tests/test_{module}.py" for module in {TESTED_BY.get(module, module): None for module in modules}]
    return subprocess.run(command + files, cwd=folder, env=environment, timeout=300, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.fixture(scope="session")
def outcomes(request, tmp_path_factory):
    """Mutant → future of its process, for the mutants that this session asks about, two at a time."""
    wanted = [item.callspec.params["mutant"] for item in request.session.items if item.path == Path(__file__)]
    with ThreadPoolExecutor(2) as executor:
        yield {mutant: executor.submit(run_gradient_tests, mutant, tmp_path_factory.mktemp("mutant"))
               for mutant in wanted}
        executor.shutdown(cancel_futures=True)


# The slowest is submitted first.
@pytest.mark.parametrize("mutant", [UNHARMED], ids=["unharmed"])
def test_the_unharmed_copy_passes(mutant, outcomes):
    process = outcomes[mutant].result()
    assert process.returncode == 0, process.stdout


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.module}: {mutant.mistake}")
def test_the_mistake_is_caught(mutant, outcomes):
    process = outcomes[mutant].result()
    assert process.returncode == 1, process.stdout
    assert re.search(r"^E +(AssertionError|assert )", process.stdout, re.MULTILINE), process.stdout
