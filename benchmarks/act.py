"""Latency of one action: by the package, and by the exported C function, in a loop at 1 kHz and back to back."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.systems import start
from minorml.deployment.controller import Policy
from minorml.rl.presets import PRESETS

PERIOD = 1_000_000  # ns: 1 kHz
FLAGS = "-std=c99", "-O2"

DRIVER = """
#define _POSIX_C_SOURCE 200112L
#include <stdio.h>
#include <time.h>
#include "policy.c"

static long long now(void)
{{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}}

/* For each observation on stdin: the action, and how long it took in ns. */
int main(void)
{{
    float observation[{S}], action[{U}];
    long long next = now(), period = {period};
    while (fread(observation, sizeof observation, 1, stdin) == 1) {{
        next += period;
        while (period && now() < next) {{
            struct timespec left = {{0, (long)(next - now() > 0 ? next - now() : 0)}};
            nanosleep(&left, NULL);
        }}
        long long begun = now();
        act(observation, action);
        long long taken = now() - begun;
        fwrite(action, sizeof action, 1, stdout);
        fwrite(&taken, sizeof taken, 1, stdout);
    }}
    return 0;
}}
"""


def main(page, calls=2000, turns=3):
    """Each turn makes `calls` calls by either, at each pace, one after the other."""
    if shutil.which("cc") is None:
        page.table("One action", "There is no C compiler `cc` on this machine, which it is compared with.", [""])
        return
    table = page.table("One action", "The mean action for one observation, scales included: by `Policy.act`, and by "
                       f"the exported C function ({' '.join(FLAGS)}). {turns} turns of {calls:,} calls each, Python "
                       "and C in turn. Microseconds; the share is that of the 1,000 which a loop at 1 kHz has, at the "
                       "99th percentile.", ["network", "who", "at 1 kHz: median", "99th percentile", "longest", "share",
                                       "back to back: median", "99th percentile of these"])
    for systems, policy in networks():
        for who, (paced, tight) in latencies(policy, calls, turns).items():
            median, high, longest = np.percentile(paced, [50, 99, 100]) / 1e3
            quick, slower = np.percentile(tight, [50, 99]) / 1e3
            table.row(systems, who, f"{median:.3g}", f"{high:.3g}", f"{longest:.3g}", f"{high / (PERIOD / 1e3):.2%}",
                      f"{quick:.3g}", f"{slower:.3g}")


def networks():
    """(label, a policy to export) for each network that presets have."""
    systems = {name.partition("/")[0]: config for name, config in PRESETS.items()}
    found = {}
    for system, config in systems.items():
        problem, state = start(config)
        network = "-".join(map(str, problem.policy.mlp.sizes)) + f" {config.activation}"
        policy = Policy(problem.policy, state.meta.theta, config.obs_scale, config.action_scale, config.action_offset)
        found.setdefault(network, ([], policy))[0].append(system)
    return [(f"{network} ({', '.join(names)})", policy) for network, (names, policy) in found.items()]


def latencies(policy, calls, turns):
    """{who: (times at 1 kHz, times back to back)}, each (turns · calls,) in ns."""
    observations = np.random.default_rng(0).normal(size=(calls, policy.family.obs_dim)).astype(np.float32)
    times = {"minorml": ([], []), "C": ([], [])}
    with tempfile.TemporaryDirectory() as folder:
        programs = [compile_driver(policy, Path(folder), period) for period in (PERIOD, 0)]
        for _ in range(turns):
            for pace, (period, program) in enumerate(zip((PERIOD, 0), programs)):
                actions, taken = time_python(policy, observations, period)
                same, taken_by_c = time_c(policy, program, observations)
                np.testing.assert_allclose(same, actions, rtol=1e-6, atol=1e-6)
                times["minorml"][pace].append(taken)
                times["C"][pace].append(taken_by_c)
    return {who: tuple(np.concatenate(turn) for turn in paces) for who, paces in times.items()}


def time_python(policy, observations, period):
    """Actions (N, U) and how long each took (N,), in ns."""
    actions, taken = [], []
    policy.act(observations[0])  # loads compiled code
    due = time.perf_counter_ns()
    for observation in observations:
        due += period
        if period:
            time.sleep(max(0, due - time.perf_counter_ns()) / 1e9)
        begun = time.perf_counter_ns()
        action = policy.act(observation)
        taken.append(time.perf_counter_ns() - begun)
        actions.append(action)
    return np.array(actions), np.array(taken)


def compile_driver(policy, folder, period):
    compiler = shutil.which("cc")
    if compiler is None:
        raise OSError("the benchmark `act` needs a C compiler: there is no cc on this machine")
    policy.export(folder / "policy.c")
    source, program = folder / f"driver-{period}.c", folder / f"driver-{period}"
    source.write_text(DRIVER.format(S=policy.family.obs_dim, U=policy.family.act_dim, period=period))
    subprocess.run([compiler, *FLAGS, source, "-o", program, "-lm"], check=True)
    return program


def time_c(policy, program, observations):
    """As `time_python`, by the C program."""
    done = subprocess.run([program], input=observations.tobytes(), stdout=subprocess.PIPE, check=True)
    rows = np.frombuffer(done.stdout, [("action", np.float32, policy.family.act_dim), ("taken", np.int64)])
    return rows["action"], rows["taken"]
