"""Does a log fit? A robot's log is looked at before and after it is adapted to, and what is odd about it is said.

Each finding has a number, and a sentence where something is wrong. Three questions need the exploring policy alone:
were these actions drawn by it, is anything missing, does a sensor stand still. The others compare with logs of held-out
tasks (`reference`): a value is odd where it lies outside of theirs by more than `SLACK` times their width.

If the actions were drawn by π_θ, then e = (a − f(s; θ_μ)) / e^{θ_σ} is standard normal, (gaussian.1), whatever the
robot did with them. A wrong unit or an exchanged column shows there too. When something does not fit, it is tried
whether it would with a unit changed, two columns exchanged or the actions moved by a row; what helps is named.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import gaussian
from ..rl.tasks import describe
from .corrections import corrections
from .recording import trajectories_of
from .reference import Moments, measure

SLACK = 1.0
DEVIATIONS = 5.0  # of a mean or a deviation of e from that of N(0, 1)
BEYOND = 4.0  # |e| is seldom larger: once in 16,000 numbers
BEYOND_SHARE = math.erfc(BEYOND / math.sqrt(2))
FEWEST = 0.5  # of the trajectories, or of the rows, that it was trained with
PILE = 3  # values that are all the largest, or the smallest, to the last bit


class Finding(NamedTuple):
    """One line of a report."""

    name: str
    text: str  # with its number
    warning: str = ""  # what is wrong, in a sentence; empty: nothing


class FitReport(NamedTuple):
    """What was found out about a log. `print` shows it."""

    findings: list[Finding]

    @property
    def warnings(self) -> list[str]:
        return [finding.warning for finding in self.findings if finding.warning]

    @property
    def fits(self) -> bool:
        return not self.warnings

    def __str__(self):
        lines = [f"{'!' if finding.warning else ' '} {finding.name:14} {finding.text}" for finding in self.findings]
        return "\n".join([*lines, *(f"! {warning}" for warning in self.warnings)])


def fit_report(problem, meta, theta, theta_i, recording, batch, reference):
    """The FitReport of a log, to which one step took θ to θ_i. `reference`: a Reference, or None."""
    drawn, *compared = correctable = _correctable(problem, theta, recording, batch, reference)
    findings = [Finding("log", f"{recording.num_rows} transitions of {len(recording.episodes)} episodes"),
                *(Finding("", note, note) for note in recording.notes)]
    if reference is None:
        none = Finding("reference", "none: the log was compared with no other")
        return FitReport([*findings, drawn, *_clipped(recording), none])
    findings += [*_amount(problem.config, recording, reference.measures), drawn, *_clipped(recording), *compared]
    if any(finding.warning for finding in correctable):
        findings += _corrections(problem, theta, recording, reference)
    return FitReport([*findings, *_step(measure(problem, meta, theta, theta_i, recording, batch), reference.measures)])


def _correctable(problem, theta, recording, batch, reference):
    """What a wrong unit, column or row would show in."""
    drawn = _drawn(problem.policy, theta, batch)
    if reference is None:
        return [drawn]
    return [drawn, _observations(recording, reference.measures), _motion(batch, reference)]


def _amount(config, recording, measures):
    """Trajectories and rows; episodes shorter or longer than any of training."""
    lengths = np.array(recording.recorded_lengths)
    K, rows, count = config.num_trajectories, float(np.median(measures.rows)), len(lengths)
    few = count < FEWEST * K or recording.num_rows < FEWEST * measures.rows.min()
    yield Finding("amount", f"{count} trajectories, {recording.num_rows} rows; trained with {K} and {rows:.0f}",
                  f"the log has {count} trajectories and {recording.num_rows} rows where training had {K} and "
                  f"{rows:.0f}: the step that it gives is noisier" if few else "")
    shortest, longest = measures.shortest.min(), measures.longest.max()
    fixed = shortest == longest  # if not, something ends episodes, and it may come a little earlier this time
    short, long = lengths < (shortest if fixed else shortest / 2), lengths > config.horizon
    text, wrong = f"{lengths.min()} to {lengths.max()} steps; held-out logs: {shortest} to {longest}", ""
    if short.any():
        wrong = (f"{short.sum()} of {count} episodes end early: episode {np.argmax(short)} after {lengths[short][0]} "
                 f"steps, where none of training's had less than {shortest}; is its end missing?")
    elif long.any():
        wrong = (f"{long.sum()} of {count} episodes are longer than the {config.horizon} steps of training, and may "
                 "show what it never saw")
    yield Finding("episodes", text, wrong)


def _drawn(policy, theta, batch):
    """Were these actions drawn by this policy? e is standard normal then."""
    mean_params, log_std = policy.split(theta)
    e = gaussian.standardise(batch.actions, policy.mean(theta, batch.states), log_std).astype(np.float64)
    n, mean, std = len(e), e.mean(axis=0), e.std(axis=0)
    beyond, expected = int((np.abs(e) > BEYOND).sum()), BEYOND_SHARE * e.size
    text = f"(a − μ)/σ: mean {_several(mean)}, deviation {_several(std)}; {beyond} of {e.size} beyond {BEYOND:.0f}"
    wrong = ""
    if (std < 0.05).any():
        wrong = (f"action_{np.argmax(std < 0.05)} has no exploration in it (its deviation is {std.min():.2g} of the "
                 "policy's): was the mean action logged, or does the robot act by it?")
    elif (np.abs(mean) * math.sqrt(n) > DEVIATIONS).any() or (np.abs(std - 1) * math.sqrt(2 * n) > DEVIATIONS).any() \
            or beyond > expected + DEVIATIONS * math.sqrt(expected) + PILE:
        wrong = ("these actions were not drawn by this policy for these observations: (a − μ)/σ should have mean 0 and "
                 f"deviation 1, and has {_several(mean)} and {_several(std)}")
    return Finding("actions", text, wrong)


def _clipped(recording):
    """Actions that were logged after something clipped them pile up at the bounds."""
    actions = recording.actions
    piles = {}  # action → its bounds with many rows
    for j, column in enumerate(actions.T):
        for bound in sorted({column.min(), column.max()}):
            if (column == bound).sum() >= PILE:
                piles.setdefault(f"action_{j}", []).append(f"{bound:g} in {int((column == bound).sum())} rows")
    if piles:
        where = _few([f"{name} is exactly {' and '.join(bounds)}" for name, bounds in piles.items()])
        yield Finding("clipping", where, f"{where} of {len(actions)}, and never beyond: the actions were logged after "
                      "they had been clipped. Log what the policy gave")


def _observations(recording, measures):
    """Each observation's mean and deviation against those of held-out logs."""
    states = recording.states
    mean, std = states.mean(axis=0), states.std(axis=0)
    low, high = measures.states_mean.min(axis=0), measures.states_mean.max(axis=0)
    narrow, wide = measures.states_std.min(axis=0), measures.states_std.max(axis=0)
    still = (std <= 1e-9 * np.abs(mean)) & (narrow > 0)
    few = math.sqrt(max(1.0, np.median(measures.rows) / recording.num_rows))
    out = np.maximum(_outside(mean, measures.states_mean, stretch=few),
                     _outside(_log(std), _log(measures.states_std), stretch=few))
    out = np.where(wide == 0, np.where(mean == low, 0, np.inf), out)
    odd = np.flatnonzero((out > SLACK) & ~still)
    wrong = []
    if still.any():
        which = np.flatnonzero(still)
        wrong.append(f"{_few([f'observation_{j} is {mean[j]:g} in every row' for j in which])}: "
                     f"{'are the sensors' if len(which) > 1 else 'is the sensor'} alive?")
    if len(odd):
        wrong.append(_few([f"observation_{j} has mean {mean[j]:.4g} and deviation {std[j]:.4g}, in held-out logs "
                           f"{low[j]:.4g} to {high[j]:.4g} and {narrow[j]:.4g} to {wide[j]:.4g}" for j in odd]))
    return Finding("observations", f"{len(odd) + still.sum()} of {len(out)} outside of what held-out logs have",
                   "; ".join(wrong))


