"""Memory: unchecked reads of bytes for kernels that check their bounds themselves."""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

PADDING = 8  # bytes that must follow whatever is read by words


def _load(bits: int) -> Any:
    def load(typingctx: Any, b: Any, at: Any) -> Any:
        del typingctx

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            place = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(bits).as_pointer())
            return builder.load(place, align=1)

        return getattr(types, f"uint{bits}")(b, at), codegen

    return load


byte_at = intrinsic(_load(8))  # (uint8 array, index) -> uint8
half_at = intrinsic(_load(32))  # (uint8 array, index) -> the four bytes from there on as a uint32, in machine order
word_at = intrinsic(_load(64))  # (uint8 array, index) -> the eight bytes from there on as a uint64, in machine order


@intrinsic
def trailing_zeros(typingctx, number):  # type: ignore[no-untyped-def]
    """How many of the lowest bits of a uint64 are 0."""
    del typingctx

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del context, signature
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(number), codegen
