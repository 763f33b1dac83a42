"""Arrays in a file that cannot be half written, and that nothing dangerous can be read from.

A file is a .npz of plain arrays with one more, `manifest`: JSON text with the shape, dtype and SHA-256 of each of
them, and with whatever numbers belong to them. Nothing is ever pickled, and no memory is taken before it is known
that as many bytes are there.

Writing goes to a temporary file, which is synced and then moved over the old one; so a crash, a lost plug or a
full disk leave the old file or the new one, never half of one.
"""

import errno
import hashlib
import io
import json
import os
import zipfile
from contextlib import contextmanager

import numpy as np

MANIFEST = "manifest"


def write(path, arrays, **facts):
    """Write named arrays, and facts that JSON can hold."""
    entries = {name: {"shape": a.shape, "dtype": a.dtype.str, "sha256": _sha256(a)} for name, a in arrays.items()}
    manifest = np.frombuffer(json.dumps({"arrays": entries, **facts}).encode(), np.uint8)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # what np.savez does, but for the clock: the same bytes every time
        for name, array in {**arrays, MANIFEST: manifest}.items():
            with archive.open(zipfile.ZipInfo(name + ".npy"), "w") as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    write_atomically(path, buffer.getvalue())


def read(path, expected=None):
    """Read what `write` wrote → (arrays, manifest).

    Parameters
    ----------
    path : the file
    expected : arrays of the shapes and dtypes that must be there, by name; None: as the manifest says

    Raises
    ------
    ValueError : the file is damaged, or does not hold what is expected; the message says what is wrong
    OSError : there is no such file, or it cannot be read
    """
    with _everything_is_a_value_error(), zipfile.ZipFile(path) as archive:
        manifest = json.loads(_member(archive, MANIFEST, None, np.dtype(np.uint8)).tobytes())
        entries = manifest["arrays"]
        if expected is not None and set(expected) != set(entries):
            raise ValueError(f"holds {_names(entries)}; expected {_names(expected)}")
        arrays = {}
        for name, entry in entries.items():
            shape, dtype = tuple(entry["shape"]), np.dtype(entry["dtype"])
            if expected is not None and (shape, dtype) != (expected[name].shape, expected[name].dtype):
                raise ValueError(f"{name}: holds {shape} {dtype}; expected {expected[name].shape} "
                                 f"{expected[name].dtype}")
            arrays[name] = _member(archive, name, shape, dtype)
            if _sha256(arrays[name]) != entry["sha256"]:
                raise ValueError(f"{name}: its SHA-256 is not the one in the manifest")
    return arrays, manifest


def _member(archive, name, shape, dtype):
    """One array; its header must say this shape (None: any with one dimension) and dtype."""
    info = archive.getinfo(name + ".npy")
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise ValueError(f"{name}: compressed, so that its size cannot be trusted")
    if info.file_size > os.fstat(archive.fp.fileno()).st_size:
        raise ValueError(f"{name}: claims more bytes than the file has")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{name}: .npy version {version}; expected (1, 0)")
        found, fortran, kind = np.lib.format.read_array_header_1_0(file, max_header_size=1000)
        if kind != dtype or dtype.hasobject or fortran or (found != shape if shape is not None else len(found) != 1):
            raise ValueError(f"{name}: its header says {found} {kind}; expected {shape or 'one dimension'} {dtype}")
        data = file.read()
    if len(data) != dtype.itemsize * int(np.prod(found, dtype=object)):
        raise ValueError(f"{name}: {len(data)} bytes for {found} {dtype}")
    return np.frombuffer(data, dtype).reshape(found).copy()  # a copy may be written to


@contextmanager
def _everything_is_a_value_error():
    """Whatever a damaged file makes zipfile, json or NumPy raise is about its content: a ValueError."""
    try:
        yield
    except MemoryError:
        raise
    except OSError as error:
        if error.errno != errno.EINVAL:  # which is a place before the file's first byte
            raise
        raise ValueError(str(error)) from error
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _names(entries):
    return ", ".join(sorted(entries)) or "nothing"


def write_atomically(path, data):
    """Write bytes so that a crash, or a full disk, leaves the old file or the new one whole, and on the disk."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path, value):
    """Write indented JSON, atomically."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))
