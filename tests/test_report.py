"""The page of results."""

import csv
import dataclasses
import json
import shutil
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from test_train import small

import minorml
from minorml.__main__ import main, parser
from minorml.commands.training import configuration
from minorml.experiments import published
from minorml.experiments.report import curve_file, find, report
from minorml.experiments.reproduction import commands
from minorml.experiments.tables import duration
from minorml.rl.presets import preset
from minorml.runs.checkpoints import write_atomically
from minorml.runs.directory import Run, RunError

ROOT = Path(__file__).parents[1]
pytest.importorskip("matplotlib", reason="optional extra `plot`")


def run(path, name="point/norml", keep=4, **fields):
    """A tiny run, of which `keep` of 4 iterations are left."""
    minorml.train(small(name, **{"horizon": 3, **fields}), path, progress=False)
    lines = (path / "metrics.csv").read_text().splitlines(keepends=True)
    write_atomically(path / "metrics.csv", "".join(lines[:keep + 1]).encode())


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    for seed in (0, 1, 3):
        run(folder / f"point-norml-{seed}", seed=seed)
    for seed in (0, 1):
        run(folder / f"point-dr-{seed}", "point/dr", seed=seed)
    run(folder / "failed", "point/norml-no-offset", keep=2, seed=5)
    (folder / "failed/failures/iteration-000003.npz").touch()
    run(folder / "stopped", "point/norml-no-offset", keep=1, seed=6)
    run(folder / "unreadable", "point/norml-no-offset", seed=7)
    for path in (folder / "unreadable/checkpoints").iterdir():
        path.write_bytes(b"")
    run(folder / "begun", "point/norml-no-offset", seed=8)
    (folder / "begun/metrics.csv").unlink()
    return folder


