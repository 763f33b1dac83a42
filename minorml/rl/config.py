"""The hyper-parameters of a run: one frozen dataclass, whose fields are also the names of `--set FIELD=VALUE`."""

import dataclasses
import difflib
import json
import math
from dataclasses import dataclass, field
from typing import get_args, get_origin

import numpy as np

from ..methods import METHODS
from ..mlp import ACTIVATIONS
from .tasks import parse


def _option(doc, check=None, **default):
    """A field with its explanation and, where the type is not enough, (test, what is expected)."""
    return field(metadata={"doc": doc, "check": check}, **default)


POSITIVE = (lambda x: x > 0, "a number > 0")
NOT_NEGATIVE = (lambda x: x >= 0, "a number >= 0")
SCALES = (lambda xs: all(x > 0 for x in xs), "positive numbers")
ACTIVATION = (lambda x: x in ACTIVATIONS, f"one of {', '.join(ACTIVATIONS)}")
ENV_ARGS = (lambda xs: all(x.partition("=")[0].isidentifier() and "=" in x for x in xs), "NAME=VALUE, several with ';'")
WIDTHS = (lambda xs: all(x > 0 for x in xs), "positive layer widths")


@dataclass(frozen=True)
class Config:
    """Everything that determines a run. `Config(...)` raises ValueError for a wrong type or range."""

    env: str = _option("Gymnasium id; MODULE:ID imports MODULE first")
    vary: tuple[str, ...] = _option("tasks: NAME=uniform:LOW,HIGH or NAME=choice:A,B,…; several with ';' between them",
                                    (lambda xs: 0 < len(xs) == len({parse(x).name for x in xs}),
                                     "one attribute or more, each once"))
    method: str = _option("a row of the method table", (lambda x: x in METHODS, f"one of {', '.join(METHODS)}"))
    horizon: int = _option("T, the most steps of an episode", POSITIVE)
    obs_scale: tuple[float, ...] = _option("what each observation is divided by; empty: observations as they are",
                                           SCALES, default=())
    action_scale: tuple[float, ...] = _option("what each action is multiplied by; empty: actions as they are",
                                              SCALES, default=())
    action_offset: tuple[float, ...] = _option("what is added to each action after that; empty: nothing", default=())
    env_args: tuple[str, ...] = _option("what the environment is made with: NAME=VALUE, VALUE as in JSON; several with "
                                        "';' between them", ENV_ARGS, default=())
    num_tasks: int = _option("M, tasks per meta-batch", POSITIVE, default=10)
    num_trajectories: int = _option("K, trajectories per task and rollout", POSITIVE, default=25)
    discount: float = _option("γ", (lambda x: 0 <= x <= 1, "a number in [0, 1]"), default=0.99)
    hidden: tuple[int, ...] = _option("widths of the policy's hidden layers", WIDTHS, default=(50, 50))
    activation: str = _option("activation of the policy's hidden layers", ACTIVATION, default="tanh")
    laf_hidden: tuple[int, ...] = _option("widths of the learned advantage function's hidden layers", WIDTHS,
                                          default=(50, 50))
    laf_activation: str = _option("activation of the learned advantage function's hidden layers", ACTIVATION,
                                  default="tanh")
    log_std: float = _option("log standard deviation of every action at the start", default=-1.0)
    inner_rate: float = _option("α at the start, the same for every parameter", NOT_NEGATIVE, default=0.01)
    learn_alpha: bool = _option("learn α, also with a method that does not learn it by itself", default=False)
    adapt_steps: int = _option("adaptation steps during training, for methods that adapt", POSITIVE, default=1)
    outer_rate: float = _option("Adam's rate at the start; it falls linearly to 0 over the iterations", POSITIVE,
                                default=1e-3)
    theta_rate: float = _option("θ's rate, as a part of that of all else that is learned", NOT_NEGATIVE, default=1.0)
    max_gradient_norm: float = _option("meta-gradients are clipped to this global norm", POSITIVE, default=1.0)
    outer_steps: int = _option("outer updates per batch of rollouts; PPO's clip acts from the second on", POSITIVE,
                               default=1)
    clip: float = _option("PPO's ε", POSITIVE, default=0.2)
    max_clip_fraction: float = _option("the outer updates for a batch end when more than this share of its rows is "
                                       "clipped", (lambda x: 0 <= x <= 1, "a number in [0, 1]"), default=1.0)
    iterations: int = _option("outer iterations of the whole run; each samples a batch of rollouts", POSITIVE,
                             default=1000)
    seed: int = _option("seed of every random number", NOT_NEGATIVE, default=0)
    dtype: str = _option("dtype of parameters and batches",
                         (lambda x: x in ("float32", "float64"), "float32 or float64"), default="float32")

    def __post_init__(self):
        if isinstance(self.env, str) and self.env.startswith("envs:minorml/"):  # as runs of old have it
            object.__setattr__(self, "env", f"minorml_{self.env}")
        for f in dataclasses.fields(self):
            given = getattr(self, f.name)
            value = _coerce(f, given)
            check, expected = f.metadata["check"] or (lambda x: True, "")
            if not check(value):
                raise ValueError(f"{f.name}: expected {expected}; given {given!r}")
            object.__setattr__(self, f.name, value)

    @property
    def distribution(self):
        """The task distribution, parsed."""
        return [parse(text) for text in self.vary]

    @property
    def env_options(self):
        """What the environment is made with, by name."""
        return {name: _from_json_or_text(value) for name, _, value in (text.partition("=") for text in self.env_args)}

    @property
    def learned(self):
        """The fields of MetaParameters that the outer loop updates."""
        learned = METHODS[self.method].learned
        return learned + ("alpha",) if self.learn_alpha and "alpha" not in learned else learned

    def rates(self, outer_rate: float) -> dict[str, float]:
        """The rate of each learned field of MetaParameters, when the outer rate has fallen to `outer_rate`."""
        return {name: outer_rate * self.theta_rate if name == "theta" else outer_rate for name in self.learned}


