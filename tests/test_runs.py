"""A run's directory: resume to the byte, damage, locks, refusals."""

import json
import subprocess
import sys

import numpy as np
import pytest
from test_train import flat, small

import minorml
from minorml.runs import machine
from minorml.runs.checkpoints import write_atomically
from minorml.runs.directory import METRICS, Run, RunError


def train(path, **options):
    fields = options.pop("fields", {})
    return minorml.train(small(**fields), path, progress=False, **options)


def without_times(run):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in Run(run).metrics()]


def test_files_of_a_run(tmp_path):
    train(tmp_path / "run")
    run = Run(tmp_path / "run")
    assert run.config == small()
    assert (tmp_path / "run/metrics.csv").read_text().splitlines()[0] == ",".join(METRICS)
    assert [row["iteration"] for row in run.metrics()] == [1, 2, 3, 4]
    assert set(json.loads((tmp_path / "run/versions.json").read_text())) == {
        "commit", "python", "packages", "platform", "processor", "cpus", "blas"}
    assert len(list((tmp_path / "run/checkpoints").iterdir())) == 3


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_an_interrupted_run_resumes_to_the_same_bytes(tmp_path, monkeypatch, stop):
    whole = train(tmp_path / "whole")
    save = Run.save

    def interrupt(run, state):
        save(run, state)
        if state.iteration == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts")
    monkeypatch.undo()
    resumed = train(tmp_path / "parts", resume=True)
    assert flat(resumed.meta).tobytes() == flat(whole.meta).tobytes()
    assert without_times(tmp_path / "parts") == without_times(tmp_path / "whole")


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path, capsys):
    whole = train(tmp_path / "run")
    last = tmp_path / "run/checkpoints/iteration-000004.npz"
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    resumed = train(tmp_path / "run", resume=True)
    assert "iteration-000004.npz: damaged" in capsys.readouterr().err
    assert flat(resumed.meta).tobytes() == flat(whole.meta).tobytes()


def test_tenths_of_a_run_are_kept(tmp_path):
    """A run of forty; one of fewer than thirty keeps its last three alone."""
    whole = minorml.train(small(iterations=40), tmp_path / "run", progress=False)
    assert [*Run(tmp_path / "run").kept()] == [*range(0, 37, 4), 38, 39, 40]
    middle = minorml.load(tmp_path / "run", iteration=20)
    assert [row["iteration"] for row in middle.metrics] == [*range(1, 21)]
    assert (middle.meta.theta != whole.meta.theta).any()
    np.testing.assert_array_equal(minorml.load(tmp_path / "run", iteration=40).meta.theta, whole.meta.theta)
    with pytest.raises(RunError, match=r"none of iteration 21; there are \[0, 4, 8"):
        minorml.load(tmp_path / "run", iteration=21)
    minorml.train(small(iterations=29), tmp_path / "short", progress=False)
    assert [*Run(tmp_path / "short").kept()] == [27, 28, 29]


@pytest.mark.parametrize("data", [b"", b"PK\x05\x06" + bytes(18), b"nonsense"])
def test_nothing_readable_is_an_error(tmp_path, data):
    train(tmp_path / "run")
    for path in (tmp_path / "run/checkpoints").iterdir():
        path.write_bytes(data)
    with pytest.raises(RunError, match="no checkpoint that can be read"):
        minorml.load(tmp_path / "run")


def test_a_pickle_is_never_loaded(tmp_path):
    train(tmp_path / "run")
    for path in (tmp_path / "run/checkpoints").iterdir():
        arrays = dict(np.load(path))
        np.savez(path, **{**arrays, "meta/theta": np.array([print], object)})
    with pytest.raises(RunError, match="no checkpoint that can be read"):
        minorml.load(tmp_path / "run")


def test_an_oversized_array_is_refused_before_it_is_read(tmp_path, capsys):
    train(tmp_path / "run")
    for path in (tmp_path / "run/checkpoints").iterdir():
        arrays = dict(np.load(path))
        np.savez(path, **{**arrays, "meta/theta": np.zeros(10**6, np.float32)})
    with pytest.raises(RunError, match="no checkpoint"):
        minorml.load(tmp_path / "run")
    assert "meta/theta: its header says (1000000,) float32; expected (44,) float32" in capsys.readouterr().err


def test_resume_with_another_configuration_shows_the_difference(tmp_path):
    train(tmp_path / "run")
    with pytest.raises(RunError, match="outer_rate: 0.002 in the run, 0.5 asked for"):
        train(tmp_path / "run", resume=True, fields=dict(outer_rate=0.5))


def test_a_row_that_was_not_written_to_its_end_is_none(tmp_path):
    train(tmp_path / "run")
    metrics = tmp_path / "run/metrics.csv"
    metrics.write_bytes(metrics.read_bytes()[:-20])
    assert Run(tmp_path / "run").metrics() == minorml.load(tmp_path / "run").metrics != []


def test_resume_says_that_the_code_has_changed(tmp_path, monkeypatch, capsys):
    train(tmp_path / "run")
    train(tmp_path / "run", resume=True)
    assert "commit" not in capsys.readouterr().err
    monkeypatch.setattr("minorml.runs.directory.commit", lambda: "another")
    train(tmp_path / "run", resume=True)
    assert "goes on at another" in capsys.readouterr().err


def test_an_existing_run_is_refused_or_replaced(tmp_path):
    train(tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(RunError, match="holds a run already; give --resume .* --overwrite"):
        train(tmp_path / "run")
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    train(tmp_path / "run", overwrite=True, fields=dict(seed=5))
    assert Run(tmp_path / "run").config.seed == 5


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_files_is_never_touched(tmp_path, overwrite):
    (tmp_path / "thesis.txt").write_text("chapter 1")
    with pytest.raises(RunError, match="files that are not a run's"):
        train(tmp_path, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_writers_exclude_each_other(tmp_path):
    first = Run.create(tmp_path / "run", small())
    with pytest.raises(RunError, match="another process is writing"):
        Run.reopen(tmp_path / "run", small())
    first.close()
    Run.reopen(tmp_path / "run", small())


NO_LOCKS = """
import errno, os, sys, fcntl
def flock(file, how):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
fcntl.flock = flock
from minorml.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_disk_without_locks_is_told(tmp_path):
    """The message names the file and the way to go on; the run that is there stays as it was."""
    Run.create(tmp_path / "run", small()).close()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = subprocess.run([sys.executable, "-c", NO_LOCKS, "train", "--preset=point/norml", "--overwrite",
                           "--out", str(tmp_path / "run")], capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("minorml: failed")]
    assert "run/.lock: this disk cannot lock files" in line and "give an --out on another disk" in line
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_python_without_fcntl():
    """As on Windows: everything is imported all the same."""
    code = "import sys; sys.modules['fcntl'] = None; import minorml.__main__"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("text, message", [
    (None, "config.json is missing"), ("{", "config.json"), ("[]", "config.json"), ('{"env": 3}', "config.json"),
])
def test_a_folder_that_is_no_run(tmp_path, text, message):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(RunError, match=message):
        minorml.load(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_the_commit(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=x", "-c", "user.email=x@x", *arguments], check=True)

    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert machine.commit() is None
    git("init", "-q")
    assert machine.commit() is None
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-qm", "first")
    git("tag", "-am", "a tag", "v1")
    clean = machine.commit()
    assert len(clean) == 40 and int(clean, 16)
    (tmp_path / "file").write_text("2")
    assert machine.commit() == f"{clean}-dirty"
    monkeypatch.setenv("PATH", "")
    assert machine.commit() is None
