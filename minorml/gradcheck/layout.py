"""How x, in whatever form f takes it, becomes one vector and back, and what its coordinates are called."""

from typing import NamedTuple

import numpy as np


class Block(NamedTuple):
    name: str
    start: int
    shape: tuple  # of the array that it is

    @property
    def stop(self):
        return self.start + int(np.prod(self.shape))

    @property
    def slice(self):
        return slice(self.start, self.stop)


class Layout:
    """x is a number, an array of any shape, or a dict, list or tuple (nested at will) of arrays.

    names : {name: slice} of the flattened x, for an x that is one array; what no name covers is called x.
    """

    def __init__(self, x, names=None):
        self.example = x
        arrays = list(leaves(x))
        for name, array in arrays:
            if array.dtype.kind not in "fiub":
                raise TypeError(f"{name}: expected real numbers; given {array.dtype}")
        self.leaves = _blocks(arrays)
        self.size = self.leaves[-1].stop if self.leaves else 0
        if not self.size:
            raise ValueError("x: expected at least one number; given none")
        floats = [array.dtype for _, array in arrays if array.dtype.kind == "f"]
        self.dtype = np.result_type(*floats) if floats else np.dtype(np.float64)
        self.blocks = self.leaves if names is None else _named(self.leaves, names)
        self.vector = self.flatten(x).astype(np.float64)

    def flatten(self, tree, trailing=(), what="x"):
        """The arrays of a tree like x, as (P, *trailing). ValueError where its form or a shape is another."""
        arrays = list(_like(self.example, tree, what))
        for block, array in zip(self.leaves, arrays):
            if array.shape != block.shape + trailing:
                where = "" if len(arrays) == 1 else f"{block.name}: "
                raise ValueError(f"{what}: {where}expected shape {block.shape + trailing}; given {array.shape}")
        return np.concatenate([array.reshape(-1, *trailing) for array in arrays])

    def build(self, vector):
        """The vector in the form of x; a number is given as a number."""
        parts = iter([vector[block.slice].reshape(block.shape) for block in self.leaves])
        return _rebuild(self.example, parts)

    def name(self, i):
        """What coordinate i is called: "W1[3, 2]", or "x" where x is a number."""
        block = next(block for block in self.blocks if block.start <= i < block.stop)
        index = np.unravel_index(i - block.start, block.shape) if block.shape else ()
        return block.name + (f"[{', '.join(str(k) for k in index)}]" if index else "")


def _is_tree(x):
    return isinstance(x, dict) or (isinstance(x, list | tuple)
                                   and any(_is_tree(part) or getattr(part, "shape", ()) for part in x))


def leaves(x, name=""):
    """(name, array) of each array in a tree."""
    if not _is_tree(x):
        yield name or "x", np.asarray(x)
        return
    for key, part in x.items() if isinstance(x, dict) else enumerate(x):
        label = f"{name}[{key}]" if isinstance(key, int) else f"{name}.{key}" if name else str(key)
        yield from leaves(part, label)


def _like(example, tree, what):
    """The arrays of `tree`, in the order of those of `example`."""
    if not _is_tree(example):
        yield np.asarray(tree)
    elif isinstance(example, dict):
        if not isinstance(tree, dict) or tree.keys() != example.keys():
            raise ValueError(f"{what}: expected a dict with the keys {list(example)}; "
                             f"given {list(tree) if isinstance(tree, dict) else type(tree).__name__}")
        for key in example:
            yield from _like(example[key], tree[key], what)
    else:
        if not isinstance(tree, list | tuple) or len(tree) != len(example):
            raise ValueError(f"{what}: expected {len(example)} arrays, as in x; given {type(tree).__name__}")
        for part, given in zip(example, tree):
            yield from _like(part, given, what)


def _rebuild(example, parts):
    if not _is_tree(example):
        part = next(parts)
        return part if part.shape else part[()]
    if isinstance(example, dict):
        return {key: _rebuild(part, parts) for key, part in example.items()}
    rebuilt = [_rebuild(part, parts) for part in example]
    return type(example)(*rebuilt) if hasattr(example, "_fields") else type(example)(rebuilt)


def _blocks(arrays):
    blocks, start = [], 0
    for name, array in arrays:
        blocks.append(Block(name, start, array.shape))
        start = blocks[-1].stop
    return blocks


def _named(leaves, names):
    """Blocks for {name: slice} and, under the name x, for what lies between them."""
    if len(leaves) > 1:
        raise ValueError("names: expected none where x is a dict or list of arrays, which names them; given some")
    size, covered = leaves[0].stop, 0
    blocks = []
    for name, part in sorted(names.items(), key=lambda item: item[1].indices(size)[0]):
        start, stop, step = part.indices(size)
        if step != 1 or start < covered or stop <= start:
            raise ValueError(f"names: expected slices of 1 to {size} numbers that do not overlap; "
                             f"given {name!r}: {part}")
        if start > covered:
            blocks.append(Block("x", covered, (start - covered,)))
        blocks.append(Block(name, start, (stop - start,)))
        covered = stop
    if covered < size:
        blocks.append(Block("x", covered, (size - covered,)))
    return blocks
