"""Bad input of every kind: what is said, the exit status, and that no file of a run that exists is touched.

The program is run as its users run it, on copies of one tiny run of three iterations. Elsewhere: numbers that are not
finite (`test_bad_numbers.py`), the texts of every error of a field (`test_config.py`), bad actions and attributes
(`test_envs.py`), disks that are full and processes that die (`test_kill.py`), caches that cannot be written
(`test_kernels.py`).
"""

import json
import sys
from contextlib import closing

import numpy as np
import pytest
from test_fuzz import TINY, contents, run_main, sample
from test_fuzz_checkpoints import PICKLE, described, pack, unpack

from minorml.runs import checkpoints
from minorml.runs.directory import KEPT, Run

LAST = "checkpoints/iteration-000003.npz"
SIZES = [f"--set={text}" for text in ("num_tasks=2", "num_trajectories=2", "hidden=4", "laf_hidden=4", "iterations=3")]
PRESET = ["--preset", "point/norml", *SIZES]
pytestmark = pytest.mark.filterwarnings("ignore")  # Gymnasium's and NumPy's, of the numbers that these tests are about


@pytest.fixture
def run(tmp_path):
    """A run's directory."""
    for name, data in sample().files.items():
        write(tmp_path / "run" / name, data)
    return tmp_path / "run"


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def assert_refused(message, *options, status=2, folder):
    """The program ends so, says this in one place, has no other results, and the folder is as before."""
    before = contents(folder)
    ended, out, err = run_main(*options)
    assert (ended, out) == (status, "") and message in err and "Traceback" not in err, err
    assert sum(line.startswith("minorml") for line in err.splitlines()) == 1, err
    assert contents(folder) == before


def preset_but(options):
    """The options of a tiny run, without those that would contradict these."""
    named = [option.removeprefix("--set=").removeprefix("--").partition("=")[0] for option in options]
    return [option for option in PRESET
            if not option.startswith("--set=") or option.removeprefix("--set=").partition("=")[0] not in named]