def _from_json_or_text(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def from_json(fields):
    """The Config whose `dataclasses.asdict` went through JSON, which makes lists of tuples."""
    if not isinstance(fields, dict):
        raise ValueError(f"expected the fields of a Config; given {fields!r:.80}")
    unknown = fields.keys() - {f.name for f in dataclasses.fields(Config)}
    if unknown:
        raise ValueError(f"no field {', '.join(sorted(map(repr, unknown)))}")
    return Config(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})


# type → one of it, several of them
KINDS = {int: ("an integer", "integers"), float: ("a number", "numbers"), bool: ("true or false", ""),
         str: ("a text", "texts")}


def _coerce(f, value):
    """`value` as the field's type, without losing anything; a wrong type is an error that names the field."""
    def wrong(expected):
        return ValueError(f"{f.name}: expected {expected}; given {value!r}")

    many = get_origin(f.type) is tuple
    item = get_args(f.type)[0] if many else f.type
    if many and (isinstance(value, str) or not hasattr(value, "__iter__")):
        raise wrong(f"a sequence of {KINDS[item][1]}")
    values = [x.item() if isinstance(x, np.generic | np.ndarray) and x.ndim == 0 else x
              for x in (value if many else [value])]  # NumPy's numbers are taken as Python's
    if item in (int, float) and any(type(x) is int and abs(x) >= 2**63 for x in values):
        raise wrong(("integers" if many else "an integer") + " below 2^63")
    if item is float:
        values = [float(x) if type(x) is int else x for x in values]
    if any(type(x) is not item for x in values):
        raise wrong(f"a sequence of {KINDS[item][1]}" if many else KINDS[item][0])
    if item is float and not all(math.isfinite(x) for x in values):
        raise wrong("finite numbers" if many else "a finite number")
    return tuple(values) if many else values[0]


def parse_setting(text):
    """`FIELD=VALUE` from a command line → (field, value of the field's type). Lists are written `50,50`."""
    name, equals, value = str(text).partition("=")  # argparse makes [] of --set=--
    fields = {f.name: f for f in dataclasses.fields(Config)}
    if not equals:
        raise ValueError(f"--set: expected FIELD=VALUE; given {text!r}")
    if name not in fields:
        raise ValueError(f"--set: no field {name!r}; {nearest(name, fields)}")
    kind = fields[name].type
    try:
        if kind is bool:
            return name, {"true": True, "false": False}[value.lower()]
        if get_origin(kind) is None:
            return name, kind(value)
        item = get_args(kind)[0]
        return name, tuple(item(x) for x in value.split(";" if item is str else ",") if x)
    except (ValueError, KeyError):
        expected = KINDS[kind][0] if get_origin(kind) is None else f"{KINDS[get_args(kind)[0]][1]} with commas between"
        raise ValueError(f"{name}: expected {expected}; given {value!r}") from None


def setting(name, value):
    """What `parse_setting` reads: `FIELD=VALUE`."""
    if isinstance(value, tuple):
        value = (";" if name == "vary" else ",").join(map(str, value))
    return f"{name}={str(value).lower() if isinstance(value, bool) else value}"


def nearest(name, names):
    """A hint for a name that does not exist."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    return f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(names)}"


def explain_fields():
    """One line per field, for `--help`."""
    return "\n".join(f"  {f.name:18} {f.metadata['doc']}" for f in dataclasses.fields(Config))
