"""Benchmarks run, and what they compare is the same: each call once, on the smaller systems; no time is judged."""

import shutil

import numba
import numpy as np
import pytest

from benchmarks import __main__ as program
from benchmarks import act, floors, gradcheck, peers, sampling, scaling, timing, workers
from benchmarks.page import Page, Ratio, Times, compare, draw, load, markdown
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


class Silent(Page):
    """A page that nobody reads."""

    def __init__(self):
        super().__init__({}, show=lambda text: None)


def rows_of(columns, measure):
    """The rows that a part of a benchmark measures, into a table of so many columns."""
    table = Silent().table("", "", [""] * columns)
    measure(table)
    return table.rows


def rows_of_page(measure):
    page = Silent()
    measure(page)
    return [row for table in page.tables for row in table.rows]


@pytest.mark.parametrize("measure", [
    pytest.param(lambda: rows_of_page(lambda page: act.main(page, calls=20, turns=1)), marks=pytest.mark.skipif(
        shutil.which("cc") is None, reason="no C compiler is on this machine")),
    lambda: rows_of(7, lambda table: floors.compare_meta_gradient(table, "point", "float32", 1)),
    lambda: rows_of(6, lambda table: floors.compare_stepping(table, "point", 1)),
    lambda: rows_of(6, lambda table: floors.products_of_a_layer(table, 1)),
    lambda: rows_of(6, lambda table: floors.each_pass(table, (4, 50, 50, 1), 1)),
    lambda: rows_of_page(lambda page: gradcheck.main(page, number=2)),
    lambda: rows_of_page(sampling.main),
    lambda: rows_of(6, lambda table: scaling.second_order(table, "point", GaussianPolicy(2, 2), 250, "float32", 1)),
    lambda: rows_of(4, lambda table: scaling.growth(table, "rows", [10, 30, 100, 300], tasks=1, width=8)),
    lambda: rows_of(6, lambda table: workers.speed_up(table, "point", *start(preset("point/norml")), repetitions=1)),
], ids=["act", "meta-gradient", "stepping", "products", "passes", "gradient checkers", "sampling", "second order",
        "growth", "workers"])
def test_a_benchmark_measures_rows(measure):
    rows = measure()
    assert any(character.isdigit() for row in rows for cell in row[1:] for character in str(cell))


def page_of(seconds, ratios, processor="one"):
    page = Page({"commit": "c", "processor": processor, "cpus": 2, "python": "3.11", "packages": {"numpy": "2"},
                 "blas": ["openblas"], "settings": {"OPENBLAS_CORETYPE": "Haswell"}}, show=lambda text: None)
    table = page.table("Against JAX", "In turn.", ["", "minorml", "by", "JAX", "by", "theirs / ours"])
    for name, ratio in ratios.items():
        table.row(name, Times(seconds), "1 process", Times(ratio * seconds), "scan", Ratio(ratio * seconds, seconds))
    return page


def test_measurements_are_kept_compared_and_drawn(tmp_path, capsys):
    rng = np.random.default_rng(0)
    seconds = 1e-3 * rng.uniform(0.9, 1.1, 30)
    page_of(seconds, {"gradient": 2.0}).save(tmp_path / "before.json")
    before = load(tmp_path / "before.json")
    assert markdown([before]) == markdown([page_of(seconds, {"gradient": 2.0})])
    compare(before, page_of(1e-3 * rng.uniform(0.9, 1.1, 30), {"gradient": 2.0, "new": 1.0}))
    assert "within noise" in capsys.readouterr().out
    compare(before, page_of(0.5 * seconds, {"gradient": 1.5}))
    told = capsys.readouterr().out
    assert "| JAX: gradient, minorml | " in told and "| 0.50 | better |" in told  # half the time
    assert "theirs / ours | 2 | 1.5 | 0.75 | worse |" in told and "OPENBLAS_CORETYPE=Haswell" in told
    compare(before, page_of(0.5 * seconds[:1], {"gradient": 1.5}))
    assert "too few turns to tell" in capsys.readouterr().out
    draw(page_of(seconds, {"gradient": 2.0, "rollout": 0.7}), tmp_path / "ratios.png")
    assert (tmp_path / "ratios.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="no ratio"):
        draw(page_of(seconds, {}), tmp_path / "none.png")


def test_tables_that_are_not_measured_anew_stay(tmp_path):
    page = page_of(np.ones(3), {"gradient": 2.0})
    page.table("Memory", "", ["MiB"]).row("100")
    page.save(tmp_path / "kept.json")
    later = page_of(np.ones(3), {"gradient": 3.0})
    later.facts["commit"] = later.tables[0].commit = "later"
    later.save(tmp_path / "kept.json")
    text = markdown([load(tmp_path / "kept.json")])
    assert "| 100 |" in text and "(commit c)" in text and text.count("### Against JAX") == 1
    assert "| scan | 3 |" in text and "Commit later" in text


def test_one_page_of_two_processors():
    text = markdown([page_of(np.ones(3), {"gradient": 2.0}), page_of(np.ones(3), {"gradient": 3.0}, "another")])
    assert text.count("### Against JAX") == 1 and text.count("| gradient |") == 2
    assert "1. Commit c; one, 2 CPUs" in text and "2. Commit c; another, 2 CPUs" in text


@pytest.mark.parametrize("arguments, message", [
    (["pears"], "unknown benchmark 'pears'; there are peers, "),
    (["--compare", "nothing.json"], "nothing.json: expected measurements by --json"),
    (["--json", "no/such/folder.json"], "its folder does not exist"),
])
def test_wrong_arguments_are_told_before_anything_is_measured(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        program.main(arguments)
    assert message in capsys.readouterr().err
