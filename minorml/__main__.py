"""The command line: `python -m minorml list | train | sweep | evaluate | plot | report | …`, or `minorml`.

Results go to stdout, progress and errors to stderr. Exit status: 0 done, 1 something outside failed (a worker, the
disk; what was saved stays), 2 wrong input (nothing was written), 3 a number was not finite, 130 or 143 stopped by
SIGINT or SIGTERM.
"""

import argparse
import csv
import dataclasses
import io
import sys
from pathlib import Path

from . import plots
from .checkpoints import write_atomically
from .config import Config, explain_fields, parse_setting
from .finetune import evaluate
from .learner import step_limit
from .methods import METHODS
from .presets import PRESETS, preset
from .replay import replay
from .report import report
from .runs import Run, RunError, last_returns
from .signals import Stopped
from .sweep import Job, sweep
from .tasks import describe, grid_tasks
from .team import WorkerError
from .train import load, train
from .video import parse_task, side_by_side


def parser():
    p = argparse.ArgumentParser(prog="minorml", description="Meta-reinforcement learning that adapts without rewards.")
    verbs = p.add_subparsers(dest="verb", required=True)

    v = verbs.add_parser("list", help="the presets and what each method learns")
    v.set_defaults(run=list_presets)

    v = verbs.add_parser("train", help="meta-train and keep a run's directory",
                         formatter_class=argparse.RawDescriptionHelpFormatter,
                         epilog="fields for --set:\n" + explain_fields())
    start = v.add_mutually_exclusive_group()
    start.add_argument("--preset", metavar="ENV/METHOD", help="starting values; see `minorml list`")
    start.add_argument("--env", metavar="ID", help="any Gymnasium environment with a continuous action, for example "
                       "Pendulum-v1; with --vary and --method, every other field at its default")
    v.add_argument("--vary", action="append", metavar="NAME=uniform:LOW,HIGH",
                   help="the environment's attribute that makes a task, or NAME=choice:A,B,…; repeatable")
    v.add_argument("--method", choices=METHODS, help="a row of the method table")
    v.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="the run's directory")
    v.add_argument("--seed", type=int, help="of every random number (default: the preset's)")
    v.add_argument("--iterations", type=int, help="outer iterations (default: the preset's)")
    v.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field; repeatable")
    v.add_argument("--workers", type=_positive, metavar="N", help="share the work of each iteration among N processes "
                   "(default: do it all in this one); the numbers stay the same")
    v.add_argument("--scheduler", metavar="ADDRESS", help="… or among the workers of a Dask cluster, for example "
                   "tcp://host:8786")
    there = v.add_mutually_exclusive_group()
    there.add_argument("--resume", action="store_true", help="continue the run in FOLDER from its last checkpoint; "
                       "the options may be left out, or must be the same")
    there.add_argument("--overwrite", action="store_true", help="replace the run in FOLDER")
    v.set_defaults(run=run_train)

    v = verbs.add_parser("sweep", help="many runs side by side: presets × seeds; go on with it by the same command")
    v.add_argument("--presets", required=True, metavar="ENV/METHOD,…", help="presets, with ',' between them")
    v.add_argument("--seeds", type=_seeds, default=[0], metavar="A-B,C,…", help="seeds (default 0)")
    v.add_argument("--workers", type=_positive, default=1, metavar="N", help="runs at a time (default 1)")
    v.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="the folder of the runs' directories")
    v.add_argument("--iterations", type=int, help="outer iterations of each run (default: the preset's)")
    v.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field; repeatable")
    v.set_defaults(run=run_sweep)

    v = verbs.add_parser("replay", help="show where a number that is not finite first appears")
    v.add_argument("file", type=Path, metavar="FILE", help="of a run's failures/ directory")
    v.set_defaults(run=run_replay)

    v = verbs.add_parser("evaluate", help="adapt to held-out tasks and print the return before and after")
    v.add_argument("folder", type=Path, metavar="RUN", help="a run's directory")
    v.add_argument("--steps", type=_positive, help="adaptation steps (default: as many as it was trained for)")
    v.add_argument("--tasks", type=_positive, default=16, help="tasks on the grid (default 16)")
    v.add_argument("--repetitions", type=_positive, default=5, help="independent repetitions (default 5)")
    v.add_argument("--seed", type=_not_negative, default=0, help="of the evaluation (default 0)")
    v.set_defaults(run=run_evaluate)

    v = verbs.add_parser("video", help="a GIF of the policy before and after adaptation, side by side")
    v.add_argument("folder", type=Path, metavar="RUN", help="a run's directory")
    v.add_argument("--task", metavar="NAME=VALUE", help="the task, for example rotation=1.5; several attributes with "
                   "',' between them (default: the first of evaluate's grid)")
    v.add_argument("--steps", type=_positive, help="adaptation steps (default: as many as it was trained for)")
    v.add_argument("--horizon", type=_positive, help="the most steps to show (default: the run's)")
    v.add_argument("--seed", type=_not_negative, default=0, help="of exploration and reset (default 0)")
    v.add_argument("--out", type=Path, metavar="FILE", help="the GIF (default: plots/video.gif in the run's directory)")
    v.set_defaults(run=run_video)

    v = verbs.add_parser("plot", help="learning curves, and for the point agent its trajectories and A_ψ")
    v.add_argument("folders", type=Path, nargs="+", metavar="RUN", help="directories of runs")
    v.add_argument("--out", type=Path, metavar="FOLDER",
                   help="where to (default: plots/ in the run's directory; with several runs, plots/ here)")
    v.set_defaults(run=run_plot)

    v = verbs.add_parser("report", help="a page of results from runs: tables, figures and how to make them again")
    v.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="directories of runs, or of sweeps")
    v.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where to")
    v.add_argument("--tasks", type=_positive, default=16, help="held-out tasks on the grid (default 16)")
    v.add_argument("--repetitions", type=_positive, default=5, help="independent repetitions (default 5)")
    v.add_argument("--seed", type=_not_negative, default=0, help="of the evaluation (default 0)")
    v.set_defaults(run=run_report)
    return p


