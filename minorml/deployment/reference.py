"""What a log is measured by, and what logs of held-out tasks gave: the reference that a robot's log is held against.

Of each log, in the environment's own units:

    states_mean, states_std   of each observation
    dynamics                  Δs ≈ Bᵀ [1, s, a], by least squares in the network's units: how this robot moves
    step                      ‖θ_i − θ − θ_off‖, how far the gradient step went
    advantage                 mean and deviation of A_ψ
    log_std, action           θ_σ after adaptation, and the root mean square of the adapted policy's mean action

A run's reference is measured once, after training: NUM_LOGS logs of tasks on a grid, which training did not draw.
"""

from typing import NamedTuple

import numpy as np

from ..runs import checkpoints

NUM_LOGS = 40
FILE = "reference.npz"


class Measures(NamedTuple):
    """One log, or with an axis of n logs before the others: a reference."""

    rows: np.ndarray  # () transitions
    shortest: np.ndarray  # () steps of the shortest episode
    longest: np.ndarray  # ()
    states_mean: np.ndarray  # (S,)
    states_std: np.ndarray  # (S,)
    motion: np.ndarray  # (S,) the mean of Δs²
    dynamics: np.ndarray  # (1 + S + U, S) B
    step: np.ndarray  # ()
    advantage: np.ndarray  # (2,) mean and deviation; zeros for a method without A_ψ
    log_std: np.ndarray  # (U,)
    action: np.ndarray  # (U,)


class Moments(NamedTuple):
    """What the fit of Δs ≈ Bᵀ φ, φ = [1, s, a], needs to know of N rows."""

    gram: np.ndarray  # mean of φ φᵀ
    cross: np.ndarray  # mean of φ Δsᵀ
    motion: np.ndarray  # (S,) mean of Δs²

    @classmethod
    def of(cls, batch):
        s, a, after = (np.asarray(rows, np.float64) for rows in batch[:3])
        phi, moved = np.hstack([np.ones((len(s), 1)), s, a]), after - s
        return cls(phi.T @ phi / len(s), phi.T @ moved / len(s), np.square(moved).mean(axis=0))

    def solution(self):
        """B: the least squares, with a ridge that rounding needs."""
        ridge = 1e-9 * np.trace(self.gram) / len(self.gram)
        return np.linalg.solve(self.gram + ridge * np.eye(len(self.gram)), self.cross)

    def misfit(self, dynamics, motion):
        """The mean squared error of B's of other logs (n, 1 + S + U, S), as shares of `motion` (S,) → (n,)."""
        error = self.motion - 2 * (dynamics * self.cross).sum(axis=1) + ((self.gram @ dynamics) * dynamics).sum(axis=1)
        moving = motion > 0
        return np.maximum(error[:, moving] / motion[moving], 0).mean(axis=1) if moving.any() else np.zeros(len(error))


def measure(problem, meta, theta, theta_i, recording, batch):
    """The Measures of a log that θ recorded and that one step from θ to θ_i was made from."""
    states, lengths = recording.states, recording.recorded_lengths
    moments = Moments.of(batch)
    advantage = np.zeros(2)
    if "psi" in problem.method.learned:
        values, _ = problem.method.advantage(problem.laf, meta.psi, batch)
        advantage = np.array([values.mean(), values.std()], np.float64)
    actions = problem.scale_actions(problem.policy.mean(theta_i, batch.states)).astype(np.float64)
    return Measures(*map(np.asarray, (
        recording.num_rows, min(lengths), max(lengths), states.mean(axis=0), states.std(axis=0),
        moments.motion, moments.solution(), np.linalg.norm(theta_i - theta - meta.offset), advantage,
        problem.policy.split(theta_i)[1].astype(np.float64), np.sqrt(np.square(actions).mean(axis=0)))))


class Reference(NamedTuple):
    """What logs of held-out tasks gave."""

    measures: Measures  # with an axis of n logs
    misfit: np.ndarray  # (n,) of each log's motion by the dynamics of the most similar other log
    tasks: list  # n dicts
    iteration: int  # of the parameters that they were made with

    @classmethod
    def of(cls, logs, moments, tasks, iteration):
        """From the Measures and the Moments of n ≥ 2 logs."""
        measures = Measures(*map(np.stack, zip(*logs)))
        motion = measures.motion.mean(axis=0)
        misfit = [np.delete(one.misfit(measures.dynamics, motion), k).min() for k, one in enumerate(moments)]
        return cls(measures, np.array(misfit), tasks, iteration)

    def save(self, folder):
        checkpoints.write(folder / FILE, {**self.measures._asdict(), "misfit": self.misfit}, tasks=self.tasks,
                          iteration=self.iteration)

    @classmethod
    def load(cls, folder, iteration):
        """The reference in a run's directory; None if there is none for the parameters of this iteration."""
        try:
            arrays, facts = checkpoints.read(folder / FILE)
            misfit = arrays.pop("misfit")
            reference = cls(Measures(**arrays), misfit, facts["tasks"], facts["iteration"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return reference if reference.iteration == iteration else None

    @property
    def motion(self):
        """(S,) the mean of Δs² over the logs."""
        return self.measures.motion.mean(axis=0)

    def nearest(self, moments):
        """The logs of most similar dynamics: (their misfit, their number)."""
        misfit = moments.misfit(self.measures.dynamics, self.motion)
        return float(misfit.min()), int(misfit.argmin())
