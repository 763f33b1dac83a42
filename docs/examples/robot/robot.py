"""A robot: a point that moves in the plane, whose motors were wired in a way that nobody wrote down.

It stands for hardware. It needs NumPy and a policy file that minorml exported, and knows nothing else of minorml: it
is never told of a task, a reward or a goal.

    python robot.py --policy explorer.npz --log log.csv --explore --episodes 25

The log has a row for each time step with the columns episode, step, observation_0, observation_1, action_0, action_1.
The last row of an episode has the last observation and no action.
"""

import argparse
import csv
import json
import math

import numpy as np

STEPS = 10  # of an episode
LIMIT = 2.0  # m: walls at ±2 m in x and y
ACTIVATIONS = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0), "identity": lambda z: z}


class Policy:
    """The network in an exported .npz file."""

    def __init__(self, path):
        with np.load(path, allow_pickle=False) as file:
            self.arrays = {name: file[name] for name in file.files}
        self.activation = ACTIVATIONS[json.loads(self.arrays["manifest"].tobytes())["activation"]]
        self.num_layers = sum(name.startswith("W") for name in self.arrays)

    def act(self, observation, standard_normal):
        """The mean action, plus noise: standard normal numbers times the standard deviation. (S,), (U,) → (U,)"""
        arrays, h = self.arrays, observation / self.arrays["obs_scale"]
        for l in range(1, self.num_layers + 1):
            h = h @ arrays[f"W{l}"] + arrays[f"b{l}"]
            if l < self.num_layers:
                h = self.activation(h)
        mean = h * arrays["action_scale"] + arrays["action_offset"]
        return mean + arrays["standard_deviation"] * standard_normal


class Motors:
    """Two motors that move the point by at most 1 m each in a step, in directions that are turned by the wiring."""

    def __init__(self, wiring):
        self.directions = np.array([[math.cos(wiring), -math.sin(wiring)], [math.sin(wiring), math.cos(wiring)]])

    def move(self, position, action):
        return np.clip(position + self.directions @ np.clip(action, -1, 1), -LIMIT, LIMIT)


def run_episode(policy, motors, noise):
    """Observations (STEPS + 1, 2) and actions (STEPS, 2), as they were commanded: before the motors clip them."""
    position = np.zeros(2)
    observations, actions = [position / LIMIT], []
    for standard_normal in noise:
        actions.append(policy.act(observations[-1], standard_normal))
        position = motors.move(position, actions[-1])
        observations.append(position / LIMIT)  # the sensor gives a share of the way to the wall
    return observations, actions


def main():
    parser = argparse.ArgumentParser(description="Run a policy on the robot, and write a log.")
    parser.add_argument("--wiring", type=float, default=2.2, help="the secret, in radians (default 2.2)")
    parser.add_argument("--policy", required=True, metavar="FILE", help="an exported .npz")
    parser.add_argument("--log", required=True, metavar="FILE", help="the .csv to write")
    parser.add_argument("--explore", action="store_true", help="add the policy's noise to its mean actions")
    parser.add_argument("--episodes", type=int, default=1, help="how many (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default 0)")
    args = parser.parse_args()

    policy, motors, rng = Policy(args.policy), Motors(args.wiring), np.random.default_rng(args.seed)
    with open(args.log, "w", newline="", encoding="ascii") as file:
        log = csv.writer(file)
        log.writerow(["episode", "step", "observation_0", "observation_1", "action_0", "action_1"])
        for episode in range(args.episodes):
            noise = rng.standard_normal((STEPS, 2)) if args.explore else np.zeros((STEPS, 2))
            observations, actions = run_episode(policy, motors, noise)
            for step, (observation, action) in enumerate(zip(observations, [*actions, ("", "")])):
                log.writerow([episode, step, *observation, *action])


if __name__ == "__main__":
    main()
