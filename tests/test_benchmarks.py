"""Benchmarks run, and what they compare is the same: each call once, on the smaller systems; no time is judged."""

import shutil

import numba
import numpy as np
import pytest

from benchmarks import act, floors, gradcheck, peers, sampling, scaling, timing, workers
from benchmarks.systems import start
from minorml.policy import GaussianPolicy
from minorml.rl.presets import preset

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="what is timed is compiled code")


@pytest.fixture(autouse=True)
def once(monkeypatch):
    def each_once(*calls, **_):
        return np.array([[timing.seconds(call)] for call in calls])

    for module in floors, peers, sampling, scaling, workers:
        monkeypatch.setattr(module, "in_turn", each_once)


@pytest.mark.parametrize("table", [
    pytest.param(lambda: act.main(calls=20, turns=1), marks=pytest.mark.skipif(
        shutil.which("cc") is None, reason="no C compiler is on this machine")),
    lambda: floors.print_meta_gradient("point", "float32", 1),
    lambda: floors.print_stepping("point", 1),
    lambda: gradcheck.main(number=2),
    lambda: sampling.main(),
    lambda: scaling.print_second_order("point", GaussianPolicy(2, 2), 250, "float32"),
    lambda: scaling.print_growth("rows", [10, 30, 100, 300], tasks=1, width=8),
    lambda: workers.speed_up("point", *start(preset("point/norml")), repetitions=1),
], ids=["act", "meta-gradient", "stepping", "gradient checkers", "sampling", "second order", "growth", "workers"])
def test_a_benchmark_prints_rows_of_numbers(table, capsys):
    table()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert rows and any(character.isdigit() for character in rows[-1])
