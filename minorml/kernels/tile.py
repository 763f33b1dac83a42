"""Products of small matrices, in tiles whose sums stay in vector registers from the first term to the last.

    product   C[i:i+I, j:j+J] += Σ_k A[i:i+I, k] B[k, j:j+J]                  numbers of A times vectors of B
    dots      C[i:i+I, j:j+J] += Σ_k x[i:i+I, k:k+lanes] y[j:j+J, k:k+lanes]  vectors times vectors

A dot keeps one sum for each lane of a vector, and `add_lanes` adds them up at the very end. Numba has no vectors, so
the tiles are written in the compiler's intermediate language.
"""

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .registry import helper

# The bytes of a vector register, and a tile that fills the registers: with AVX-512 there are 32 of them, elsewhere 16.
VECTOR_BYTES, TALLEST, WIDEST = (64, 6, 4) if llvmlite.binding.get_host_cpu_features().get("avx512f") else (32, 4, 2)


class _Vectors:
    """Code on vectors of the numbers that arrays hold. `args`: pointers in place of arrays, else 64-bit integers."""

    def __init__(self, context, builder, signature, args):
        self.builder = builder
        self.number = context.get_data_type(signature.args[0].dtype)
        self.bytes = signature.args[0].dtype.bitwidth // 8
        self.lanes = VECTOR_BYTES // self.bytes
        self.type = ir.VectorType(self.number, self.lanes)
        self.args = [context.make_array(kind)(context, builder, x).data if isinstance(kind, types.Array) else x
                     for kind, x in zip(signature.args, args)]

    def sum(self, *terms):
        """An index, from numbers and (factor, factor)."""
        total = ir.IntType(64)(0)
        for term in terms:
            x, y = term if isinstance(term, tuple) else (term, 1)
            x, y = (n if isinstance(n, ir.Value) else ir.IntType(64)(n) for n in (x, y))
            total = self.builder.add(total, self.builder.mul(x, y))
        return total

    def vector(self, data, *terms):
        """Where the vector is that begins at data[Σ terms]."""
        return self.builder.bitcast(self.builder.gep(data, [self.sum(*terms)]), self.type.as_pointer())

    def load(self, data, *terms):
        return self.builder.load(self.vector(data, *terms), align=self.bytes)

    def broadcast(self, data, *terms):
        """data[Σ terms] in all lanes."""
        number, nothing = self.builder.load(self.builder.gep(data, [self.sum(*terms)])), self.type(ir.Undefined)
        first = self.builder.insert_element(nothing, number, ir.IntType(32)(0))
        return self.builder.shuffle_vector(first, nothing, ir.VectorType(ir.IntType(32), self.lanes)([0] * self.lanes))

    def call(self, name, result, *arguments):
        kind = ir.FunctionType(result, [x.type for x in arguments])
        name = f"llvm.{name}.v{self.lanes}f{8 * self.bytes}"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)

    def add_products(self, places, fresh, count, step, lefts, rights):
        """For k = 0, step, … below count add left · right to `places`, row by row; if `fresh`, they begin with 0."""
        builder, int64 = self.builder, ir.IntType(64)
        fresh, zero = builder.icmp_signed("!=", fresh, int64(0)), self.type([0.0] * self.lanes)
        before = [builder.select(fresh, zero, builder.load(place, align=self.bytes)) for place in places]
        start, test, term, end = builder.block, *(builder.append_basic_block(name) for name in ("test", "term", "end"))
        builder.branch(test)
        builder.position_at_end(test)
        k, *sums = builder.phi(int64), *(builder.phi(self.type) for _ in places)
        builder.cbranch(builder.icmp_signed("<", k, count), term, end)
        builder.position_at_end(term)
        right = rights(k)
        pairs = [(x, y) for x in lefts(k) for y in right]
        after = [self.call("fmuladd", self.type, x, y, total) for (x, y), total in zip(pairs, sums)]
        for variable, first, following in zip([k, *sums], [int64(0), *before], [self.sum(k, step), *after]):
            variable.add_incoming(first, start)
            variable.add_incoming(following, term)
        builder.branch(test)
        builder.position_at_end(end)
        for total, place in zip(sums, places):
            builder.store(total, place, align=self.bytes)


def _product_tile(height, width):
    @intrinsic
    def tile(typing_context, C, i, j, fresh, A, row_step, term_step, terms, B, columns):
        """`height` rows and `width` vectors of C; the other arguments are those of `product`."""
        def emit(context, builder, signature, args):
            code = _Vectors(context, builder, signature, args)
            C, i, j, fresh, A, row_step, term_step, terms, B, columns = code.args
            rows, steps = [code.sum(i, r) for r in range(height)], [v * code.lanes for v in range(width)]
            code.add_products(
                [code.vector(C, (row, columns), j, step) for row in rows for step in steps], fresh, terms, 1,
                lambda k: [code.broadcast(A, (row, row_step), (k, term_step)) for row in rows],
                lambda k: [code.load(B, (k, columns), j, step) for step in steps])
            return context.get_dummy_value()

        return types.void(C, i, j, fresh, A, row_step, term_step, terms, B, columns), emit

    return tile


