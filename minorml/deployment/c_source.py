"""A policy as C99 source: two functions and their constants, without allocation or dependencies beyond `math.h`.

    void act(const float observation[S], float action[U]);
    void act_with_noise(const float observation[S], const float standard_normal[U], float action[U]);

A `.c` file is compiled by itself, or included where it is used. A `.h` file holds the same as static functions behind
an include guard, so that several files of a program may include it.
"""

import re
import textwrap

from ..runs.version import __version__

ACTIVATIONS = {"tanh": "tanhf(h[i])", "relu": "h[i] <= 0.0f ? 0.0f : h[i]"}  # a NaN stays one

HEAD = """\
/* {name}: a policy, exported by minorml {version}.

   {architecture}; float32.

       x      = observation / obs_scale
{layers}

   act             the mean action
   act_with_noise  a random action, to explore with: the mean action
                   + standard_deviation * standard_normal, where the caller
                   draws the numbers of standard_normal from N(0, 1)

   Observations, actions and standard_deviation are in the environment's own
   units. C99{link}; no allocation, no state: safe in any thread. */
"""

LAYER = """\
/* y = x W + b, for x of n numbers, W of n rows and m columns, and y of m. */
static void layer(int n, int m, const float *x, const float *W, const float *b, float *y)
{
    for (int j = 0; j < m; j++) y[j] = b[j];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++) y[j] += x[i] * W[i * m + j];
}
"""

ACTIVATE = """\
static void activate(int n, float *h)
{{
    for (int i = 0; i < n; i++) h[i] = {formula};
}}
"""

ACT = """\
{linkage}void act(const float observation[{S}], float action[{U}])
{{
    float {buffers};
    for (int i = 0; i < {S}; i++) x[i] = observation[i] / obs_scale[i];
{calls}
    for (int i = 0; i < {U}; i++) action[i] = action[i] * action_scale[i] + action_offset[i];
}}

{linkage}void act_with_noise(const float observation[{S}], const float standard_normal[{U}], float action[{U}])
{{
    act(observation, action);
    for (int i = 0; i < {U}; i++) action[i] += standard_deviation[i] * standard_normal[i];
}}
"""


def c_source(network, name):
    """The text of a file called `name` for a Network in float32. ASCII."""
    sizes, last = network.sizes, len(network.weights)
    curved = network.activation in ACTIVATIONS and last > 1
    outputs = [*(f"h{l}" for l in range(1, last)), "action"]
    inputs = ["x", *outputs[:-1]]
    layers, calls = [], []
    for l, (x, y) in enumerate(zip(inputs, outputs), start=1):
        activated = curved and l < last
        product = f"{x} W{l} + b{l}"
        layers.append(f"{y:6} = " + (f"{network.activation}({product})" if activated else
                                     product if l < last else f"({product}) * action_scale + action_offset"))
        calls.append(f"layer({sizes[l - 1]}, {sizes[l]}, {x}, W{l}, b{l}, {y});")
        if activated:
            calls.append(f"activate({sizes[l]}, {y});")
    is_header = name.endswith(".h")
    guard = re.sub(r"\W", "_", f"minorml_{name}", flags=re.ASCII).upper()
    parts = [
        HEAD.format(name=_ascii(name), version=__version__, architecture=_architecture(network),
                    layers="\n".join(" " * 7 + line for line in layers),
                    link=", math.h (link with -lm)" if curved and network.activation == "tanh" else ""),
        f"#ifndef {guard}\n#define {guard}\n" if is_header else "",
        "#include <math.h>\n" if curved and network.activation == "tanh" else "",
        "\n".join(_constant(*entry) for entry in network.arrays().items()),
        LAYER,
        ACTIVATE.format(formula=ACTIVATIONS[network.activation]) if curved else "",
        ACT.format(linkage="static inline " if is_header else "", S=sizes[0], U=sizes[-1],
                   buffers=", ".join(f"{buffer}[{n}]" for buffer, n in zip(inputs, sizes)),
                   calls="\n".join(f"    {call}" for call in calls)),
        f"#endif /* {guard} */\n" if is_header else "",
    ]
    return "\n".join(part for part in parts if part)


def _architecture(network):
    """`4 observations -> 50 tanh -> 50 tanh -> 1 action`"""
    S, *hidden, U = network.sizes
    return " -> ".join([f"{S} observation{'s' * (S > 1)}", *(f"{n} {network.activation}" for n in hidden),
                        f"{U} action{'s' * (U > 1)}"])


def _constant(name, array):
    """The definition of an array of constants: row after row, each on a line of its own or on several."""
    shape = f" /* {array.shape[0]} x {array.shape[1]} */" if array.ndim == 2 else ""
    rows = [", ".join(f"{x!s}f" for x in row) for row in array.reshape(-1, array.shape[-1])]
    text = ",\n".join(textwrap.fill(row, 110, initial_indent="    ", subsequent_indent="      ") for row in rows)
    return f"static const float {name}[{array.size}] = {{{shape}\n{text}\n}};\n"


def _ascii(name):
    """A file's name as it may stand in a comment of C."""
    return name.encode("ascii", "replace").decode().replace("*/", "*?")
