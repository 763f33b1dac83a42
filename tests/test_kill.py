"""Runs that are killed (`--kills N` times), stopped, or robbed of a worker or of the disk go on, to the same bytes."""

import functools
import multiprocessing
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from gymnasium.vector import SyncVectorEnv
from test_foreign import SLOPE, Slope
from test_train import small

import minorml
from minorml.rl.streams import draw_tasks
from minorml.runs import checkpoints
from minorml.runs.directory import KEPT, Run

TINY = dict(num_tasks=2, num_trajectories=2, hidden=(4,), laf_hidden=(4,), iterations=25)
SIZES = {"point/norml": TINY, "cartpole-small/norml": {**TINY, "horizon": 20},
         "cheetah-small/norml": {**TINY, "horizon": 20, "iterations": 15}}
WORKERS = ("--workers", "2")
OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "shutil.rmtree")  # names of Python's audit events


def tiny(name="point/norml", **fields):
    return small(name, **{**SIZES[name], **fields})


def sizes(name="point/norml", **fields):
    """`tiny` on the command line."""
    fields = {**SIZES[name], **fields, "hidden": 4, "laf_hidden": 4}
    return [option for field, value in fields.items() for option in ("--set", f"{field}={value}")]


def command(out, *options, name="point/norml", **fields):
    return ["train", "--preset", name, "--out", out, *sizes(name, **fields), *options]


def rows(run):
    """How many rows metrics.csv holds."""
    path = run / "metrics.csv"
    return max(0, path.read_bytes().count(b"\n") - 1) if path.exists() else 0


def saved(run):
    """The iteration of the newest checkpoint. Every file that is there can be read."""
    return max((checkpoints.read(path)[1]["iteration"] for path in run.glob("checkpoints/*")), default=0)


def remains(run):
    """What a run leaves, but for the time it took: its newest checkpoint byte for byte, and metrics.csv."""
    arrays, facts = checkpoints.read(max(run.glob("checkpoints/iteration-*.npz")))
    lines = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    at = lines[0].index("seconds")
    return ({name: array.tobytes() for name, array in arrays.items()}, {**facts, "seconds": None},
            [line[:at] + line[at + 1:] for line in lines], list(run.rglob("*.partial")))


def finished(config, run):
    """What the run leaves when it has gone on, in this process, to its end."""
    minorml.train(config, run, resume=(run / "config.json").exists(), progress=False)
    return remains(run)


@functools.cache
def whole(config):
    """What the run leaves that nothing happens to."""
    with tempfile.TemporaryDirectory() as folder:
        return finished(config, Path(folder, "run"))


def kill_at_random(program, run, iterations, rng):
    """SIGKILL, one time in four while it starts, else between its first row and a bit past its end → where it fell."""
    if rng.random() < 0.25:
        time.sleep(rng.uniform(0, 2))
    else:
        count = rng.randint(min(rows(run) + 1, iterations), iterations)
        program.until(lambda: program.ended() or rows(run) >= count)
        time.sleep(rng.uniform(0, 0.05))
    program.process.kill()
    status = program.wait()
    assert status in (0, -signal.SIGKILL), program.said()
    return ("after the end" if status == 0 else
            "before config.json" if not (run / "config.json").exists() else
            "inside a write" if any(run.rglob("*.partial")) else
            "between row and checkpoint" if saved(run) < rows(run) else "elsewhere")


def test_killed_at_random_moments(start, tmp_path, tally, seed, kills):
    rng, run, name, fell = random.Random(seed), tmp_path / "run", list(SIZES)[seed % 3], []
    workers = WORKERS if seed % 3 == seed // 3 % 3 else ()
    expected = whole(tiny(name))
    for _ in range(kills):
        resume = ["--resume"] if (run / "config.json").exists() else []
        program = start(command(run, *workers, *resume, name=name))
        fell.append(kill_at_random(program, run, tiny(name).iterations, rng))
    assert finished(tiny(name), run) == expected, f"seed {seed}, {name} {workers}, killed {fell}"
    tally.update(fell)


def train_and_die(nth, run):
    """Train, and be killed before the n-th operation on a file of the run; if it is to write it, when it is empty."""
    left = iter(range(nth - 1, -1, -1))

    def hook(event, arguments):
        if event in OPERATIONS and str(run) in str(arguments[0]) and next(left, None) == 0:
            if event == "open" and "w" in str(arguments[1]):
                open(*arguments[:2]).close()
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    finished(tiny(iterations=KEPT), run)