CONFIGURATIONS = [
    (["--preset", "point/nroml"], "preset: no preset 'point/nroml'; did you mean point/norml"),
    (["--set", "num_task=3"], "--set: no field 'num_task'; did you mean num_tasks"),
    (["--set", "hidden"], "--set: expected FIELD=VALUE; given 'hidden'"),
    (["--set", "num_tasks=1e3"], "num_tasks: expected an integer; given '1e3'"),
    (["--set", "num_tasks=0"], "num_tasks: expected a number > 0; given 0"),
    (["--set", "horizon=-1"], "horizon: expected a number > 0; given -1"),
    (["--set", "hidden=0"], "hidden: expected positive layer widths; given (0,)"),
    (["--set", "hidden=4,x"], "hidden: expected integers with commas between; given '4,x'"),
    (["--set", "obs_scale=1"], "obs_scale: expected 2 numbers, or none; given (1.0,)"),
    (["--set", "obs_scale=1,0"], "obs_scale: expected positive numbers; given (1.0, 0.0)"),
    (["--set", "action_scale=1,1e400"], "action_scale: expected finite numbers; given (1.0, inf)"),
    (["--set", "discount=nan"], "discount: expected a finite number; given nan"),
    (["--set", "discount=1.01"], "discount: expected a number in [0, 1]; given 1.01"),
    (["--set", "learn_alpha=yes"], "learn_alpha: expected true or false; given 'yes'"),
    (["--set", "activation=gelu"], "activation: expected one of tanh, relu, identity; given 'gelu'"),
    (["--set", "vary="], "vary: expected one attribute or more, each once; given ()"),
    (["--set", "vary=rotation=choice:1;rotation=choice:2"], "vary: expected one attribute or more, each once; given"),
    (["--set=env=minorml_envs:minorml/HalfCheetahSwap-v0", "--set=vary=swapped=uniform:0,1", "--set=obs_scale="],
     "does not take swapped = 0.03125: swapped: expected"),
    (["--set", "vary=rotation=uniform:1,0"], "vary: expected NAME=uniform:LOW,HIGH with LOW <= HIGH"),
    (["--set", "vary=rotation=uniform:-1e308,1e308"], "vary: expected NAME=uniform:LOW,HIGH with LOW <= HIGH"),
    (["--set", "vary=mass=uniform:0,1"], "has no task attribute 'mass'; it has rotation"),
    (["--set", "env=NoSuch-v0"], "env: cannot make 'NoSuch-v0'"),
    (["--set", "env=a:b:c"], "env: cannot make 'a:b:c'"),
    (["--set", "env=.x:Y-v0"], "env: cannot make '.x:Y-v0'"),
    (["--set", "env=CartPole-v1"],
     "action space: expected a Box of one dimension and of real numbers; given Discrete(2)"),
    (["--set", "num_trajectories=" + "9" * 20], "num_trajectories: expected"),
    (["--seed", "-1"], "seed: expected a number >= 0; given -1"),
    (["--iterations", "0"], "iterations: expected a number > 0; given 0"),
    (["--iterations", "many"], "argument --iterations: invalid int value: 'many'"),
    (["--method", "reptile"], "argument --method: invalid choice: 'reptile'"),
    (["--workers", "0"], "argument --workers: expected 1 or more; given 0"),
    (["--workers", "x"], "argument --workers: expected 1 or more; given x"),
    (["--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], "scheduler: expected neither workers nor an executor"),
    (["--resume", "--overwrite"], "not allowed with argument --"),
    (["--frobnicate"], "unrecognized arguments: --frobnicate"),
]


@pytest.mark.parametrize("kind", ["new", "overwrite", "resume"])
@pytest.mark.parametrize("options, message", CONFIGURATIONS, ids=lambda value: "".join(value)[:30])
def test_a_wrong_configuration_writes_nothing(run, options, message, kind):
    """Where there is no run yet, and where there is one that would be replaced or resumed."""
    out = ["--out", run.parent / "other" if kind == "new" else run, *([] if kind == "new" else [f"--{kind}"])]
    assert_refused(message, "train", *preset_but(options), *options, *out, folder=run.parent)
    assert not (run.parent / "other").exists()


def test_more_than_there_is_memory_for_writes_nothing(run):
    for options in (["--set", f"hidden={10**15}"], ["--set", f"num_trajectories={10**15}"]):
        for folder in (run, run.parent / "other"):
            assert_refused("failed: Unable to allocate", "train", *preset_but(options), *options, "--overwrite",
                           "--out", folder, status=1, folder=run.parent)


@pytest.mark.parametrize("options, message", [
    (["sweep", "--presets", "point/norml,point/nroml", *SIZES], "preset: no preset 'point/nroml'"),
    (["sweep", "--presets", "point/norml", "--seeds", "x"], "argument --seeds: expected seeds such as 0-9 or 0,3,7"),
    (["sweep", "--presets", "point/norml", "--seeds", "5-3"], "argument --seeds: expected seeds such as 0-9 or 0,3,7"),
    (["sweep", "--presets", "point/norml", "--seeds", "0-99999999999"], "10,000 at once at most; given"),
    (["sweep", "--presets", "point/norml", "--workers", "0"], "argument --workers: expected 1 or more; given 0"),
    (["sweep", "--presets", "point/norml", "--set", "seed=3"], "--set: a sweep's seeds are given by --seeds"),
    (["sweep", "--presets", "point/norml", "--set", "hidden=0"], "hidden: expected positive layer widths"),
])
def test_a_wrong_sweep_writes_nothing(tmp_path, options, message):
    assert_refused(message, *options, "--out", tmp_path / "sweep", folder=tmp_path)
    assert not (tmp_path / "sweep").exists()


def test_a_sweep_tells_of_all_runs_also_where_one_cannot_be_read(run):
    run.rename(run.parent / "point-norml-0")
    (run.parent / "point-norml-0/metrics.csv").write_text("iteration\nmany\n")
    status, out, err = run_main("sweep", "--presets", "point/norml", "--seeds", "0-1", *SIZES, "--out", run.parent)
    assert status == 1 and "1 of 2 runs failed" in err
    assert "metrics.csv: cannot be read" in out and "point-norml-1                                 3" in out


def test_a_sweep_with_another_configuration_in_its_folder_starts_nothing(run):
    run.rename(run.parent / "point-norml-1")
    assert_refused("outer_rate: 0.002 in the run, 0.5 asked for", "sweep", "--presets", "point/norml", "--seeds", "0-1",
                   *SIZES, "--set", "outer_rate=0.5", "--out", run.parent, folder=run.parent)
    assert not (run.parent / "point-norml-0").exists()


@pytest.mark.parametrize("options, message", [
    (PRESET, "holds a run already; give --resume to continue it, --overwrite to replace it, or another --out"),
    ([*PRESET, "--resume", "--set", "outer_rate=0.5", "--seed", "7"], "seed: 0 in the run, 7 asked for"),
    ([*PRESET, "--resume", "--set", "outer_rate=0.5", "--seed", "7"], "outer_rate: 0.002 in the run, 0.5 asked for"),
    (["--resume", "--iterations", "2"], "iterations: 3 in the run, 2 asked for"),
    (["--resume", "--iterations", "9", "--seed", "7"], "iterations: 3 in the run, 9 asked for"),
])
def test_a_run_that_exists_is_not_what_is_asked_for(run, options, message):
    assert_refused(message, "train", *options, "--out", run, folder=run)


def test_a_run_may_be_made_longer(run):
    status, out, err = run_main("train", "--resume", "--iterations", 5, "--out", run)
    assert status == 0 and "5 iterations; " in out and "5 iterations now, not 3; the outer rate decays" in err
    assert Run(run).config.iterations == 5 and [row["iteration"] for row in Run(run).metrics()] == [1, 2, 3, 4, 5]
    assert (run / "metrics.csv").read_bytes().startswith(sample().files["metrics.csv"])


def edited(text, edit):
    return json.dumps(edit(json.loads(text))).encode()


@pytest.mark.parametrize("file, data, message", [
    ("versions.json", lambda text: edited(text, lambda v: {**v, "packages": {**v["packages"], "numpy": "1.0"}}),
     f"cannot resume with other versions, which give other numbers:\n  numpy: 1.0 in the run, {np.__version__} here"),
    ("versions.json", lambda text: edited(text, lambda v: {**v, "python": "2.7"}), "python: 2.7 in the run, 3."),
    ("versions.json", lambda text: b"{", "versions.json: cannot be read"),
    ("versions.json", lambda text: b"[" * 10**5, "versions.json: cannot be read"),
    ("config.json", lambda text: b"{", "config.json: "),
    ("config.json", lambda text: b"[" * 10**5, "config.json: "),
    ("config.json", lambda text: edited(text, lambda c: {**c, "discount": 10**400}), "config.json: discount: expected"),
    ("metrics.csv", lambda text: b"", "metrics.csv: "),
    ("metrics.csv", lambda text: text[:text.rindex(b"\n3,")], "metrics.csv: "),
    ("metrics.csv", lambda text: text.replace(b"\n2,", b"\nx,"), "metrics.csv: cannot be read"),
    (".lock", None, "another process is writing to this run"),
])
def test_a_run_that_cannot_be_resumed(run, file, data, message):
    if data is not None:
        write(run / file, data((run / file).read_bytes()))
    writer = Run.reopen(run, TINY) if file == ".lock" else None
    assert_refused(message, "train", "--resume", "--iterations", "5", "--out", run, folder=run)
    if writer is not None:
        assert_refused(message, "train", *PRESET, "--overwrite", "--out", run, folder=run)
        writer._metrics = open(run / "metrics.csv", "a")
        writer.close()


@pytest.mark.parametrize("options", [[], ["--overwrite"], ["--resume"]])
def test_places_where_no_run_can_be(tmp_path, options):
    write(tmp_path / "thesis" / "chapter 1", b"It was")
    cannot = 2 if "--resume" in options else 1  # to resume what is not there is wrong; a disk that refuses is outside
    for out, message, status in [("thesis", "thesis: ", 2), ("thesis/chapter 1", "chapter 1: ", 2),
                                 ("thesis/chapter 1/run", "chapter 1/run", cannot), ("/proc/run", "/proc/run", cannot)]:
        out = tmp_path / out
        assert_refused(message, "train", *PRESET, *options, "--out", out, status=status, folder=tmp_path)


@pytest.mark.parametrize("command", [["evaluate"], ["plot"], ["video"], ["replay"], ["train", "--resume", "--out"]])
def test_no_run_is_there(tmp_path, command):
    """No folder, an empty one, and a file. Matplotlib and pillow are not asked for."""
    write(tmp_path / "file", b"")
    (tmp_path / "empty").mkdir()
    for name in ("nothing", "empty", "file"):
        assert_refused(f"{tmp_path / name}: ", *command, tmp_path / name, folder=tmp_path)


@pytest.mark.parametrize("verb, package, message", [
    ("plot", "matplotlib", "plots need matplotlib: pip install 'minorml[plot]'"),
    ("video", "PIL", "video needs pillow: pip install 'minorml[plot]'"),
    ("scheduler", "distributed", "scheduler: Dask is missing; pip install 'minorml[cluster]'"),
])
def test_a_package_that_is_missing_is_named(run, monkeypatch, verb, package, message):
    monkeypatch.setitem(sys.modules, package, None)
    options = ["train", "--resume", "--out", run, "--scheduler", "tcp://x:1"] if verb == "scheduler" else [verb, run]
    assert_refused(message, *options, folder=run)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "foo://bar:1", ""])
