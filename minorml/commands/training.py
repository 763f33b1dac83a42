"""`minorml list | train | check | sweep | replay`."""

import argparse
import dataclasses
from pathlib import Path

from ..experiments.statistics import last_returns
from ..experiments.sweep import Job, sweep
from ..experiments.train import train
from ..methods import METHODS
from ..parallel.workers import WorkerError
from ..rl.config import Config, explain_fields, parse_setting
from ..rl.presets import PRESETS, expand, labels, preset
from ..rl.problem import step_limit
from ..rl.survey import survey
from ..runs.directory import Run, RunError
from ..runs.failures import replay
from .values import positive, seeds


def add(verbs):
    """Add these verbs to the parser's."""
    v = verbs.add_parser("list", help="the presets and what each method learns")
    v.set_defaults(run=list_presets)

    v = verbs.add_parser("train", help="meta-train and keep a run's directory",
                         formatter_class=argparse.RawDescriptionHelpFormatter,
                         epilog="fields for --set:\n" + explain_fields())
    _add_start(v, "--preset", "ENV/METHOD", "starting values; see `minorml list`")
    v.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="the run's directory")
    v.add_argument("--seed", type=int, help="of every random number (default: the preset's)")
    v.add_argument("--iterations", type=int, help="outer iterations (default: the preset's)")
    v.add_argument("--workers", type=positive, metavar="N", help="share the work of each iteration among N processes "
                   "(default: do it all in this one); the numbers stay the same")
    v.add_argument("--scheduler", metavar="ADDRESS", help="… or among the workers of a Dask cluster, for example "
                   "tcp://host:8786")
    there = v.add_mutually_exclusive_group()
    there.add_argument("--resume", action="store_true", help="continue the run in FOLDER from its last checkpoint; "
                       "the options may be left out, or must be the same")
    there.add_argument("--overwrite", action="store_true", help="replace the run in FOLDER")
    v.add_argument("--other-versions", action="store_true", help="with --resume: go on with other versions of Python "
                   "or of packages; the last bits will differ")
    v.set_defaults(run=run_train)

    v = verbs.add_parser("check", help="look at an environment and its tasks before training: what is found, line by "
                         "line")
    _add_start(v, "--preset", "ENV/METHOD", "starting values; see `minorml list`")
    v.set_defaults(run=run_check, out=None, seed=None, iterations=None, resume=False)

    v = verbs.add_parser("sweep", help="many runs side by side: presets × seeds; go on with it by the same command")
    _add_start(v, "--presets", "ENV/METHOD,…", "presets, with ',' between them; ENV alone: all of them",
               required=True)
    v.add_argument("--seeds", type=seeds, default=[0], metavar="A-B,C,…", help="seeds (default 0)")
    v.add_argument("--workers", type=positive, default=1, metavar="N", help="runs at a time (default 1)")
    v.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="the folder of the runs' directories")
    v.add_argument("--iterations", type=int, help="outer iterations of each run (default: the preset's)")
    v.set_defaults(run=run_sweep, preset=None, seed=None, resume=False)

    v = verbs.add_parser("replay", help="show where a number that is not finite first appears")
    v.add_argument("file", type=Path, metavar="FILE", help="of a run's failures/ directory")
    v.set_defaults(run=run_replay)


def _add_start(v, preset, metavar, text, required=False):
    """The options that say where a configuration starts, a preset or an environment, and what is changed of it."""
    start = v.add_mutually_exclusive_group(required=required)
    start.add_argument(preset, metavar=metavar, help=text)
    start.add_argument("--env", metavar="ID", help="any Gymnasium environment with a continuous action, for example "
                       "Pendulum-v1; with --vary and --method, every other field at its default")
    v.add_argument("--env-arg", action="append", metavar="NAME=VALUE", help="what the environment is made with; "
                   "repeatable")
    v.add_argument("--vary", action="append", metavar="NAME=uniform:LOW,HIGH",
                   help="the environment's attribute that makes a task, or NAME=choice:A,B,…; repeatable")
    v.add_argument("--method", choices=METHODS, help="a row of the method table")
    v.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field; repeatable")


def list_presets(args):
    print(f"{'preset':30} {'learned':22} {'inner rate':>10} {'outer rate':>10} {'log std':>8}")
    for name, config in PRESETS.items():
        print(f"{name:30} {', '.join(config.learned):22} {config.inner_rate:>10g} {config.outer_rate:>10g} "
              f"{config.log_std:>8g}")


def _fields(args):
    """{field: value} of the options that are named after a field, and of `--set`; for one field they must agree."""
    named = {name: getattr(args, name) for name in ("env", "seed", "iterations", "method", "vary")}
    named["env_args"] = args.env_arg
    fields = {}
    for name, value in [*map(parse_setting, args.set), *named.items()]:
        if value is None:
            continue
        value = tuple(value) if isinstance(value, list) else value
        if name in fields and fields[name] != value:
            raise ValueError(f"--set: {name} is given twice, as {fields[name]!r} and as {value!r}")
        fields[name] = value
    return fields


def configuration(args):
    """The Config that the options of `train` describe."""
    fields = _fields(args)
    if args.preset is not None:
        return dataclasses.replace(preset(args.preset), **fields)
    if args.env is not None:
        missing = [f"--{name}" for name in ("vary", "method") if name not in fields]
        if missing:
            raise ValueError(f"--env: expected {' and '.join(missing)} too, for example --vary g=uniform:5,15 "
                             "--method norml")
        if "horizon" not in fields:
            fields["horizon"] = step_limit(args.env, Config(horizon=1, **fields).env_options)
        return Config(**fields)
    if args.resume:
        return dataclasses.replace(Run(args.out).config, **fields)
    raise ValueError("expected --preset ENV/METHOD, or --env ID with --vary and --method")


def run_train(args):
    trained = train(configuration(args), args.out, resume=args.resume, overwrite=args.overwrite,
                    workers=args.workers, scheduler=args.scheduler, other_versions=args.other_versions)
    count, before, after = last_returns(trained.metrics)
    print(f"{args.out}: {trained.config.iterations} iterations; mean return over the last {count}: "
          f"{before:.2f} before adaptation, {after:.2f} after")


def run_check(args):
    good = True
    for fine, text in survey(configuration(args)):
        print(f"{' ' if fine else '!'} {text}", flush=True)
        good = good and fine
    if not good:
        raise ValueError("check: it cannot be trained on as it is; the lines with a ! say why")
    print("  it can be trained on: minorml train with the same options, and --out")


def run_sweep(args):
    fields = _fields(args)
    if "seed" in fields:
        raise ValueError("--set: a sweep's seeds are given by --seeds")
    if args.env is not None:
        configs = [configuration(args)]
        names = labels(configs)
    else:
        if args.vary or args.method or args.env_arg:
            raise ValueError("--vary, --method and --env-arg go with --env; presets have their own")
        names = expand(args.presets)
        configs = [dataclasses.replace(preset(name), **fields) for name in names]
    jobs = [Job(dataclasses.replace(config, seed=seed), args.out / f"{name.replace('/', '-')}-{seed}")
            for name, config in zip(names, configs) for seed in args.seeds]
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