def test_killed_before_each_operation_on_a_file(tmp_path):
    """Before its n-th, and when it goes on, before the (55 − n)-th; there are fewer than 55."""
    expected = whole(tiny(iterations=KEPT))
    for nth in range(1, 55):
        statuses = []
        for n in (nth, 55 - nth):
            life = multiprocessing.get_context("fork").Process(target=train_and_die, args=[n, tmp_path / str(nth)],
                                                               daemon=True)
            life.start()
            life.join(60)
            statuses.append(life.exitcode)
        assert set(statuses) <= {0, -signal.SIGKILL}, nth
        assert finished(tiny(iterations=KEPT), tmp_path / str(nth)) == expected, nth
    assert statuses == [0, -signal.SIGKILL]


def stopped(start, run, strike, *options):
    """A run of 40 iterations that after some of them is struck → (exit status, what it said); it can be finished."""
    program = start(command(run, *options, iterations=40))
    program.until(lambda: rows(run) >= 3)
    strike(program)
    status, said = program.wait(), program.said()
    assert "Traceback" not in said and 3 <= saved(run) == rows(run) < 40, said
    assert finished(tiny(iterations=40), run) == whole(tiny(iterations=40))
    return status, said


@pytest.mark.parametrize("signum, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("workers, send", [((), os.kill), (WORKERS, os.kill), (WORKERS, os.killpg)])
def test_a_signal_stops_a_run(start, tmp_path, workers, send, signum, status):
    """To the process alone, or to the whole group, as Ctrl-C in a terminal."""
    code, said = stopped(start, tmp_path, lambda program: send(program.pid, signum), *workers)
    assert code == status and "stopping after this iteration" in said
    assert f"stopped by {signum.name}; --resume goes on from the last finished iteration" in said


def test_two_signals_do_not_wait_for_a_worker_that_hangs(start, tmp_path):
    def strike(program):
        os.kill(program.workers()[0], signal.SIGSTOP)
        time.sleep(0.5)  # by now the others wait for it
        for _ in range(2):
            os.killpg(program.pid, signal.SIGINT)
            program.until(lambda: "once more to stop at once" in program.said())

    assert stopped(start, tmp_path, strike, *WORKERS)[0] == 130


@pytest.mark.parametrize("signals, iterations", [(1, 4), (2, 3)])
def test_one_signal_waits_for_the_iteration_in_hand_and_two_do_not(tmp_path, monkeypatch, signals, iterations):
    train = sys.modules["minorml.experiments.train"]

    def iterate(problem, team, state, iterate=train.iterate):
        for _ in range(signals if state.iteration == 3 else 0):
            signal.raise_signal(signal.SIGTERM)
        return iterate(problem, team, state)

    monkeypatch.setattr(train, "iterate", iterate)
    with pytest.raises(minorml.Stopped, match="SIGTERM"):
        minorml.train(tiny(), tmp_path / "run", progress=False)
    monkeypatch.undo()
    assert saved(tmp_path / "run") == rows(tmp_path / "run") == iterations
    assert finished(tiny(), tmp_path / "run") == whole(tiny())


def test_a_killed_worker_ends_the_run_and_its_tasks_are_named(start, tmp_path):
    code, said = stopped(start, tmp_path, lambda program: os.kill(program.workers()[-1], signal.SIGKILL), *WORKERS)
    assert code == 1 and re.search("^minorml: failed: task [01]: a worker failed: ", said, re.MULTILINE), said


def test_a_worker_that_dies_while_it_has_nothing_to_do(tmp_path, monkeypatch):
    def save_and_kill(run, state, save=Run.save):
        save(run, state)
        if state.iteration == 2:
            multiprocessing.active_children()[0].kill()
            time.sleep(0.5)  # by now its death is known

    monkeypatch.setattr(Run, "save", save_and_kill)
    with pytest.raises(minorml.WorkerError, match="task [01]: a worker failed"):
        minorml.train(tiny(), tmp_path / "run", workers=2, progress=False)
    assert saved(tmp_path / "run") == 2 and not multiprocessing.active_children()


def make_fragile(n, at):
    """n slopes, of which the one that tilts `at` raises an error."""
    class Fragile(Slope):
        def step(self, action):
            if self.tilt == at:
                raise RuntimeError("a gear broke")
            return super().step(action)

    return SyncVectorEnv([Fragile] * n)


def test_an_environment_that_fails_in_a_worker_has_its_tasks_named():
    envs = functools.partial(make_fragile, at=draw_tasks(SLOPE, 0)[1]["tilt"])
    with pytest.raises(minorml.WorkerError, match="^RuntimeError: a gear broke, in step 0, task 1 "):
        minorml.train(SLOPE, workers=2, make_envs=envs, progress=False)
    assert not multiprocessing.active_children()


def checkpoint_size(folder):
    """Bytes of a checkpoint of `tiny`, of whatever iteration: they differ by some tens."""
    minorml.train(tiny(iterations=1), folder, progress=False)
    return max(path.stat().st_size for path in folder.glob("checkpoints/*.npz"))


@pytest.mark.parametrize("file, room", [("iteration-[0-9]*.npz", -500), ("metrics.csv", 500)])
def test_a_file_that_cannot_grow(start, tmp_path, file, room):
    """A limit on the size of files, below a checkpoint's; or above it, where metrics.csv strikes it in the end."""
    limit, run = checkpoint_size(tmp_path / "one") + room, tmp_path / "run"
    program = start(command(run, iterations=120))
    program.until(lambda: rows(run) >= 3)
    resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (limit, limit))
    assert program.wait() == 1 and "Traceback" not in program.said()
    assert re.search(rf"^minorml: failed: .*File too large.*/{file}", program.said(), re.MULTILINE), program.said()
    assert 2 <= saved(run) < 120 and finished(tiny(iterations=120), run) == whole(tiny(iterations=120))