def _dots_tile(height, width):
    @intrinsic
    def tile(typing_context, C, i, j, fresh, x, y, J, R):
        """`height` rows and `width` columns of C (I, J, lanes); rows of x and y have R numbers."""
        def emit(context, builder, signature, args):
            code = _Vectors(context, builder, signature, args)
            C, i, j, fresh, x, y, J, R = code.args
            ours, theirs = ([code.sum(n, r) for r in range(count)] for n, count in ((i, height), (j, width)))
            place = [code.vector(C, (code.sum((m, J), n), code.lanes)) for m in ours for n in theirs]
            code.add_products(place, fresh, R, code.lanes, lambda k: [code.load(x, (m, R), k) for m in ours],
                              lambda k: [code.load(y, (n, R), k) for n in theirs])
            return context.get_dummy_value()

        return types.void(C, i, j, fresh, x, y, J, R), emit

    return tile


@intrinsic
def _sum_of_lanes(typing_context, sums, p):
    """The sum over the lanes of sums[p]: halves are added until one number is left."""
    def emit(context, builder, signature, args):
        code = _Vectors(context, builder, signature, args)
        data, p = code.args
        value, count = code.load(data, (p, code.lanes)), code.lanes
        while count > 1:
            count //= 2
            halves = [ir.VectorType(ir.IntType(32), count)(list(range(n, n + count))) for n in (0, count)]
            value = builder.fadd(*(builder.shuffle_vector(value, value, half) for half in halves))
        return builder.extract_element(value, ir.IntType(32)(0))

    return sums.dtype(sums, p), emit


_product_tall, _product_flat, _product_tall_1, _product_flat_1 = (
    _product_tile(height, width) for width in (WIDEST, 1) for height in (TALLEST, 1))
_dots_tall, _dots_flat, _dots_tall_1, _dots_flat_1 = (
    _dots_tile(height, width) for width in (WIDEST, 1) for height in (TALLEST, 1))


@helper
def product(C, fresh, A, row_step, term_step, terms, B):
    """C += A B, or C = A B if `fresh`. C (I, R) and B (terms, R), R of whole vectors.

    A is flat: A[i, k] is its number i · row_step + k · term_step, so that it may be a matrix or its transpose. `fresh`,
    the steps and `terms` are integers of 64 bits.
    """
    (rows, columns), lanes = C.shape, VECTOR_BYTES // C.itemsize
    tall, wide = rows - rows % TALLEST, columns - columns % (WIDEST * lanes)
    for j in range(0, wide, WIDEST * lanes):
        for i in range(0, tall, TALLEST):
            _product_tall(C, i, j, fresh, A, row_step, term_step, terms, B, columns)
        for i in range(tall, rows):
            _product_flat(C, i, j, fresh, A, row_step, term_step, terms, B, columns)
    for j in range(wide, columns, lanes):
        for i in range(0, tall, TALLEST):
            _product_tall_1(C, i, j, fresh, A, row_step, term_step, terms, B, columns)
        for i in range(tall, rows):
            _product_flat_1(C, i, j, fresh, A, row_step, term_step, terms, B, columns)


@helper
def dots(C, fresh, x, y):
    """C += x yᵀ, or C = x yᵀ if `fresh`, lane by lane. C (I · J, lanes), x (I, R), y (J, R), R of whole vectors."""
    (I, R), J = x.shape, len(y)
    tall, wide = I - I % TALLEST, J - J % WIDEST
    for i in range(0, tall, TALLEST):
        for j in range(0, wide, WIDEST):
            _dots_tall(C, i, j, fresh, x, y, J, R)
        for j in range(wide, J):
            _dots_tall_1(C, i, j, fresh, x, y, J, R)
    for i in range(tall, I):
        for j in range(0, wide, WIDEST):
            _dots_flat(C, i, j, fresh, x, y, J, R)
        for j in range(wide, J):
            _dots_flat_1(C, i, j, fresh, x, y, J, R)


@helper
def add_lanes(sums, total):
    """total_p = Σ over the lanes of sums_p: (P, lanes) → (P,)."""
    for p in range(len(total)):
        total[p] = _sum_of_lanes(sums, p)


if numba.config.DISABLE_JIT:  # no intrinsics then
    def product(C, fresh, A, row_step, term_step, terms, B):  # noqa: F811
        i, k = np.ogrid[:len(C), :terms]
        C[:] = (0 if fresh else C) + A[i * row_step + k * term_step] @ B[:terms]

    def dots(C, fresh, x, y):  # noqa: F811
        lanes = C.shape[1]
        terms = np.einsum("ikl,jkl->ijl", x.reshape(len(x), -1, lanes), y.reshape(len(y), -1, lanes))
        C[:] = (0 if fresh else C) + terms.reshape(C.shape)

    def add_lanes(sums, total):  # noqa: F811
        total[:] = sums.sum(axis=1)
