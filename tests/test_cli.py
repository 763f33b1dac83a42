"""The program, as its users run it."""

import csv
import io
import subprocess
import sys

import numpy as np
import pytest

from minorml.__main__ import main
from minorml.rl.presets import PRESETS

TINY = ["--iterations", "3", *(x for text in ("num_tasks=2", "num_trajectories=3", "hidden=4", "laf_hidden=4")
                              for x in ("--set", text))]


def train(out, *options, preset="point/norml"):
    return main(["train", "--preset", preset, "--out", str(out), *TINY, *options])


def test_from_training_to_the_picture(tmp_path, capsys):
    run = tmp_path / "run"
    assert train(run) == 0
    out, err = capsys.readouterr()
    assert "3 iterations" in out and "before adaptation" in out and "3/3" in err and "s left" in err
    assert main(["evaluate", str(run), "--tasks", "2", "--repetitions", "2", "--steps", "2"]) == 0
    out = capsys.readouterr().out
    assert "without rewards" in out and "offset only" in out and "after 2" in out and "rotation=-1.571" in out
    with open(run / "evaluation.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 4 * 2 and set(rows[0]) == {"rotation", "stage", "repetition", "return"}
    pytest.importorskip("matplotlib", reason="optional extra `plot`")
    assert main(["plot", str(run)]) == 0
    for name in ("learning.png", "trajectories.png", "advantage.png"):
        assert (run / "plots" / name).read_bytes().startswith(b"\x89PNG")
    assert main(["video", str(run), "--task", "rotation=1.5"]) == 0
    assert (run / "plots" / "video.gif").read_bytes().startswith(b"GIF89a")
    assert main(["video", str(run), "--task", "mass=1"]) == 2
    assert "task: expected a value for rotation too; given 'mass=1'" in capsys.readouterr().err


def test_plot_of_several_seeds(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="optional extra `plot`")
    for seed in "01":
        train(tmp_path / seed, "--seed", seed)
    assert main(["plot", str(tmp_path / "0"), str(tmp_path / "1"), "--out", str(tmp_path / "figures")]) == 0
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        "learning.png", *(f"{name}-{seed}.png" for name in ("trajectories", "advantage") for seed in "01")}


def test_plot_of_runs_with_the_same_name(tmp_path):
    pytest.importorskip("matplotlib", reason="optional extra `plot`")
    for sweep in "ab":
        train(tmp_path / sweep / "run", preset="point/dr")
    assert main(["plot", *(str(tmp_path / sweep / "run") for sweep in "ab"), "--out", str(tmp_path / "figures")]) == 0
    assert len(list((tmp_path / "figures").glob("trajectories-*run.png"))) == 2


def test_tasks_that_print_alike_are_all_evaluated(tmp_path, capsys):
    train(tmp_path / "run", "--set", "vary=rotation=choice:1.00001,1.00002,-3", preset="point/dr")
    assert main(["evaluate", str(tmp_path / "run"), "--tasks", "3", "--repetitions", "1"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-5:-2]] == [
        "rotation=+1", "rotation=+1", "rotation=-3"]


def test_a_terminal_without_greek(tmp_path, monkeypatch):
    train(tmp_path / "run", preset="point/dr")
    for arguments in (["--help"], ["evaluate", str(tmp_path / "run"), "--tasks", "1", "--repetitions", "2"]):
        terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        monkeypatch.setattr(sys, "stdout", terminal)
        try:
            assert main(arguments) == 0
        except SystemExit as ended:
            assert ended.code == 0
        terminal.flush()
        assert b"?" in terminal.buffer.getvalue()


def test_list(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(PRESETS)


@pytest.mark.parametrize("options, message", [
    (["--preset", "point/nroml"], "no preset 'point/nroml'; did you mean point/norml"),
    (["--set", "num_task=3"], "no field 'num_task'; did you mean num_tasks"),
    (["--set", "num_tasks=many"], "num_tasks: expected an integer; given 'many'"),
    (["--set", "discount=2"], "discount: expected a number in [0, 1]; given 2.0"),
    (["--set", "env=NoSuch-v0"], "env: cannot make 'NoSuch-v0'"),
    (["--set", "vary=mass=uniform:0,1"], "has no task attribute 'mass'"),
    (["--seed", "-1"], "seed: expected a number >= 0; given -1"),
    (["--resume"], "config.json is missing"),
])
def test_wrong_input_exits_with_2_and_writes_nothing(tmp_path, capsys, options, message):
    assert train(tmp_path / "run", *options) == 2
    out, err = capsys.readouterr()
    assert message in err and "Traceback" not in err and not out
    assert not (tmp_path / "run").exists()


def test_unknown_options_are_errors(tmp_path):
    with pytest.raises(SystemExit) as error:
        train(tmp_path / "run", "--iteration-count", "3")
    assert error.value.code == 2


def test_evaluate_refuses_zero_tasks(tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        main(["evaluate", str(tmp_path), "--tasks", "0"])
    assert error.value.code == 2 and "expected 1 or more; given 0" in capsys.readouterr().err


def test_a_number_that_is_not_finite_exits_with_3(tmp_path, capsys):
    with np.errstate(all="ignore"):
        assert train(tmp_path / "run", "--set", "inner_rate=1e38") == 3
    assert "minorml: stopped: iteration" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [[], ["list"], ["train"], ["evaluate"], ["plot"], ["report"], ["video"]])
def test_help(verb, capsys):
    with pytest.raises(SystemExit) as error:
        main([*verb, "--help"])
    assert error.value.code == 0 and "usage: minorml" in capsys.readouterr().out


def test_as_a_module():
    done = subprocess.run([sys.executable, "-m", "minorml", "list"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "point/norml" in done.stdout and not done.stderr