def list_presets(args):
    print(f"{'preset':30} {'learned':22} {'inner rate':>10} {'outer rate':>10} {'log std':>8}")
    for name, config in PRESETS.items():
        print(f"{name:30} {', '.join(config.learned):22} {config.inner_rate:>10g} {config.outer_rate:>10g} "
              f"{config.log_std:>8g}")


def configuration(args):
    """The Config that the options of `train` describe."""
    fields = dict(parse_setting(text) for text in args.set)
    for name in ("env", "seed", "iterations", "method", "vary"):
        if getattr(args, name) is not None:
            fields[name] = getattr(args, name)
    if args.preset is not None:
        return dataclasses.replace(preset(args.preset), **fields)
    if args.env is not None:
        missing = [f"--{name}" for name in ("vary", "method") if name not in fields]
        if missing:
            raise ValueError(f"--env: expected {' and '.join(missing)} too, for example --vary g=uniform:5,15 "
                             "--method norml")
        if "horizon" not in fields:
            fields["horizon"] = step_limit(args.env)
        return Config(**fields)
    if args.resume:
        return dataclasses.replace(Run(args.out).config, **fields)
    raise ValueError("expected --preset ENV/METHOD, or --env ID with --vary and --method")


def run_train(args):
    trained = train(configuration(args), args.out, resume=args.resume, overwrite=args.overwrite,
                    workers=args.workers, scheduler=args.scheduler)
    count, before, after = last_returns(trained.metrics)
    print(f"{args.out}: {trained.config.iterations} iterations; mean return over the last {count}: "
          f"{before:.2f} before adaptation, {after:.2f} after")


def run_sweep(args):
    fields = dict(parse_setting(text) for text in args.set)
    if "seed" in fields:
        raise ValueError("--set: a sweep's seeds are given by --seeds")
    if args.iterations is not None:
        fields["iterations"] = args.iterations
    jobs = [Job(dataclasses.replace(preset(name), **fields, seed=seed), args.out / f"{name.replace('/', '-')}-{seed}")
            for name in dict.fromkeys(args.presets.split(",")) for seed in args.seeds]
    outcome = sweep(jobs, args.workers)
    print(f"{'run':36} {'iterations':>10} {'before':>10} {'after':>10}   mean return over the last 50")
    for path, error in outcome.items():
        try:
            metrics = Run(path).metrics() if (path / "metrics.csv").exists() else []
        except RunError as unreadable:
            metrics, outcome[path] = [], error or unreadable
        _, before, after = last_returns(metrics)
        print(f"{path.name:36} {len(metrics):>10} {before:>10.2f} {after:>10.2f}   {outcome[path] or ''}")
    failed = [str(path) for path, error in outcome.items() if error is not None]
    if failed:
        raise WorkerError(f"{len(failed)} of {len(jobs)} runs failed: {', '.join(failed)}; the same command goes on "
                          "with them")


def run_replay(args):
    lines, message = replay(args.file)
    print(f"{args.file}: {message}")
    for where, quantity, largest, what in lines:
        print(f"{where:32} {quantity:28} " + (f"largest {largest:.6g}" if largest is not None else what))
    where, quantity, largest, _ = lines[-1]
    print(f"first not finite: {quantity}, {where}" if largest is None else "everything is finite this time")