@pytest.fixture(scope="module")
def page(sweep, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "page"
    assert main(["report", str(sweep), "--out", str(out), "--tasks", "3", "--repetitions", "2"]) == 0
    return out


def row(page, *begin):
    (line,) = [line for line in (page / "README.md").read_text().partition("## Every seed")[2].splitlines()
               if line.startswith("| " + " | ".join(begin) + " |")]
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_files_and_links(page):
    runs = [f"point-norml-{seed}.csv" for seed in (0, 1, 3)] + ["point-dr-0.csv", "point-dr-1.csv"] + [
        f"point-norml-no-offset-{seed}.csv" for seed in (5, 6, 7)]
    figures = ["point-learning.png", "point-trajectories.png", "point-advantage.png", "point-advantage-angle.png"]
    others = ["README.md", "evaluation.csv", "point-spread.csv"]
    assert {path.name for path in page.iterdir()} == {*others, *runs, *figures}
    assert all(f"]({name})" in (page / "README.md").read_text() for name in figures)


def test_curves_are_those_of_the_runs(sweep, page):
    with open(page / "point-norml-1.csv") as file:
        rows = list(csv.DictReader(file))
    for mine, theirs in zip(rows, Run(sweep / "point-norml-1").metrics(), strict=True):
        assert list(mine) == ["iteration", "env_steps", "seconds", "pre_return", "post_return"]
        assert float(mine["post_return"]) == pytest.approx(theirs["post_return"], rel=1e-4)


def test_every_seed_is_shown_and_what_ended_early_says_so(sweep, page):
    for seed in (0, 1, 3):
        after = np.mean([r["post_return"] for r in Run(sweep / f"point-norml-{seed}").metrics()])
        cells = row(page, "point/norml", str(seed))
        assert cells[2] == "4" and cells[-1] == ""
        assert float(cells[5].replace("−", "-")) == pytest.approx(after, abs=6e-3)
    for seed, problem in ((5, "failed in iteration 3: a number was not finite"), (6, "unfinished: 1 of 4 iterations"),
                          (7, "not evaluated"), (8, "unfinished: 0 of 4 iterations")):
        assert problem in row(page, "point/norml-no-offset", str(seed))[-1]
    assert "4, 3 not finished" in (page / "README.md").read_text()


def test_held_out_returns_are_those_of_evaluate(sweep, page):
    with open(page / "evaluation.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 7  # tasks × runs that can be loaded
    tasks = [{"rotation": float(r["rotation"])} for r in rows if (r["run"], r["seed"]) == ("point/norml", "3")]
    trained = minorml.load(sweep / "point-norml-3")
    for how in ("sampled", "deterministic"):
        scores = minorml.evaluate(trained, tasks, 1, 2, deterministic=how == "deterministic")
        for stage, name in (("before", "before"), ("offset only", "offset"), ("after 1", "after")):
            mine = [float(r[f"{name}_{how}"]) for r in rows if (r["run"], r["seed"]) == ("point/norml", "3")]
            np.testing.assert_allclose(mine, [s.returns.mean() for s in scores if s.stage == stage], rtol=1e-4)
    randomized = next(r for r in rows if r["run"] == "point/dr")
    assert randomized["offset_sampled"] == "" and randomized["before_sampled"] == randomized["after_sampled"]


def test_where_it_comes_from(sweep, page):
    text = (page / "README.md").read_text()
    versions = json.loads((sweep / "point-norml-0/versions.json").read_text())
    assert versions["processor"] in text and f"numpy {versions['packages']['numpy']}" in text
    assert f"commit {versions['commit'] or 'not recorded'}" in text
    assert f"minorml report {sweep} --out {page} --tasks 3 --repetitions 2 --seed 0" in text
    curves = [list(csv.DictReader(file.open())) for file in page.glob("point-*-[0-9].csv")]
    took = sum(float(rows[-1]["seconds"]) for rows in curves if rows)
    assert f"would have taken {duration(took)}." in text


def test_the_commands_make_the_same_runs(sweep):
    runs = {r.path: r.config for r in find([sweep])}
    made = {}
    for words in commands(find([sweep])):
        assert words[0] == "minorml"
        args = parser().parse_args(words[1:])
        if args.verb == "train":
            made[args.out] = configuration(args)
            continue
        for name in args.presets.split(","):
            for seed in args.seeds:
                one = ["train", "--preset", name, "--seed", str(seed), "--out", "x"]
                options = [x for text in args.set for x in ("--set", text)]
                made[args.out / f"{name.replace('/', '-')}-{seed}"] = configuration(parser().parse_args(one + options))
    assert made == runs


def test_the_command_of_an_environment_without_presets(tmp_path):
    config = dataclasses.replace(preset("point/norml"), env="Pendulum-v1", vary=("g=uniform:5,15", "m=choice:1,2"),
                                 obs_scale=(1, 1, 8), seed=4, log_std=-0.5)
    run = Run.create(tmp_path / "run", config)
    run.close()
    (words,) = commands([run])
    assert configuration(parser().parse_args(words[1:])) == config


def test_curves_have_names_that_every_system_allows():
    assert curve_file("cartpole/dr vary=angle_bias=choice:-1,0", 3) == "cartpole-dr-vary=angle_bias=choice_-1_0-3.csv"


def test_one_run_alone(tmp_path):
    run(tmp_path / "run", "cartpole/maml", horizon=4)
    text = report([tmp_path / "run"], tmp_path / "page", tasks=2, repetitions=1, progress=False).read_text()
    assert "cartpole/maml" in text and "Probability" not in text and "Trajectories" not in text


def test_without_matplotlib_nothing_is_done(sweep, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["report", str(sweep), "--out", str(tmp_path / "page")]) == 2
    out, err = capsys.readouterr()
    assert "plots need matplotlib" in err and not out and not (tmp_path / "page").exists()


def test_wrong_folders(sweep, tmp_path, capsys):
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "page")]) == 2
    assert "no run here, and none in a folder of it" in capsys.readouterr().err
    shutil.copytree(sweep / "point-norml-0", tmp_path / "again")
    with pytest.raises(RunError, match="the same configuration and seed as"):
        report([sweep, tmp_path], tmp_path / "page", progress=False)
        report([sweep, tmp_path], tmp_path / "page", progress=False)
    assert not (tmp_path / "page").exists()
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="expected a folder; there is a file of that name"):
        report([sweep], tmp_path / "file", progress=False)