def test_nobody_answers(run, monkeypatch, address):
    distributed = pytest.importorskip("distributed", reason="optional extra `cluster`")
    client = distributed.Client
    monkeypatch.setattr(distributed, "Client", lambda address, timeout: client(address, timeout=min(timeout, 0.5)))
    assert_refused(f"scheduler: no Dask scheduler answers at {address!r}", "train", "--resume", "--iterations", "9",
                   "--out", run, "--scheduler", address, folder=run)


def with_first(member):
    """The last checkpoint with other bytes in place of θ's."""
    members = unpack(sample().files[LAST])
    members[0][1] = member
    return pack(members)


DAMAGE = {
    "missing": lambda data: None,
    "empty": lambda data: b"",
    "cut": lambda data: data[:len(data) // 2],
    "flipped": lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
    "of another iteration": lambda data: sample().files["checkpoints/iteration-000001.npz"],
    "malicious": lambda data: with_first(PICKLE),
    "oversized": lambda data: with_first(described(shape="(250000000000,)")),
    "deep": lambda data: with_first(b"\x93NUMPY\x01\x00" + (9001).to_bytes(2, "little") + b"-" * 9000 + b"1"),
}


def damage(run, how, files):
    for name in files:
        data = DAMAGE[how](sample().files[name])
        (run / name).unlink() if data is None else write(run / name, data)


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(run, how):
    damage(run, how, [LAST])
    before = contents(run)
    status, out, err = run_main("evaluate", run, "--tasks", "2", "--repetitions", "1")
    assert status == 0 and "offset only" in out
    assert how == "missing" or f"{run / LAST}: damaged (" in err and "trying the one before it" in err
    assert {**contents(run), "evaluation.csv": b""} == {**before, "evaluation.csv": b""}
    status, out, err = run_main("train", "--resume", "--out", run)
    assert status == 0 and (how == "missing" or f"{run / LAST}: damaged (" in err)
    again, good = ([a.tobytes() for a in checkpoints.read(path)[0].values()] for path in (run / LAST, sample_last(run)))
    assert again == good, "the third iteration was done again, to the same bytes"


def sample_last(run):
    write(run.parent / "good.npz", sample().files[LAST])
    return run.parent / "good.npz"


def test_all_checkpoints_missing(run):
    """Nothing can be evaluated; resumed, it says that it starts again from nothing."""
    damage(run, "missing", [name for name in sample().files if name.endswith(".npz")])
    assert_refused(f"{run}/checkpoints: no checkpoint that can be read", "evaluate", run, folder=run)
    status, _, err = run_main("train", "--resume", "--out", run)
    assert status == 0 and f"{run}: there is no checkpoint" in err and len(Run(run).metrics()) == 3


@pytest.mark.parametrize("how", [how for how in DAMAGE if how != "missing"])
def test_all_checkpoints_damaged(run, how):
    damage(run, how, [name for name in sample().files if name.endswith(".npz")])
    if how == "of another iteration":
        (run / "checkpoints/iteration-000001.npz").unlink()
    before = contents(run)
    for options in (["evaluate", run], ["train", "--resume", "--out", run],
                    ["train", "--resume", "--iterations", "9", "--out", run]):
        status, out, err = run_main(*options)
        assert (status, out) == (2, "") and "no checkpoint that can be read" in err and "Traceback" not in err
        assert err.count(": damaged (") == len(list((run / "checkpoints").iterdir())) and contents(run) == before


def test_after_the_millionth_iteration_the_newest_is_still_the_newest(run):
    """Its name is longer than the others', and comes before them in the alphabet."""
    with closing(Run.reopen(run, TINY)) as reopened:
        state = reopened.restore(sample().template)
        for iteration in range(999_997, 1_000_003):
            reopened.save(state._replace(iteration=iteration))
            assert Run(run).load(sample().template).iteration == iteration
    assert len(list((run / "checkpoints").iterdir())) == KEPT


def test_a_checkpoint_that_somebody_has_put_aside_stays(run):
    aside = run / "checkpoints/iteration-000001-best.npz"
    aside.write_bytes(b"mine")
    assert run_main("train", "--resume", "--iterations", "9", "--out", run)[0] == 0
    assert aside.read_bytes() == b"mine"
