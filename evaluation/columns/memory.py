"""Memory: unchecked reads and copies of bytes, for kernels that check their bounds themselves."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

PADDING = 8  # bytes that must follow whatever is read by words


def _load(bits: int) -> Any:
    def load(context: Any, b: Any, at: Any) -> Any:
        del context

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            place = builder.bitcast(_place(context, builder, signature.args[0], args), ir.IntType(bits).as_pointer())
            return builder.load(place, align=1)

        return getattr(types, f"uint{bits}")(b, at), codegen

    return load


def _copy(context: Any, target: Any, at: Any, source: Any, start: Any, size: Any) -> Any:  # noqa: PLR0917
    del context, at, start, size

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to = _place(context, builder, signature.args[0], args[:2])
        cgutils.raw_memcpy(builder, to, _place(context, builder, signature.args[2], args[2:4]), args[4], 1)  # type: ignore[no-untyped-call, call-arg]
        return context.get_dummy_value()

    return types.void(target, types.int64, source, types.int64, types.int64), codegen


def _trailing_zeros(context: Any, number: Any) -> Any:
    del context

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del context, signature
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(number), codegen


def _place(context: Any, builder: Any, array: Any, args: Any) -> Any:
    return builder.gep(context.make_array(array)(context, builder, args[0]).data, [args[1]])


byte_at: Any = intrinsic(_load(8))  # (uint8 array, index) -> uint8
half_at: Any = intrinsic(
    _load(32)
)  # (uint8 array, index) -> the four bytes from there on as a uint32, in machine order
word_at: Any = intrinsic(_load(64))  # (uint8 array, index) -> the eight bytes from there on as a uint64
copy: Any = intrinsic(_copy)  # (array, index, array, index, bytes): to the first from the second; they don't overlap
trailing_zeros: Any = intrinsic(_trailing_zeros)  # (uint64) -> how many of its lowest bits are 0
