"""Adapt robots from their logs: the robots run in processes of their own, and know nothing of minorml.

    python docs/examples/robot/run.py                   # meta-train the policy first: half a minute
    python docs/examples/robot/run.py --run runs/a      # or take a run of point/norml that is there

For each robot:

    export the exploring policy π_θ       explorer.npz  →  robot
    K episodes                            log.csv       ←  robot         observations and actions, no rewards
    adapt to the log, by (meta.1)         adapted.npz   →  robot
    an episode with each policy's mean action: the return before and after, and a picture
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

import minorml

ROBOT = Path(__file__).with_name("robot.py")
WIRINGS = -2.4, -0.9, 0.8, 2.2  # radians; only the robots are told
GOAL = np.array([1.0, 0.0])  # m; what the policies were trained to reach, and what the returns are measured by
METRES = 2.0  # of an observation of 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run of point/norml; default: train one")
    parser.add_argument("--iterations", type=int, default=300, help="to train for (default 300)")
    parser.add_argument("--out", type=Path, default=Path("runs/robot"), metavar="FOLDER",
                        help="for policies, logs and the picture (default runs/robot)")
    args = parser.parse_args()
    if args.run:
        trained = minorml.load(args.run)
        require_point_agent(trained.config, parser.error)
    else:
        trained = minorml.train("point/norml", iterations=args.iterations)
    args.out.mkdir(parents=True, exist_ok=True)

    print(f"{'wiring':>7} {'before':>8} {'after':>8}   return of 10 steps by the mean action")
    robots = [adapt_robot(trained, wiring, args.out / f"robot-{i}") for i, wiring in enumerate(WIRINGS)]
    before, after = (np.mean([robot[stage].returns for robot in robots]) for stage in ("before", "after"))
    print(f"{'mean':>7} {before:>8.2f} {after:>8.2f}")
    draw(robots, args.out / "robot.png")
    print(f"written: {args.out / 'robot.png'}")


def require_point_agent(config, error):
    """This robot moves as the point agent does, and its log has no rewards."""
    if not config.env.endswith("PointRotation-v0"):
        error(f"--run: expected a run of minorml/PointRotation-v0; given one of {config.env}")
    if "psi" not in minorml.METHODS[config.method].learned:
        error(f"--run: expected a method that adapts by a learned advantage, as norml does; given {config.method}")


def adapt_robot(trained, wiring, folder):
    """Let a robot explore, adapt to its log, let it run both policies → {stage: Log}."""
    folder.mkdir(exist_ok=True)

    def operate(policy, log, *options):
        command = [sys.executable, ROBOT, f"--wiring={wiring}", "--policy", policy, "--log", log, *options]
        subprocess.run(command, check=True)
        return Log(log)

    explorer, adapted = folder / "explorer.npz", folder / "adapted.npz"
    trained.policy().save(explorer)
    explored = operate(explorer, folder / "log.csv", "--explore", f"--episodes={trained.config.num_trajectories}")
    policy = trained.adapt(explored)
    policy.save(adapted)
    robot = {"exploring": explored, "before": operate(explorer, folder / "before.csv"),
             "after": operate(adapted, folder / "after.csv")}
    print(f"{wiring:>7.1f} {robot['before'].returns.mean():>8.2f} {robot['after'].returns.mean():>8.2f}   "
          + ("the log fits" if policy.report.fits else "; ".join(policy.report.warnings)))
    return robot


class Log(minorml.Recording):
    """A robot's log, and what only we know of it: where the goal is."""

    def __init__(self, path):
        episodes = minorml.load_recording(path).episodes
        super().__init__([one.states for one in episodes], [one.actions for one in episodes])

    @property
    def paths(self):
        """Positions in metres, each (T + 1, 2)."""
        return [METRES * one.states for one in self.episodes]

    @property
    def returns(self):
        """−Σ_t ‖p_t − goal‖ of each episode: how well it went. Nobody tells the robot, or `adapt`."""
        return np.array([-np.linalg.norm(path[1:] - GOAL, axis=1).sum() for path in self.paths])


def draw(robots, path):
    """A panel for each robot: how it explored, and its way before and after adaptation."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(robots), figsize=(12, 3.6), layout="constrained", sharey=True)
    for axis, robot, wiring in zip(axes, robots, WIRINGS):
        for way in robot["exploring"].paths:
            explored, = axis.plot(*way.T, color="lightgray", linewidth=0.8)
        before, = axis.plot(*robot["before"].paths[0].T, "--", color="tab:orange", marker=".")
        after, = axis.plot(*robot["after"].paths[0].T, color="tab:blue", marker=".")
        goal, = axis.plot(*GOAL, "*", color="crimson", markersize=12)
        axis.set(title=f"wired at {wiring:.1f} rad: {robot['before'].returns[0]:.1f} → {robot['after'].returns[0]:.1f}",
                 xlabel="m", xlim=(-METRES, METRES), ylim=(-METRES, METRES), aspect="equal")
    axes[0].set_ylabel("m")
    figure.legend([explored, before, after, goal], ["exploring", "before adaptation", "after adaptation", "goal"],
                  loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main()
