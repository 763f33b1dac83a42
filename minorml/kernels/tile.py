"""C = S + A B for matrices of which one is small, with its sums in registers.

Layers some 50 wide are too small for BLAS: it copies both factors to where it wants them, which costs as much as it
gains. Here both are read where they lie, and the sums of a tile of C stay in registers from the first term to the
last. Numba has no vectors, so the tile is written in the compiler's intermediate language.

Numba's on-disk cache of what calls this does not notice a change here: after one, remove `__pycache__`.
"""

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .registry import helper

# bytes of a vector register; rows and vectors of a tile, which with a row of B and a number of A fill the registers
VECTOR_BYTES, TILE_ROWS, TILE_VECTORS = (
    (64, 6, 4) if llvmlite.binding.get_host_cpu_features().get("avx512f") else (32, 4, 3))


def _tile(rows, vectors):
    """C[i:i+rows, j:j+vectors] = S[…] + A[i:i+rows] B[:, j:j+vectors], as an intrinsic, for columns that C has.

    step : how far from row to row of S, 1 or 0; the other arguments are those of `product`
    """
    @intrinsic
    def tile(typing_context, C, i, j, S, step, A, across, B):
        def emit(context, builder, signature, args):
            C, S, A, B = (context.make_array(signature.args[n])(context, builder, args[n]) for n in (0, 3, 5, 7))
            _, i, j, _, step, _, across, _ = args
            number = context.get_data_type(signature.args[0].dtype)
            size = signature.args[0].dtype.bitwidth // 8
            lanes = VECTOR_BYTES // size
            int32, int64 = ir.IntType(32), ir.IntType(64)
            vector = ir.VectorType(number, lanes)

            def call(name, result, *arguments):
                kind = ir.FunctionType(result, [x.type for x in arguments])
                return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}"), arguments)

            def in_all_lanes(x):
                nothing = ir.VectorType(x.type, lanes)(ir.Undefined)
                first = builder.insert_element(nothing, x, int32(0))
                return builder.shuffle_vector(first, nothing, ir.VectorType(int32, lanes)([0] * lanes))

            def place(array, row, column):
                """Where array[row, column] is."""
                shape, strides = (cgutils.unpack_tuple(builder, x) for x in (array.shape, array.strides))
                return cgutils.get_item_pointer2(context, builder, array.data, shape, strides, "C", [row, column])

            def of_A(row, k):
                other_way = builder.icmp_signed("!=", across, int64(0))
                return builder.load(place(A, builder.select(other_way, k, row), builder.select(other_way, row, k)))

            def row_of_vectors(array, row):
                return [builder.bitcast(place(array, row, builder.add(j, int64(v * lanes))), vector.as_pointer())
                        for v in range(vectors)]

            # The tile of C, and which of its columns exist.
            columns = builder.sub(cgutils.unpack_tuple(builder, C.shape)[1], j)
            exists = [builder.icmp_signed("<", ir.VectorType(int64, lanes)(list(range(v * lanes, (v + 1) * lanes))),
                                          in_all_lanes(columns)) for v in range(vectors)]
            kind = f"v{lanes}f{8 * size}"

            def load_row(array, row):
                return [call(f"masked.load.{kind}.p0", vector, place, int32(size), mask, vector([0.0] * lanes))
                        for place, mask in zip(row_of_vectors(array, row), exists)]

            numbers = [builder.add(i, int64(r)) for r in range(rows)]
            before = [value for row in numbers for value in load_row(S, builder.mul(row, step))]

            # for k in range(K): sums += A[i:i+rows, k] ⊗ B[k, j:j+vectors]
            start, blocks = builder.block, [builder.append_basic_block(name) for name in ("test", "term", "end")]
            test, term, end = blocks
            builder.branch(test)
            builder.position_at_end(test)
            loop = [builder.phi(int64), *(builder.phi(vector) for _ in before)]
            k, *sums = loop
            builder.cbranch(builder.icmp_signed("<", k, cgutils.unpack_tuple(builder, B.shape)[0]), term, end)
            builder.position_at_end(term)
            b = load_row(B, k)
            a = [in_all_lanes(of_A(row, k)) for row in numbers]
            after = [call(f"fmuladd.{kind}", vector, x, y, total) for (x, y), total in zip(
                ((x, y) for x in a for y in b), sums)]
            for variable, first, following in zip(loop, [int64(0), *before], [builder.add(k, int64(1)), *after]):
                variable.add_incoming(first, start)
                variable.add_incoming(following, term)
            builder.branch(test)
            builder.position_at_end(end)

            places = [place for row in numbers for place in row_of_vectors(C, row)]
            for value, place, mask in zip(sums, places, exists * rows):
                call(f"masked.store.{kind}.p0", ir.VoidType(), value, place, int32(size), mask)
            return context.get_dummy_value()

        return types.void(C, i, j, S, step, A, across, B), emit

    return tile


def _panel(vectors):
    """C[:, j:j+vectors] = S[…] + A B[:, j:j+vectors], in tiles, and row by row what rows are left."""
    tile, row = _tile(TILE_ROWS, vectors), _tile(1, vectors)

    def panel(C, j, S, step, A, across, B):
        whole = len(C) - len(C) % TILE_ROWS
        for i in range(0, whole, TILE_ROWS):
            tile(C, i, j, S, step, A, across, B)
        for i in range(whole, len(C)):
            row(C, i, j, S, step, A, across, B)

    # Code that was compiled in different processes, and loaded into one, is linked by name: by the same name, panels of
    # different widths would be taken for each other.
    panel.__qualname__ = f"panel_of_{vectors}"
    return helper(panel)


_panel_1, _panel_3, _panel_4 = (_panel(vectors) for vectors in (1, 3, 4))


@helper
def product(C, S, A, across, B):
    """C = S + A B: (I, J), (I, K), (K, J), all in C order; S may have one row, which is added to all.

    across : 1 if A is given as its transpose, (K, I), else 0
    """
    step, across = np.intp(len(S) > 1), np.intp(across)  # numbers, for which nothing is compiled anew
    lanes = VECTOR_BYTES // C.itemsize
    for j in range(0, C.shape[1], TILE_VECTORS * lanes):
        columns = C.shape[1] - j
        if columns <= lanes:
            _panel_1(C, j, S, step, A, across, B)
        elif columns <= 3 * lanes or TILE_VECTORS == 3:
            _panel_3(C, j, S, step, A, across, B)
        else:
            _panel_4(C, j, S, step, A, across, B)


if numba.config.DISABLE_JIT:  # no intrinsics then
    def product(C, S, A, across, B):  # noqa: F811
        C[:] = S[:, :C.shape[1]] + (A.T if across else A) @ B
