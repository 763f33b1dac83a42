"""Exported policies compute what the policy computes: by onnxruntime, by a compiled C program, from the arrays."""

import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from minorml.deployment.export import export
from minorml.policy import GaussianPolicy

COMPILER = shutil.which("cc")
STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror", "-O2"]
TOLERANCE = 1e-6  # of an action, or of 1 where the action is smaller: some eight roundings of float32
SHAPES = [(4, 1, (50, 50)), (14, 6, (100,)), (3, 2, (7, 5, 4)), (1, 1, (1,)), (2, 3, ())]

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler is on this machine")
each_network = pytest.mark.parametrize("S, U, hidden", SHAPES, ids=str)
each_activation = pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])


def make_policy(S=3, U=2, hidden=(7, 5), activation="tanh", scaled=True, dtype=np.float32, seed=0):
    """A policy whose actions are of the size of 1 in its own units, and whose scales and offsets all differ."""
    rng = np.random.default_rng(seed)
    family = GaussianPolicy(S, U, hidden, activation)
    theta = np.concatenate([np.concatenate([rng.normal(size=W.size) / np.sqrt(len(W)), rng.normal(size=b.size) / 2])
                            for W, b in family.mlp.layers(np.zeros(family.mlp.num_params))] + [rng.normal(size=U)])
    scales = [rng.uniform(0.5, 2, S), rng.uniform(0.1, 1, U), rng.normal(size=U)] if scaled else [(), (), ()]
    return SimpleNamespace(family=family, theta=theta.astype(dtype),
                           **dict(zip(("obs_scale", "action_scale", "action_offset"), scales)))


def expected(policy, observations, noise=0.0):
    """a = (f(s / obs_scale) + e^λ noise) ∘ action_scale + action_offset, in float64 and written out again."""
    h = np.asarray(observations, np.float64) / (policy.obs_scale if len(policy.obs_scale) else 1.0)
    mean_params, log_std = policy.family.split(policy.theta.astype(np.float64))
    *hidden, (W, b) = policy.family.mlp.layers(mean_params)
    f = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0), "identity": lambda z: z}[
        policy.family.mlp.activation.name]
    for W_l, b_l in hidden:
        h = f(h @ W_l + b_l)
    a = h @ W + b + np.exp(log_std) * noise
    return (a * policy.action_scale if len(policy.action_scale) else a) + (
        policy.action_offset if len(policy.action_offset) else 0.0)


def assert_close(actions, wanted):
    assert actions.shape == wanted.shape
    assert np.max(np.abs(actions - wanted) / np.maximum(1, np.abs(wanted))) < TOLERANCE


def observations_of(policy, N=200):
    return np.random.default_rng(1).normal(size=(N, policy.family.obs_dim)).astype(np.float32)


def run_onnx(path, observations):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra `onnx`")
    return runtime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"observation": observations})


MAIN = """
#include <stdio.h>
#include "{file}"
int main(void)
{{
    float observation[{S}], noise[{U}], mean[{U}], action[{U}];
    while (fread(observation, sizeof observation, 1, stdin) == 1 && fread(noise, sizeof noise, 1, stdin) == 1) {{
        act(observation, mean);
        act_with_noise(observation, noise, action);
        fwrite(mean, sizeof mean, 1, stdout);
        fwrite(action, sizeof action, 1, stdout);
    }}
    return 0;
}}
"""


def run_c(path, policy, observations, noise):
    """What a C program that includes the file gives: mean actions and noisy ones, (N, U) each."""
    S, U = policy.family.obs_dim, policy.family.act_dim
    program = path.with_name("main.c")
    program.write_text(MAIN.format(file=path.name, S=S, U=U))
    subprocess.run([COMPILER, *STRICT, program, "-o", program.with_suffix(""), "-lm"], check=True)
    rows = np.concatenate([observations, noise], axis=1).astype(np.float32).tobytes()
    done = subprocess.run([program.with_suffix("")], input=rows, stdout=subprocess.PIPE, check=True)
    return np.frombuffer(done.stdout, np.float32).reshape(-1, 2, U).transpose(1, 0, 2)