def run_evaluate(args):
    trained = load(args.folder)
    tasks = grid_tasks(trained.config.distribution, args.tasks)
    scores = evaluate(trained, tasks, args.steps, args.repetitions, args.seed, progress=True)
    table = {}  # the task's values → stage → Score
    for score in scores:
        table.setdefault(tuple(score.task.values()), {})[score.stage] = score
    stages = list(dict.fromkeys(score.stage for score in scores))
    path = _write_scores(args.folder, list(tasks[0]), scores)
    adapts = METHODS[trained.config.method]
    how = "from rewards" if adapts.uses_rewards else "without rewards" if adapts.adapts else "not at all"
    print(f"{args.folder}: {trained.config.method}, adapted {how} from {trained.config.num_trajectories} trajectories "
          f"per step; mean return ± deviation over {args.repetitions} repetitions")
    print(f"{'task':24}" + "".join(f"{stage:>18}" for stage in stages))
    for task, row in zip(tasks, table.values()):
        returns = [row[stage].returns for stage in stages]
        print(f"{describe(task):24}" + "".join(f"{x.mean():>10.2f} ± {x.std():<5.2f}" for x in returns))
    means = {s: [row[s].returns.mean() for row in table.values()] for s in stages}
    print(f"{'mean of the tasks':24}" + "".join(f"{sum(x) / len(x):>10.2f}{'':8}" for x in means.values()))
    print(f"written: {path}")


def _write_scores(folder, names, scores):
    """evaluation.csv: a row for each task, stage and repetition."""
    path, text = folder / "evaluation.csv", io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*names, "stage", "repetition", "return"])
    for score in scores:
        for r, value in enumerate(score.returns):
            writer.writerow([*(score.task[name] for name in names), score.stage, r, f"{value:.9g}"])
    write_atomically(path, text.getvalue().encode())
    return path


def run_plot(args):
    runs = [Run(folder) for folder in args.folders]
    out = args.out or (args.folders[0] / "plots" if len(runs) == 1 else Path("plots"))
    print(plots.learning_curves(runs, out / "learning.png"))
    names = [f"-{run.path.name}" for run in runs] if len(runs) > 1 else [""]
    if len(set(names)) < len(runs):  # of several sweeps
        names = ["-" + "-".join(run.path.resolve().parts[1:]) for run in runs]
    for run, name in [(run, name) for run, name in zip(runs, names) if plots.is_point(run.config)]:
        trained = load(run.path)
        print(plots.point_trajectories({run.config.method: trained}, out / f"trajectories{name}.png"))
        if "psi" in run.config.learned:
            print(plots.learned_advantage(trained, out / f"advantage{name}.png"))


def run_report(args):
    print(report(args.folders, args.out, args.tasks, args.repetitions, args.seed))


def run_video(args):
    trained = load(args.folder)
    distribution = trained.config.distribution
    task = parse_task(args.task, distribution) if args.task else grid_tasks(distribution, 16)[0]
    print(side_by_side(trained, task, args.out or args.folder / "plots" / "video.gif", args.steps, args.seed,
                       progress=True, horizon=args.horizon))


def _seeds(text):
    """`0-9,12` → [0, …, 9, 12]"""
    try:
        ends = [part.partition("-") for part in text.split(",")]
        ranges = [range(int(first), int(last or first) + 1) for first, _, last in ends]
    except ValueError:
        ranges = []
    if not ranges or any(not 0 <= one.start < one.stop <= one.start + 10_000 for one in ranges):
        raise argparse.ArgumentTypeError(f"expected seeds such as 0-9 or 0,3,7, 10,000 at once at most; given {text!r}")
    return list(dict.fromkeys(seed for one in ranges for seed in one))


def _positive(text):
    return _at_least(1, text)


def _not_negative(text):
    return _at_least(0, text)


def _at_least(least, text):
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected {least} or more; given {text}")
    return int(text)


def main(argv=None):
    for stream in sys.stdout, sys.stderr:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that has no ψ gets a question mark
    args = parser().parse_args(argv)
    try:
        args.run(args)
    except FloatingPointError as error:
        print(f"minorml: stopped: {error}", file=sys.stderr)
        return 3
    except (ValueError, ImportError, OverflowError) as error:
        print(f"minorml: {error}", file=sys.stderr)
        return 2
    except (WorkerError, OSError, MemoryError) as error:
        print(f"minorml: failed: {error}; what was saved before stays", file=sys.stderr)
        return 1
    except Stopped as stopped:
        how = "the same command goes" if args.verb == "sweep" else "--resume goes"
        print(f"minorml: stopped by {stopped}; {how} on from the last finished iteration", file=sys.stderr)
        return 128 + stopped.signum
    except KeyboardInterrupt:
        print("minorml: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
