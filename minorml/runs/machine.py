"""What a number may depend on besides the configuration."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from threadpoolctl import threadpool_info

from .version import __version__

ROOT = Path(__file__).resolve().parents[2]


def versions():
    """Python, packages, processor and BLAS."""
    found = {"minorml": __version__}
    for name in ("numpy", "numba", "scipy", "gymnasium", "mujoco"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return {"python": platform.python_version(), "packages": found, "platform": platform.platform(),
            "processor": _processor(), "cpus": os.cpu_count(),
            "blas": sorted({f"{lib['internal_api']} {lib['version']} {lib.get('architecture', '')}".strip()
                            for lib in threadpool_info() if lib["user_api"] == "blas"})}


def releases(found):
    """{name: version} of Python and of the packages."""
    return {"python": found["python"], **found["packages"]}


def changes(then, here):
    """What is not as it was, in words: (Python and packages, processor and BLAS, commit)."""
    before, now = releases(then), releases(here)
    of_versions = [f"{name}: {before.get(name)} in the run, {version} here" for name, version in now.items()
                   if before.get(name) != version]
    of_machine = [f"{name}: {then.get(name)} in the run, {here[name]} here" for name in ("processor", "blas")
                  if then.get(name) != here[name]]
    same = then["commit"] == here["commit"]
    return of_versions, of_machine, "" if same else f"begun at commit {then['commit']}, goes on at {here['commit']}"


def commit():
    """The commit that this package's code is checked out at, "-dirty" after it if files were changed since.

    None where it is not a checkout, or cannot be asked.
    """
    if not (ROOT / ".git").exists():  # so that no repository that it happens to be installed in is taken for its own
        return None
    try:
        describe = ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"]
        return subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