@each_activation
@each_network
def test_onnx_gives_the_policys_actions(S, U, hidden, activation, tmp_path):
    pytest.importorskip("onnx", reason="onnx comes with the extra `onnx`")
    policy = make_policy(S, U, hidden, activation)
    export(policy, tmp_path / "policy.onnx")
    s = observations_of(policy)
    actions, std = run_onnx(tmp_path / "policy.onnx", s)
    assert_close(actions, expected(policy, s))
    noise = np.random.default_rng(2).normal(size=actions.shape)
    assert_close(actions + std * noise, expected(policy, s, noise))
    assert_close(run_onnx(tmp_path / "policy.onnx", s[:1])[0], expected(policy, s[:1]))


@needs_compiler
@each_activation
@each_network
def test_c_gives_the_policys_actions(S, U, hidden, activation, tmp_path):
    policy = make_policy(S, U, hidden, activation)
    export(policy, tmp_path / "policy.c")
    s = observations_of(policy)
    noise = np.random.default_rng(2).normal(size=(len(s), U)).astype(np.float32)
    mean, action = run_c(tmp_path / "policy.c", policy, s, noise)
    assert_close(mean, expected(policy, s))
    assert_close(action, expected(policy, s, noise))


@needs_compiler
def test_a_c_file_is_compiled_by_itself_and_needs_nothing_but_tanh(tmp_path):
    export(make_policy(), tmp_path / "policy.c")
    subprocess.run([COMPILER, *STRICT, "-c", "policy.c", "-o", "policy.o"], cwd=tmp_path, check=True)
    nm = shutil.which("nm")
    if nm:  # it comes with gcc
        symbols = subprocess.run([nm, "policy.o"], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True).stdout
        assert set(re.findall(r" U (\w+)", symbols)) <= {"tanhf", "memcpy", "memset"}  # copies that a compiler may make
        assert set(re.findall(r" T (\w+)", symbols)) == {"act", "act_with_noise"}
        assert not re.search(r" [bBdD] ", symbols), "there is state"


@needs_compiler
def test_several_files_of_a_program_may_include_a_header(tmp_path):
    export(make_policy(2, 2), tmp_path / "my-policy.h")
    (tmp_path / "other.c").write_text(
        '#include "my-policy.h"\n#include "my-policy.h"\nvoid other(const float *s, float *a);\n'
        "void other(const float *s, float *a) { act_with_noise(s, s, a); }\n")
    (tmp_path / "main.c").write_text(
        '#include "my-policy.h"\nvoid other(const float *s, float *a);\n'
        "int main(void) { float s[2] = {0}, a[2], b[2]; act(s, a); other(s, b); return a[0] != b[0]; }\n")
    subprocess.run([COMPILER, *STRICT, "main.c", "other.c", "-o", "main", "-lm"], cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "main"], check=True)


@needs_compiler
@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
def test_c_passes_a_nan_on(activation, tmp_path):
    """A broken sensor must show in the action."""
    policy = make_policy(activation=activation)
    export(policy, tmp_path / "policy.c")
    mean, _ = run_c(tmp_path / "policy.c", policy, np.full((1, 3), np.nan, np.float32), np.zeros((1, 2)))
    assert np.isnan(mean).all()


