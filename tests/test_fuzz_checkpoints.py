"""Fuzzing of checkpoints and kept failures: what was written, or an error that names the file. 820 cases.

Also: nothing is unpickled, no memory is taken on a file's word, no file is changed by reading.
"""

import functools
import hashlib
import io
import json
import os
import pickle
import tempfile
import tracemalloc
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_fuzz import TINY, contents, directory, json_values, mutated, promptly, replaced, run_main, sample
from test_train import flat

from minorml.runs import checkpoints
from minorml.runs.directory import Run, _to_arrays

LAST, BEFORE = "checkpoints/iteration-000003.npz", "checkpoints/iteration-000002.npz"
MANIFEST = "manifest.npy"
MEMORY = 100e6  # bytes
MARKER = Path(tempfile.gettempdir(), f"minorml-unpickled-{os.getpid()}")  # whoever unpickles `Payload` writes this file
pytestmark = pytest.mark.filterwarnings("ignore")  # what NumPy says of headers from Python 2


class Payload:
    """What a pickle can do."""

    def __reduce__(self):
        return open, (str(MARKER), "w")


def header(text, version=1):
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text.encode()


def npy(array, allow_pickle=False):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), version=(1, 0), allow_pickle=allow_pickle)
    return buffer.getvalue()


def described(dtype="'<f4'", shape="(24,)", fortran="False"):
    return header(f"{{'descr': {dtype}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n")


PICKLE = described("'|O'", "(1,)") + pickle.dumps([Payload()])
TERABYTES = described(shape="(250000000000,)")
HEADERS = [
    PICKLE, TERABYTES, described(shape="(1000000, 1000000, 1000000)"), described(shape="(-1,)"), described(shape="24"),
    described(shape="(24L,)"), described(shape="(24, 0)"), described("'|O'"), described("'|V999999999999'"),
    described("[('a', '<f4')]"), described("'<U6'"), described("'<M8[s]'"), described("'>f4'"),
    described(fortran="True"), described("print(1)"), header("-" * 9000 + "1"), header("(" * 9000), header("1+" * 4000),
    header("[" * 60000, 2), header("{'shape': (%s,)}" % ("9" * 5000)), header("", 3), b"\x93NUMPY\x01\x00\xff\xff", b"",
]
ARRAYS = [np.zeros((2, 12), "<f4"), np.zeros(24), np.zeros(24, "<f2"), np.zeros(0, "<f4"), np.full(24, np.nan, "<f4"),
          np.zeros(24, "<c8"), np.zeros(24, bool), np.full(24, "x"), np.zeros(24, "<i8"), np.zeros(24, "f4,f4"),
          np.zeros(24, "<M8[s]"), np.float32(1), np.zeros((20, 3), "<f4"), np.full((20, 2), 1e38, "<f4")]


def unpack(data):
    """A zip archive as a list of [name, bytes]."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [[name, archive.read(name)] for name in archive.namelist()]


def pack(members, compressed=()):
    """… and back, as `checkpoints.write` does it; the members with these numbers compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for i, (name, data) in enumerate(members):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED if i in compressed else None, 1)
    return buffer.getvalue()


def manifest(members):
    return json.loads(dict(members)[MANIFEST][128:])


def with_manifest(members, facts):
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    return pack([[name, npy(text) if name == MANIFEST else data] for name, data in members])


@st.composite
def repacked(draw, data):
    """A whole zip archive in which a member is wrong."""
    members = unpack(data)
    i, j = (draw(st.integers(0, len(members) - 1)) for _ in range(2))
    other = draw(st.sampled_from(HEADERS) | st.sampled_from(ARRAYS).map(npy) | mutated(members[i][1]))
    match draw(st.sampled_from(["drop", "rename", "swap", "twice", "compress", "other", "other"])):
        case "drop":
            del members[i]
        case "rename":
            members[i][0] = draw(st.sampled_from([members[j][0], "x.npy", "../x.npy", "/x.npy", "meta/theta", "é"]))
        case "swap":
            members[i][1], members[j][1] = members[j][1], members[i][1]
        case "twice":
            members.insert(j, [members[i][0], other])
        case "compress":
            return pack(members, draw(st.sets(st.integers(0, len(members) - 1), min_size=1)))
        case "other":
            members[i][1] = other
    return pack(members)


@st.composite
def other_facts(draw, data):
    """A whole archive whose manifest says something else."""
    members = unpack(data)
    facts = manifest(members)
    if draw(st.booleans()):
        name = draw(st.sampled_from([name for name in facts if name != "arrays"]))
        return with_manifest(members, {**facts, name: draw(json_values)})
    return with_manifest(members, draw(replaced(facts)))


@st.composite
def other_arrays(draw, data):
    """A whole archive with an array of another shape or dtype, to which the manifest agrees."""
    members = unpack(data)
    facts, i = manifest(members), draw(st.integers(0, len(members) - 2))
    entry = facts["arrays"][members[i][0].removesuffix(".npy")]
    others = [a for a in ARRAYS if (list(a.shape), a.dtype.str) != (entry["shape"], entry["dtype"])]
    array = draw(st.sampled_from(others))
    entry.update(shape=array.shape, dtype=array.dtype.str, sha256=hashlib.sha256(array.tobytes()).hexdigest())
    members[i][1] = npy(array)
    return with_manifest(members, facts)


def same(arrays, expected):
    return arrays.keys() == expected.keys() and all(
        (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())
        for a, b in ((arrays[name], expected[name]) for name in expected))


