"""`minorml plot | video | report | map`."""

from pathlib import Path

from ..experiments import plots
from ..experiments.adaptation_map import adaptation_map
from ..experiments.report import report
from ..experiments.trained import load
from ..experiments.video import side_by_side
from ..rl.tasks import grid_tasks, parse_task
from ..runs.directory import Run
from .values import folder, not_negative, positive


def add(verbs):
    """Add these verbs to the parser's."""
    v = verbs.add_parser("plot", help="learning curves, and for the point agent its trajectories and A_ψ")
    v.add_argument("folders", type=Path, nargs="+", metavar="RUN", help="directories of runs")
    v.add_argument("--out", type=folder, metavar="FOLDER",
                   help="where to (default: plots/ in the run's directory; with several runs, plots/ here)")
    v.set_defaults(run=run_plot)

    v = verbs.add_parser("video", help="a GIF of the policy before and after adaptation, side by side")
    v.add_argument("folder", type=Path, metavar="RUN", help="a run's directory")
    v.add_argument("--task", metavar="NAME=VALUE", help="the task, for example rotation=1.5; several attributes with "
                   "',' between them (default: the first of evaluate's grid)")
    v.add_argument("--steps", type=positive, help="adaptation steps (default: as many as it was trained for)")
    v.add_argument("--horizon", type=positive, help="the most steps to show (default: the run's)")
    v.add_argument("--seed", type=not_negative, default=0, help="of exploration and reset (default 0)")
    v.add_argument("--out", type=Path, metavar="FILE", help="the GIF (default: plots/video.gif in the run's directory)")
    v.set_defaults(run=run_video)

    v = verbs.add_parser("report", help="a page of results from runs: tables, figures and how to make them again")
    v.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="directories of runs, or of sweeps")
    v.add_argument("--out", required=True, type=folder, metavar="FOLDER", help="where to")
    v.add_argument("--tasks", type=positive, default=16, help="held-out tasks on the grid (default 16)")
    v.add_argument("--repetitions", type=positive, default=5, help="independent repetitions (default 5)")
    v.add_argument("--seed", type=not_negative, default=0, help="of the evaluation (default 0)")
    v.add_argument("--curves", type=Path, metavar="FILE", help="published curves to compare with: a CSV file of "
                   "system,method,trajectories,return, such as results/paper.csv")
    v.set_defaults(run=run_report)

    v = verbs.add_parser("map", help="where adaptation pays: the systems of several pages of results on one scale")
    v.add_argument("pages", type=Path, nargs="+", metavar="PAGE", help="folders that report wrote, with runs of domain "
                   "randomization on all tasks and on single ones (--set vary=NAME=choice:VALUE)")
    v.add_argument("--out", required=True, type=folder, metavar="FOLDER", help="where to")
    v.set_defaults(run=run_map)


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


def run_video(args):
    trained = load(args.folder)
    distribution = trained.config.distribution
    task = parse_task(args.task, distribution) if args.task else grid_tasks(distribution, 16)[0]
    print(side_by_side(trained, task, args.out or args.folder / "plots" / "video.gif", args.steps, args.seed,
                       progress=True, horizon=args.horizon))


def run_map(args):
    print(adaptation_map(args.pages, args.out))


def run_report(args):
    print(report(args.folders, args.out, args.tasks, args.repetitions, args.seed, curves=args.curves))