def test_a_run_whose_environment_is_not_here(tmp_path):
    """Of somebody's own `make_envs`: its curve is on the page, and why it was not evaluated."""
    config = dataclasses.replace(small("point/dr"), env="my:Robot-v0")
    minorml.train(config, tmp_path / "run", progress=False,
                  make_envs=lambda n: gymnasium.make_vec("minorml_envs:minorml/PointRotation-v0", num_envs=n))
    text = report([tmp_path / "run"], tmp_path / "page", tasks=2, repetitions=1, progress=False).read_text()
    assert "# Results: Robot-v0" in text and "](Robot-v0-learning.png)" in text
    assert "not evaluated: env: cannot make 'my:Robot-v0'" in text


PAPER = """# read off a figure
system,method,trajectories,return
point,norml,0,-12
point,norml,60,-6
point,maml,60,-1
cartpole,norml,10,500
"""


def test_published_curves_stand_beside_ours(tmp_path):
    minorml.train(small(iterations=4, num_tasks=2, num_trajectories=5), out=tmp_path / "run", progress=False)
    (tmp_path / "paper.csv").write_text(PAPER)
    page = report([tmp_path / "run"], tmp_path / "page", 2, 1, progress=False, curves=tmp_path / "paper.csv")
    rows = [line for line in page.read_text().splitlines() if line.startswith("|")]
    assert "| trajectories | 12 | 24 | 36 | 48 | 60 |" in rows  # an iteration has 20
    theirs, ours = (next(row for row in rows if row.startswith(f"| {name} |") and row.count("|") == 7)
                    for name in ("the paper's norml", "point/norml"))
    assert theirs == "| the paper's norml | −10.80 | −9.60 | −8.40 | −7.20 | −6.00 |"
    returns = [row["post_return"] for row in Run(tmp_path / "run").metrics()]
    assert [float(x.replace("−", "-")) for x in ours.split("|")[2:-1]] == pytest.approx(
        [returns[n] for n in (0, 1, 1, 2, 2)], abs=0.005)
    assert any("the paper's maml" in row for row in rows) and "--curves" in page.read_text()
    assert "Dashed: the paper's curves" in page.read_text()


def test_published_curves_go_no_further_than_ours(tmp_path):
    minorml.train(small(iterations=2, num_tasks=2, num_trajectories=5), out=tmp_path / "run", progress=False)
    (tmp_path / "paper.csv").write_text(PAPER)
    page = report([tmp_path / "run"], tmp_path / "page", 2, 1, progress=False, curves=tmp_path / "paper.csv")
    assert "| trajectories | 8 | 16 | 24 | 32 | 40 |" in page.read_text()
    curve = published.Published("norml", np.array([0.0, 40.0, 80.0]), np.array([-12.0, -8.0, -4.0]))
    for end, where in (60, [0, 40, 60]), (40, [0, 40]), (20, [0, 20]), (np.inf, [0, 40, 80]):
        cut = published.until(curve, end)
        np.testing.assert_array_equal(cut.trajectories, where)
        np.testing.assert_allclose(cut.returns, -12 + np.array(where) / 10)


@pytest.mark.parametrize("text", ["system,method\npoint,norml\n",
                                  "system,method,trajectories,return\npoint,norml,x,1\n"])
def test_curves_that_cannot_be_read_are_an_error(text, tmp_path):
    (tmp_path / "paper.csv").write_text(text)
    with pytest.raises(ValueError, match="paper.csv: expected lines of system,method,trajectories,return"):
        published.read(tmp_path / "paper.csv", "point")


def test_the_papers_curves_are_whole():
    curves = {system: published.read(ROOT / "results" / "paper.csv", system)
              for system in ("point", "point-sparse", "cartpole", "cartpole-positions", "cheetah")}
    assert [len(found) for found in curves.values()] == [4, 4, 5, 5, 5]
    ends = {curve.method: curve.returns[-1] for curve in curves["point"]}
    assert ends["norml"] == max(ends.values()) > -0.2
    assert all((np.diff(curve.trajectories) > 0).all() for found in curves.values() for curve in found)