def _motion(batch, reference):
    """Does this robot move like a robot of training?"""
    misfit, k = reference.nearest(Moments.of(batch))
    limit = (1 + SLACK) * reference.misfit.max() + 1e-6
    text = (f"most like {describe(reference.tasks[k])}: {misfit:.2g} of its motion is not as there; held-out logs: up "
            f"to {reference.misfit.max():.2g}")
    wrong = ("the observations do not change with the actions as in any task of training (the nearest leaves "
             f"{misfit:.2g} of the motion unexplained; {limit:.2g} is much): are rows in the order of time, and does "
             "each action stand beside the observation that it answered?")
    return Finding("motion", text, wrong if misfit > limit else "")


def _step(mine, held_out):
    """The adaptation step, and the policy that came out of it."""
    def line(name, text, value, values, sentence):
        out = np.max(_outside(value, values, tiny=0.05)) > SLACK  # logarithms: 5 %
        return Finding(name, text, sentence if out else "")

    norms = held_out.step
    yield line("step", f"‖θ_i − θ − θ_off‖ = {mine.step:.3g}; held-out logs: {norms.min():.3g} to {norms.max():.3g}",
               _log(mine.step), _log(norms),
               f"the gradient step is {mine.step:.3g} long, where held-out logs give {norms.min():.3g} to "
               f"{norms.max():.3g}")
    if held_out.advantage.any():
        (mean, std), low, high = mine.advantage, held_out.advantage.min(axis=0), held_out.advantage.max(axis=0)
        text = (f"A_ψ = {mean:.3g} ± {std:.3g}; held-out logs: {low[0]:.3g} to {high[0]:.3g} ± {low[1]:.3g} to "
                f"{high[1]:.3g}")
        yield line("advantage", text, mine.advantage / high[1], held_out.advantage / high[1],
                   f"the learned advantage is {mean:.3g} ± {std:.3g} on this log, unlike on any held-out one")
    sigma, sigmas = np.exp(mine.log_std), np.exp(held_out.log_std)
    yield line("σ after", f"{_several(sigma)}; held-out logs: {sigmas.min():.3g} to {sigmas.max():.3g}",
               mine.log_std, held_out.log_std,
               f"the adapted policy's σ is {_several(sigma)}, where held-out logs give {sigmas.min():.3g} to "
               f"{sigmas.max():.3g}")
    low, high = held_out.action.min(), held_out.action.max()
    yield line("action after", f"root mean square {_several(mine.action)}; held-out logs: {low:.3g} to {high:.3g}",
               _log(mine.action), _log(held_out.action),
               f"the adapted policy's mean actions are {_several(mine.action)} large, where held-out logs give "
               f"{low:.3g} to {high:.3g}")


def _corrections(problem, theta, recording, reference):
    """What would make the log fit, if anything that we know does."""
    for sentence, corrected in corrections(problem.config, recording, reference.measures):
        batch = trajectories_of(problem.config, corrected).batch()
        if not any(finding.warning for finding in _correctable(problem, theta, corrected, batch, reference)):
            yield Finding("suggestion", sentence, f"the log would fit with {sentence}")


def _outside(value, held_out, stretch=1.0, tiny=1e-12):
    """How far a value lies outside of those of held-out logs (n, …), as a multiple of their width, at least `tiny`."""
    low, high = held_out.min(axis=0), held_out.max(axis=0)
    return np.maximum(np.maximum(low - value, value - high), 0) / (stretch * np.maximum(high - low, tiny))


def _log(x):
    return np.log(np.maximum(x, 1e-300))


def _few(texts):
    """The first three, and how many more there are."""
    return "; ".join(texts[:3]) + (f"; and so on for {len(texts) - 3} more" if len(texts) > 3 else "")


def _several(values):
    """One number, or the smallest and the largest of several."""
    low, high = (f"{x:.3g}" for x in (np.min(values), np.max(values)))
    return low if low == high else f"{low} to {high}"
