"""What Numba compiles, and when the compiled code is used. The mathematics stands elsewhere.

Each kernel computes the same values as one NumPy formula: loops over rows and over time are in `recurrences.py`, the
passes of a network in `network.py`, a surrogate loss and its derivatives in `surrogate.py`. Whole episodes are in
`rollout.py`.

A kernel is called for arrays that are all float32 or all float64. The formula is called for anything else, and always
if NUMBA_DISABLE_JIT is set. The complex-step proofs therefore prove the formulas, and the tests compare each entry of
`KERNELS` with its formula.

No kernel uses `parallel`, because tasks already run in threads. Of `fastmath` only `contract` is used, because NaN must
stay NaN and sums must keep their order.
"""

import functools
import hashlib
import inspect
import multiprocessing
import sys
import warnings
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba.core.caching import FunctionCache, IndexDataCacheFile

FAST_DTYPES = {np.dtype(np.float32), np.dtype(np.float64)}
EXACT = dict(nogil=True, error_model="numpy")  # no GIL; 1/0 is inf, as in NumPy
OPTIONS = dict(EXACT, fastmath={"contract"})  # a product and the sum that it goes into may be rounded once, not twice

# name → (NumPy formula, compiled function)
KERNELS = {}
helper = numba.njit(**OPTIONS, no_cfunc_wrapper=True)  # a part of kernels


def source_stamp(*others):
    """What machine code depends on, besides the processor (which Numba looks at): all kernels, and the compiler.

    others : paths of more sources
    """
    texts = [Path(path).read_bytes() for path in (*sorted(Path(__file__).parent.glob("*.py")), *others)]
    versions = f"{numba.__version__} {llvmlite.__version__} {np.__version__}".encode()
    return hashlib.sha256(b"\0".join([versions, *texts])).hexdigest()


kernels_stamp = functools.cache(source_stamp)


@functools.cache
def tell_compiling():
    """Say, once, why nothing seems to happen. Workers of ours leave it to the process that began them."""
    if multiprocessing.parent_process() is None:
        print("minorml: compiling, once on this machine (half a minute or less)", file=sys.stderr, flush=True)


class KernelCache(FunctionCache):
    """Numba's cache on disk, for functions that call others.

    Numba takes an entry for stale if the file of the function itself has changed; here, if any kernel has. An entry
    that cannot be read (a power cut leaves empty files) is thrown away, and the function compiled anew.
    """

    def __init__(self, function, *sources):
        """`sources`: paths of what it calls besides kernels."""
        super().__init__(function)
        stamp = source_stamp(*sources) if sources else kernels_stamp()
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, stamp)

    def _index_key(self, signature, codegen):
        return signature, codegen.magic_tuple()  # the stamp knows the rest, a function that is enclosed too

    def load_overload(self, signature, target_context):
        try:
            found = super().load_overload(signature, target_context)
            if found is None:
                tell_compiling()
            return found
        except Exception as error:  # whatever unpickling makes of damaged bytes
            warnings.warn(f"{self._cache_path}: compiled code is damaged ({error!r}); compiling anew", RuntimeWarning,
                          stacklevel=2)
            self.flush()
            return None


def compile_kernel(loop, options=OPTIONS):
    """Compile when it is called, and keep the machine code on disk where that is possible."""
    return kept_on_disk(numba.njit(**options, no_cfunc_wrapper=True)(loop), loop)


compile_exactly = functools.partial(compile_kernel, options=EXACT)


def kept_on_disk(compiled, function, *sources):
    """`compiled`, which Numba makes of `function`, with a `KernelCache`."""
    if numba.config.DISABLE_JIT:
        return compiled
    try:
        compiled._cache = KernelCache(function, *sources)
    except RuntimeError as error:  # neither the package's folder nor the user's cache folder is writable
        warnings.warn(f"Numba cannot keep compiled code on disk ({error}); compiling again in each process. "
                      "Set NUMBA_CACHE_DIR to a writable folder to avoid this.", RuntimeWarning, stacklevel=3)
    return compiled


def served_by(kernel, where=lambda *args: True):
    """Decorator of a formula: call `kernel` in its place, with the same arguments, `where` they fit."""
    def decorate(formula):
        KERNELS[formula.__name__] = (formula, kernel)

        @functools.wraps(formula)
        def dispatch(*args, **named):
            if named:
                args = inspect.signature(formula).bind(*args, **named).args
            return (kernel if _fast(args) and where(*args) else formula)(*args)

        return formula if numba.config.DISABLE_JIT else dispatch

    return decorate


def replaces(formula):
    """Decorator of a loop: the formula above it is served by it."""
    return lambda loop: served_by(compile_kernel(loop))(formula)


def _fast(args):
    """Whether all arrays among these, and in lists among them, are float32, or all float64."""
    arrays = [x for arg in args for x in (arg if isinstance(arg, (list, tuple)) else [arg])]
    dtypes = {x.dtype for x in arrays if isinstance(x, np.ndarray)}
    return len(dtypes) == 1 and dtypes <= FAST_DTYPES