def test_arrays_give_the_policys_actions_without_minorml(tmp_path):
    policy = make_policy()
    export(policy, tmp_path / "policy.npz")
    s = observations_of(policy)
    with np.load(tmp_path / "policy.npz") as file:
        assert json.loads(file["manifest"].tobytes())["activation"] == "tanh"
        h = np.tanh(s / file["obs_scale"] @ file["W1"] + file["b1"])
        h = np.tanh(h @ file["W2"] + file["b2"])
        actions = (h @ file["W3"] + file["b3"]) * file["action_scale"] + file["action_offset"]
        std = file["standard_deviation"]
    assert_close(actions, expected(policy, s))
    assert_close(actions + std * s[:, :2], expected(policy, s, s[:, :2]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_hold_every_bit_of_theta(dtype, tmp_path):
    policy = make_policy(dtype=dtype)
    export(policy, tmp_path / "policy.npz")
    with np.load(tmp_path / "policy.npz") as file:
        theta = np.concatenate([file[name].ravel() for name in ("W1", "b1", "W2", "b2", "W3", "b3", "log_std")])
        np.testing.assert_array_equal(file["obs_scale"], policy.obs_scale)
    assert theta.dtype == dtype and theta.tobytes() == policy.theta.tobytes()


@pytest.mark.parametrize("suffix", ["onnx", "c", "h", "npz"])
def test_the_same_policy_gives_the_same_bytes(suffix, tmp_path):
    if suffix == "onnx":
        pytest.importorskip("onnx", reason="onnx comes with the extra `onnx`")
    files = [tmp_path / folder / f"policy.{suffix}" for folder in "ab"]
    for file in files:
        file.parent.mkdir()
        export(make_policy(), str(file))  # a path may be a string
    assert files[0].read_bytes() == files[1].read_bytes()
    assert [path.name for path in files[0].parent.iterdir()] == [files[0].name]


@needs_compiler
def test_no_scales_and_no_offset_leave_everything_as_it_is(tmp_path):
    policy = make_policy(scaled=False)
    del policy.action_offset  # not every policy has one
    export(policy, tmp_path / "policy.c")
    s, noise = observations_of(policy), observations_of(policy)[:, :2]
    policy.action_offset = ()
    assert_close(run_c(tmp_path / "policy.c", policy, s, noise)[1], expected(policy, s, noise))


def test_every_constant_of_the_c_file_is_the_float32_that_it_stands_for(tmp_path):
    policy = make_policy(scaled=False)
    policy.theta[:4] = 1, -3.4028235e38, 1e-45, 0  # no point; the largest; the smallest; nothing
    export(policy, tmp_path / "policy.c")
    text = (tmp_path / "policy.c").read_text("ascii")
    body = re.search(r"float W1\[21\] = \{[^\n]*\n(.*?)\n\};", text, re.DOTALL).group(1)
    literals = [word.strip() for word in body.split(",")]
    assert all(re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?f", word) and ("." in word or "e" in word) for word in literals)
    np.testing.assert_array_equal(np.array([word[:-1] for word in literals], np.float32), policy.theta[:21])


@pytest.mark.parametrize("path", ["policy.pt", "policy", "policy.ONNX", "policy.c.txt"])
def test_another_suffix_is_told_which_there_are(path, tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.onnx, \.c \(or \.h\) or \.npz; given .*" + re.escape(path)):
        export(make_policy(), tmp_path / path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change, told", [
    (dict(index=0, value=np.nan), "W1: expected finite numbers in float64; given nan"),
    (dict(index=0, value=1e39), "W1: expected finite numbers in float32; given inf"),
    (dict(index=-1, value=-200.0), "standard_deviation: expected positive finite numbers in float32; given 0"),
    (dict(index=-1, value=800.0), "standard_deviation: expected positive finite numbers in float64; given inf"),
])
def test_a_number_that_cannot_be_exported_is_named(change, told, tmp_path):
    policy = make_policy(dtype=np.float64)
    policy.theta[change["index"]] = change["value"]
    with pytest.raises(ValueError, match=re.escape(told)):
        export(policy, tmp_path / "policy.c")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("field, value, told", [
    ("theta", np.zeros(3), "theta: expected shape (82,); given (3,)"),
    ("obs_scale", (1.0, 2.0), "obs_scale: expected shape (3,); given (2,)"),
    ("action_scale", (0.0, 1.0), "action_scale: expected positive finite numbers"),
    ("action_offset", (np.inf, 1.0), "action_offset: expected finite numbers"),
])
def test_a_field_that_does_not_fit_is_named(field, value, told, tmp_path):
    policy = make_policy()
    setattr(policy, field, value)
    with pytest.raises(ValueError, match=re.escape(told)):
        export(policy, tmp_path / "policy.npz")


def test_without_onnx_the_error_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'minorml[onnx]'")):
        export(make_policy(), tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())


def test_a_strange_file_name_does_not_end_the_comment(tmp_path):
    export(make_policy(), tmp_path / "müller.c")
    assert (tmp_path / "müller.c").read_text("ascii").startswith("/* m?ller.c: ")
