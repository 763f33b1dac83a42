"""Settings that every test runs under, whether or not the project's configuration file is at hand."""

import os

from hypothesis import Phase, settings

# No deadline: the first call of a kernel compiles it. On CI the same examples every time.
settings.register_profile("dev", deadline=None, max_examples=25)
settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True, print_blob=True)
# For tests/test_mutations.py: a failing example need not be made small, nor remembered.
settings.register_profile("mutations", deadline=None, max_examples=10, derandomize=True, database=None,
                          phases=[Phase.explicit, Phase.generate])
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_configure(config):
    config.addinivalue_line("markers", "gradients: proves a derivative, or the function that it is the derivative of")
    config.addinivalue_line("markers", "mutations: plants a mistake and shows that the gradient tests catch it")
    # A complex number cast to a real buffer loses its imaginary part, and with it a complex-step derivative.
    config.addinivalue_line("filterwarnings", "error::numpy.exceptions.ComplexWarning")
