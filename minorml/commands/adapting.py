"""`minorml evaluate`."""

import csv
import io
from pathlib import Path

from ..experiments.finetune import evaluate
from ..experiments.train import load
from ..methods import METHODS
from ..rl.tasks import describe, grid_tasks
from ..runs.checkpoints import write_atomically
from .values import not_negative, positive


def add(verbs):
    """Add these verbs to the parser's."""
    v = verbs.add_parser("evaluate", help="adapt to held-out tasks and print the return before and after")
    v.add_argument("folder", type=Path, metavar="RUN", help="a run's directory")
    v.add_argument("--steps", type=positive, help="adaptation steps (default: as many as it was trained for)")
    v.add_argument("--tasks", type=positive, default=16, help="tasks on the grid (default 16)")
    v.add_argument("--repetitions", type=positive, default=5, help="independent repetitions (default 5)")
    v.add_argument("--seed", type=not_negative, default=0, help="of the evaluation (default 0)")
    v.set_defaults(run=run_evaluate)


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
