"""Where adaptation pays: systems on one scale."""

import csv

import numpy as np
import pytest
from test_train import small

import minorml
from minorml.__main__ import main
from minorml.experiments.adaptation_map import System, read

pytest.importorskip("matplotlib", reason="optional extra `plot`")


def page(folder, curves, evaluation):
    """A page of results, as far as a map reads it: {label: {seed: [return on each held-out task]}}."""
    folder.mkdir()
    rows = [[label, seed, x] for label, seeds in evaluation.items() for seed, returns in seeds.items() for x in returns]
    with open(folder / "evaluation.csv", "w", newline="") as file:
        csv.writer(file).writerows([["run", "seed", "after_sampled"], *rows])
    for name, first in curves.items():
        (folder / name).write_text(f"iteration,pre_return,post_return\n1,{first},0\n2,0,0\n")
    return folder


PAYS = {"arm/dr": {0: [4, 2], 1: [6, 4]}, "arm/norml": {0: [8, 8], 3: [10, 9]}, "arm/maml": {0: [3, 3]},
        "arm/dr vary=side=choice:0": {0: [10], 1: [10]}, "arm/dr vary=side=choice:1": {0: [8], 1: [8]}}


def test_scores_and_shares(tmp_path):
    """(adaptation_map.1), (adaptation_map.2), by hand."""
    one, = read(page(tmp_path / "arm", {"arm-dr-0.csv": -2, "arm-dr-1.csv": 0}, PAYS))
    assert (one.name, one.untrained, one.ceiling) == ("arm", -1, 9)
    np.testing.assert_array_equal(one.single, [3, 5])
    assert set(one.adapted) == {"norml", "maml"}
    np.testing.assert_allclose(one.scores(one.adapted["norml"]), [0.9, 1.05])
    assert one.room == pytest.approx(0.5)
    np.testing.assert_allclose(one.share("norml"), [4 / 5, 5.5 / 5])
    np.testing.assert_allclose(one.share("maml"), [-1 / 5])


def test_the_best_single_policy_is_that_of_domain_randomizations_best_row(tmp_path):
    """It may have needed more iterations than the preset has."""
    more = {"arm/dr iterations=9": {0: [5], 1: [7]}, "arm/dr iterations=8": {0: [1]}}
    one, = read(page(tmp_path / "arm", {"arm-dr-0.csv": -2, "arm-dr-1.csv": 0}, PAYS | more))
    np.testing.assert_array_equal(one.single, [5, 7])
    assert one.room == pytest.approx(0.3) and one.untrained == -1


def test_no_share_where_one_policy_serves_all():
    one = System("cart", 0.0, 500.0, np.array([498.0, 499.0]), {"norml": np.array([499.0])})
    assert one.room == pytest.approx(0.003) and np.isnan(one.share("norml")).all()


def test_a_map_of_two_pages(tmp_path, capsys):
    arm = page(tmp_path / "arm", {"arm-dr-0.csv": -2, "arm-dr-1.csv": 0}, PAYS)
    cart = page(tmp_path / "cart", {"cart-dr-0.csv": 10}, {
        "cart/dr": {0: [498]}, "cart/dr vary=bias=uniform:0.1,0.1": {0: [500]}, "cart/norml": {0: [497]},
        "cart/dr iterations=7": {0: [3]}, "cart/dr vary=bias=uniform:0,1": {0: [3]}, "other/norml": {0: [3]}})
    assert main(["map", str(arm), str(cart), "--out", str(tmp_path / "map")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "map/README.md")
    text = (tmp_path / "map/README.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[0] == ("| system | untrained | best single policy | maml | norml | ceiling | room | share, maml | "
                       "share, norml |")
    assert rows[2] == "| cart | 10.00 | 498.00 |  | 497.00 | 500.00 | 0 % |  | no room |"  # the least room first
    assert rows[3].endswith("| 9.00 | 50 % | −20 % | 95 % |") and rows[3].startswith("| arm | −1.00 | 4.00 (")
    assert (tmp_path / "map/map.png").read_bytes().startswith(b"\x89PNG")
    with open(tmp_path / "map/map.csv") as file:
        scores = [(row["system"], row["method"], float(row["score"])) for row in csv.DictReader(file)]
    assert scores == [("cart", "dr", 0.9959), ("cart", "norml", 0.9939), ("arm", "dr", 0.4), ("arm", "dr", 0.6),
                      ("arm", "maml", 0.4), ("arm", "norml", 0.9), ("arm", "norml", 1.05)]


@pytest.mark.parametrize("evaluation, told", [
    ({"arm/norml": {0: [1]}}, "no system in these pages has a run of domain randomization"),
    ({"arm/dr": {0: [1]}}, "arm has no run of arm/dr on one task alone"),
])
def test_what_is_missing(tmp_path, capsys, evaluation, told):
    folder = page(tmp_path / "arm", {"arm-dr-0.csv": 0}, evaluation)
    assert main(["map", str(folder), "--out", str(tmp_path / "map")]) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "map").exists()


@pytest.mark.parametrize("content", [None, "", "a,b\n1,2\n", "run,seed,after_sampled\narm/dr,x,1\n"])
def test_what_is_no_page(tmp_path, capsys, content):
    if content is not None:
        (tmp_path / "evaluation.csv").write_text(content)
    assert main(["map", str(tmp_path), "--out", str(tmp_path / "map")]) == 2
    err = capsys.readouterr().err
    assert f"{tmp_path}: expected the folder of a page of results" in err or "no system in these pages" in err


def test_from_runs_to_the_map(tmp_path):
    """The files are those that `report` writes."""
    for name, config in {"a": small("cartpole-motor/dr"), "b": small("cartpole-motor/norml"),
                         "c": small("cartpole-motor/dr", vary=("reversed=choice:0",)),
                         "d": small("cartpole-motor/dr", vary=("reversed=choice:1",))}.items():
        minorml.train(config, tmp_path / "runs" / name, progress=False)
    assert main(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "page"), "--repetitions", "1"]) == 0
    one, = read(tmp_path / "page")
    assert one.name == "cartpole-motor" and set(one.adapted) == {"norml"} and np.isfinite(one.ceiling)