ON_A_SMALL_DISK = """
disk=$1; mkdir "$disk"; mount -t tmpfs -o size=$2 none "$disk" || exit 99
shift 2; "$@"; echo "status $?"; cp -r "$disk/run" "$disk.full"
mount -o remount,size=1m "$disk"; "$@" --resume; echo "status $?"; cp -r "$disk/run" "$disk.more"
"""


def test_a_full_disk(tmp_path):
    """There is room for three checkpoints and not for a fourth; then there is more."""
    pages = -(-checkpoint_size(tmp_path / "one") // 4096)
    done = subprocess.run(["unshare", "-rm", "sh", "-c", ON_A_SMALL_DISK, "sh", tmp_path / "disk",
                           str((4 * pages + 3) * 4096), sys.executable, "-m", "minorml",
                           *command(tmp_path / "disk/run")], capture_output=True, text=True, timeout=120)
    if done.returncode == 99 or done.stderr.startswith("unshare:"):
        pytest.skip(f"a disk of our own is not allowed here: {done.stderr}")
    assert re.findall("status .*", done.stdout) == ["status 1", "status 0"], done
    assert re.search("^minorml: failed: .*No space left on device.*disk/run/.*00003.npz", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr
    assert saved(tmp_path / "disk.full") == 2 and remains(tmp_path / "disk.more") == whole(tiny())


def sweep(out, iterations=40):
    return ["sweep", "--presets=point/norml", "--seeds=0-2", *WORKERS, *sizes(iterations=iterations), "--out", out]


def begun(start, command):
    """A sweep, and the directory of one of its first two runs, which is in the middle."""
    program, runs = start(command), [command[-1] / f"point-norml-{seed}" for seed in range(3)]
    program.until(lambda: any(rows(run) >= 3 for run in runs))
    return program, max(runs, key=rows)


def assert_whole_in_the_end(*runs, iterations=40):
    for run in runs:
        config = tiny(iterations=iterations, seed=int(run.name[-1]))
        assert finished(config, run) == whole(config), run


def test_a_killed_sweep_goes_on_by_the_same_command(start, tmp_path):
    program, run = begun(start, sweep(tmp_path))
    program.process.kill()
    program.wait()
    assert 3 <= rows(run) < 40 and start(sweep(tmp_path)).wait() == 0
    assert [rows(run) for run in tmp_path.iterdir()] == [40, 40, 40]
    assert_whole_in_the_end(*tmp_path.iterdir())


def test_a_signal_stops_a_sweep(start, tmp_path):
    program, run = begun(start, sweep(tmp_path, 300))
    os.killpg(program.pid, signal.SIGINT)
    assert program.wait() == 130 and "stopped by SIGINT" in program.said() and rows(run) < 300
    assert all(saved(path) == rows(path) and path.name != "point-norml-2" for path in tmp_path.iterdir())
    assert_whole_in_the_end(run, iterations=300)


def test_a_run_killed_in_a_sweep_is_named_and_the_others_are_done(start, tmp_path):
    program, run = begun(start, sweep(tmp_path))
    files = {pid: list(map(os.path.realpath, Path(f"/proc/{pid}/fd").iterdir())) for pid in program.workers()}
    os.kill(next(pid for pid in files if os.path.realpath(run / ".lock") in files[pid]), signal.SIGKILL)
    assert program.wait() == 1 and "Traceback" not in program.said()
    assert re.search(f"failed: 1 of 3 runs failed: .*/{run.name}; the same command goes on", program.said())
    assert re.search(f"^{run.name} .* killed by SIGKILL", program.said("out"), re.MULTILINE)
    assert [path for path in tmp_path.iterdir() if rows(path) < 40] == [run]
    assert_whole_in_the_end(*tmp_path.iterdir())