def assert_what_was_written_or_the_one_before(data):
    """Of a run whose last checkpoint is `data`."""
    MARKER.unlink(missing_ok=True)
    files = {**sample().files, LAST: data}
    with directory({**sample().files, "good.npz": sample().files[LAST]}) as path:
        written = checkpoints.read(path / "good.npz")[0]
    with directory(files) as path, promptly():
        try:
            assert same(checkpoints.read(path / LAST, _to_arrays(sample().template)[0])[0], written)
        except ValueError as error:
            assert str(error)
        said = []
        state = Run(path).load(sample().template, said.append)
        if said:
            assert state.iteration == 2 and len(said) == 1 and said[0].startswith(f"{path / LAST}: damaged (")
        else:
            assert state.iteration == 3 and same(_to_arrays(state)[0], written)
        assert flat(state.meta).dtype == np.float32 and contents(path) == files
    assert not MARKER.exists()


@settings(max_examples=260)
@given(st.deferred(lambda: mutated(sample().files[LAST])) | st.binary())
@example(b"PK\x05\x06" + bytes(18))
def test_a_checkpoint_with_other_bytes(data):
    assert_what_was_written_or_the_one_before(data)


@settings(max_examples=260)
@given(st.deferred(lambda: st.one_of(repacked(sample().files[LAST]), other_facts(sample().files[LAST]),
                                     other_arrays(sample().files[LAST]))))
def test_a_whole_archive_with_something_else_in_it(data):
    assert_what_was_written_or_the_one_before(data)


@pytest.mark.parametrize("i", range(len(HEADERS)))
def test_every_hostile_header(i):
    members = unpack(sample().files[LAST])
    members[0][1] = HEADERS[i]
    assert_what_was_written_or_the_one_before(pack(members))


def sizes_in_the_directory(data, size):
    """An archive whose directory says that each member has `size` bytes."""
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        data = data[:at + 20] + 2 * size.to_bytes(4, "little") + data[at + 28:]
        at = data.find(b"PK\x01\x02", at + 1)
    return data


@functools.cache
def great_claims():
    """Small files that say that they hold far more than `MEMORY`."""
    members = unpack(sample().files[LAST])
    facts = manifest(members)
    facts["arrays"]["meta/theta"]["shape"] = [250_000_000_000]
    first = [[members[0][0], TERABYTES + bytes(96)], *members[1:]]
    bomb = described(shape="(30000000,)") + bytes(120_000_000)
    return {
        "an array": pack(first),
        "an array and the manifest": with_manifest(first, facts),
        "the manifest": pack([*members[:-1], [MANIFEST, described("'|u1'", "(1000000000000,)") + b"{}"]]),
        "the manifest alone": with_manifest(members, facts),
        "the directory": sizes_in_the_directory(pack(members), 2**32 - 2),
        "compressed": pack([[members[0][0], bomb], *members[1:]], [0]),
        "the compressed manifest": pack([*members[:-1], [MANIFEST, bomb]], [len(members) - 1]),
    }


@pytest.mark.parametrize("claim", ["an array", "an array and the manifest", "the manifest", "the manifest alone",
                                   "the directory", "compressed", "the compressed manifest"])
def test_no_memory_is_taken_on_a_files_word(claim, tmp_path):
    """Neither where a certain shape is expected, nor (in `replay`) where the file says what it holds."""
    path = tmp_path / "claims.npz"
    path.write_bytes(great_claims()[claim])
    assert path.stat().st_size < 1e6
    for expected in (_to_arrays(sample().template)[0], None):
        tracemalloc.start()
        try:
            with pytest.raises(ValueError), promptly():
                checkpoints.read(path, expected)
            assert tracemalloc.get_traced_memory()[1] < MEMORY
        finally:
            tracemalloc.stop()


@settings(max_examples=300)
@given(st.deferred(lambda: st.one_of(mutated(sample().failure), repacked(sample().failure),
                                     other_facts(sample().failure), other_arrays(sample().failure), st.binary())))
def test_replay_shows_something_or_says_what_is_wrong(data):
    MARKER.unlink(missing_ok=True)
    with directory({"failure.npz": data}) as path:
        status, out, err = run_main("replay", path / "failure.npz")
        assert contents(path) == {"failure.npz": data} and not MARKER.exists()
        if status == 0:
            assert not err and out.splitlines()[-1].startswith(("first not finite: ", "everything is finite"))
        else:
            assert not out and err.startswith("minorml: ") and len(err.splitlines()) <= 3
            assert (status == 2 and f"{path}/failure.npz: " in err) or (status == 1 and "allocate" in err)


def test_the_sample_is_what_is_meant():
    """The cases start from a good run of three iterations, and from a failure that replays to its cause."""
    with directory({**sample().files, "failure.npz": sample().failure}) as path:
        assert Run(path).config == TINY and len(Run(path).metrics()) == 3 and {LAST, BEFORE} <= set(sample().files)
        assert manifest(unpack(sample().files[LAST]))["iteration"] == 3
        status, out, _ = run_main("replay", path / "failure.npz")
        assert status == 0 and out.splitlines()[-1] == "first not finite: theta, update"


def test_a_pickle_would_have_been_noticed(tmp_path):
    """The payload works: with unpickling allowed it writes its mark."""
    MARKER.unlink(missing_ok=True)
    path = tmp_path / "pickle.npy"
    path.write_bytes(PICKLE)
    with suppress(Exception):  # the pickle holds no array
        np.load(path, allow_pickle=True)
    assert MARKER.exists()
    MARKER.unlink()
