"""`minorml evaluate | collect | adapt | export`."""

import csv
import io
from pathlib import Path

from ..deployment.controller import load_policy
from ..deployment.logs import load_recording
from ..experiments.finetune import collect, evaluate
from ..experiments.trained import load, with_reference
from ..methods import METHODS
from ..rl.tasks import describe, grid_tasks, parse_task
from ..runs.checkpoints import write_atomically
from .values import log_file, names, not_negative, policy_file, positive


def add(verbs):
    """Add these verbs to the parser's."""
    v = verbs.add_parser("evaluate", help="adapt to held-out tasks and print the return before and after")
    v.add_argument("folder", type=Path, metavar="RUN", help="a run's directory")
    v.add_argument("--steps", type=positive, help="adaptation steps (default: as many as it was trained for)")
    v.add_argument("--tasks", type=positive, default=16, help="tasks on the grid (default 16)")
    v.add_argument("--repetitions", type=positive, default=5, help="independent repetitions (default 5)")
    v.add_argument("--seed", type=not_negative, default=0, help="of the evaluation (default 0)")
    v.set_defaults(run=run_evaluate)

    v = verbs.add_parser("collect", help="record a simulated robot: the log that `adapt` reads")
    v.add_argument("folder", type=Path, metavar="RUN", help="a run's directory")
    v.add_argument("--task", required=True, metavar="NAME=VALUE", help="how the robot is, for example rotation=1.5; "
                   "several attributes with ',' between them")
    v.add_argument("--policy", type=Path, metavar="FILE", help="an .npz of `adapt` or `export` (default: the exploring "
                   "policy of the run)")
    v.add_argument("--episodes", type=positive, metavar="K", help="how many (default: as many as in training)")
    v.add_argument("--seed", type=not_negative, default=0, help="of noise and resets (default 0)")
    v.add_argument("--out", required=True, type=log_file, metavar="LOG.npz", help="the log")
    v.set_defaults(run=run_collect)

    v = verbs.add_parser("adapt", help="adapt a run's policy to a robot's log, and say whether the log fits")
    v.add_argument("folder", type=Path, metavar="RUN", help="a run's directory")
    v.add_argument("logs", nargs="+", metavar="LOG", help=".npz, .csv or minari:ID; several: one for each step, each "
                   "recorded by the policy that the ones before it give")
    v.add_argument("--observations", type=names, metavar="A,B,…", help="a .csv's columns of observations, in the order "
                   "of training (default: observation_0,observation_1,…)")
    v.add_argument("--actions", type=names, metavar="A,B,…", help="its columns of actions (default: action_0,…)")
    v.add_argument("--strict", action="store_true", help="refuse a log that does not fit")
    v.add_argument("--out", required=True, type=policy_file, metavar="FILE", help="the adapted policy: .npz, .onnx, .c "
                   "or .h")
    v.set_defaults(run=run_adapt)

    v = verbs.add_parser("export", help="write a run's exploring policy, or an adapted one, as a file for a robot")
    v.add_argument("policy", type=Path, metavar="RUN|FILE", help="a run's directory, or an .npz of `adapt`")
    v.add_argument("--out", required=True, type=policy_file, metavar="FILE", help="ends in .npz, .onnx, .c or .h")
    v.set_defaults(run=run_export)


def run_evaluate(args):
    trained = load(args.folder)
    tasks = grid_tasks(trained.config.distribution, args.tasks)
    scores = evaluate(trained, tasks, args.steps, args.repetitions, args.seed, progress=True)
    table = {}  # the task's values → stage → Score
    for score in scores:
        table.setdefault(tuple(score.task.values()), {})[score.stage] = score
    stages = list(dict.fromkeys(score.stage for score in scores))
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
    print(f"written: {_write_scores(args.folder, list(tasks[0]), scores)}")


def run_collect(args):
    trained = load(args.folder)
    task = parse_task(args.task, trained.config.distribution)
    policy = None if args.policy is None else load_policy(args.policy)
    recording = collect(trained, task, policy, args.seed, args.episodes)
    recording.save(args.out)
    print(f"{args.out}: {len(recording.episodes)} episodes, {recording.num_rows} transitions, {describe(task)}; "
          f"mean return {recording.returns.mean():.2f}")


def run_adapt(args):
    trained = load(args.folder)
    recordings = [load_recording(log, args.observations, args.actions) for log in args.logs]
    if trained.reference is None:
        trained = with_reference(trained, progress=True)
    adapted = trained.adapt(recordings, args.strict)
    print(adapted.report)
    adapted.export(args.out)
    print(f"written: {args.out}")


def run_export(args):
    policy = load(args.policy).policy() if args.policy.is_dir() else load_policy(args.policy)
    policy.export(args.out)
    print(f"written: {args.out}")


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
