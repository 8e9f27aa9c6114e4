"""A numba type for a handful of float32 labels that are computed together, as one SIMD register.

numba does not keep a small local array in registers and its LLVM pipeline has the SLP vectoriser switched off, so
plain loops over 4 to 16 labels run several times slower than the machine can. `Lanes` values live only inside a
jitted function; every operation below is a few LLVM instructions, the same on every platform.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _untyped_intrinsic
from numba.extending import models, register_model

__all__ = [
    "add",
    "add_scaled",
    "blur3",
    "divide",
    "exp",
    "group_maximum",
    "group_total",
    "larger",
    "less",
    "load",
    "multiply",
    "nearest_integer",
    "scale",
    "store",
    "subtract",
    "zero",
]

_FLOAT: ir.Type = ir.FloatType()
_INT: Any = ir.IntType(32)
# Called in jitted code without the typing context that their definitions begin with.
intrinsic: Any = _untyped_intrinsic


class Lanes(types.Type):
    """`count` float32 values in one register."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(name=f"Lanes({count})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, ir.VectorType(_FLOAT, fe_type.count))


def _splat(builder, value, count):
    """The scalar `value` in every lane."""
    undefined = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    first = builder.insert_element(undefined, value, _INT(0))
    return builder.shuffle_vector(first, undefined, _constant(0, count, _INT))


def _constant(value, count, kind=_FLOAT):
    return ir.Constant(ir.VectorType(kind, count), [value] * count)


def _pointer(context, builder, array_type, array, index, vector_type):
    data = cgutils.create_struct_proxy(array_type)(context, builder, value=array).data
    return builder.bitcast(builder.gep(data, [index]), vector_type.as_pointer())


@intrinsic(prefer_literal=True)
def zero(typingctx, count):
    """`count` lanes of 0; `count` is a compile-time constant."""
    result = Lanes(count.literal_value)

    def codegen(context, builder, signature, args):
        return _constant(0.0, result.count)

    return result(count), codegen


@intrinsic(prefer_literal=True)
def load(typingctx, array, index, count):
    """Lanes from a flat float32 `array`, beginning at `index`."""
    result = Lanes(count.literal_value)

    def codegen(context, builder, signature, args):
        index64 = context.cast(builder, args[1], signature.args[1], types.int64)
        vector_type = ir.VectorType(_FLOAT, result.count)
        pointer = _pointer(context, builder, signature.args[0], args[0], index64, vector_type)
        return builder.load(pointer, align=4)

    return result(array, index, count), codegen


@intrinsic
def store(typingctx, array, index, lanes):
    """Write `lanes` to a flat float32 `array`, beginning at `index`."""

    def codegen(context, builder, signature, args):
        index64 = context.cast(builder, args[1], signature.args[1], types.int64)
        pointer = _pointer(context, builder, signature.args[0], args[0], index64, args[2].type)
        builder.store(args[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, index, lanes), codegen


@intrinsic
def add_scaled(typingctx, lanes, weight, other):
    """`lanes + weight * other`; one fused instruction where the processor has it."""

    def codegen(context, builder, signature, args):
        weights = _splat(builder, context.cast(builder, args[1], signature.args[1], types.float32), lanes.count)
        return builder.fadd(args[0], builder.fmul(weights, args[2], flags=("contract",)), flags=("contract",))

    return lanes(lanes, weight, other), codegen


@intrinsic
def blur3(typingctx, centre, left, right):
    """`centre + (left + right) / 2`: the [1 2 1] stencil of one lattice axis, times 2."""

    def codegen(context, builder, signature, args):
        half = builder.fmul(_constant(0.5, centre.count), builder.fadd(args[1], args[2]), flags=("contract",))
        return builder.fadd(args[0], half, flags=("contract",))

    return centre(centre, left, right), codegen


@intrinsic
def scale(typingctx, lanes, factor):
    """`lanes * factor`, factor a number."""

    def codegen(context, builder, signature, args):
        factors = _splat(builder, context.cast(builder, args[1], signature.args[1], types.float32), lanes.count)
        return builder.fmul(args[0], factors)

    return lanes(lanes, factor), codegen


def _lanewise(emit, description):
    """An intrinsic of two registers, lane by lane."""

    @intrinsic
    def operation(typingctx, left, right):
        def codegen(context, builder, signature, args):
            return emit(builder, args[0], args[1])

        return left(left, right), codegen

    operation.__doc__ = description
    return operation


def _larger(builder, left, right):
    return builder.select(builder.fcmp_ordered(">", left, right), left, right)


def _is_less(builder, left, right):
    count = left.type.count
    return builder.select(builder.fcmp_ordered("<", left, right), _constant(1.0, count), _constant(0.0, count))


add = _lanewise(lambda builder, left, right: builder.fadd(left, right), "`left + right`.")
subtract = _lanewise(lambda builder, left, right: builder.fsub(left, right), "`left - right`.")
multiply = _lanewise(lambda builder, left, right: builder.fmul(left, right), "`left * right`.")
divide = _lanewise(lambda builder, left, right: builder.fdiv(left, right), "`left / right`.")
larger = _lanewise(_larger, "The larger of the two.")
less = _lanewise(_is_less, "1 where `left < right`, else 0.")


def _fold(emit, description):
    """An intrinsic that combines the lanes of each group; every lane of a group receives its group's result."""

    @intrinsic(prefer_literal=True)
    def operation(typingctx, lanes, group):
        count, size = lanes.count, group.literal_value

        def codegen(context, builder, signature, args):
            vector, distance = args[0], 1
            while distance < size:
                partners = ir.Constant(ir.VectorType(_INT, count), [lane ^ distance for lane in range(count)])
                swapped = builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), partners)
                vector = emit(builder, vector, swapped)
                distance *= 2
            return vector

        return lanes(lanes, group), codegen

    operation.__doc__ = description
    return operation


group_maximum = _fold(_larger, "The largest lane of each group of `group` neighbouring lanes (a power of 2).")
group_total = _fold(lambda builder, a, b: builder.fadd(a, b), "The sum of each group of `group` neighbouring lanes.")

# Adding and taking away 1.5 * 2**23 rounds a float32 below 2**22 to the nearest integer, halves to even.
_ROUNDER = 12582912.0


@intrinsic
def nearest_integer(typingctx, lanes):
    """Every lane rounded, halves to even; for magnitudes below 2**22."""

    def codegen(context, builder, signature, args):
        rounder = _constant(_ROUNDER, lanes.count)
        return builder.fsub(builder.fadd(args[0], rounder), rounder)

    return lanes(lanes), codegen


# exp(x) = 2**n * exp(r), r = x - n ln 2 in [-ln 2 / 2, ln 2 / 2]; ln 2 in two parts (Cody and Waite), and the Taylor
# polynomial of degree 7 for exp(r): error below 1.2e-7 relative.
_LOG2_E = float(np.float32(1.4426950408889634))
_LN2_HIGH = 0.693359375
_LN2_LOW = float(np.float32(-2.12194440e-4))
_TAYLOR = [float(np.float32(1 / f)) for f in (5040, 720, 120, 24, 6, 2, 1, 1)]
# Below this exp is smaller than float32's smallest normal number and becomes an exact 0.
_LOWEST = -87.0


@intrinsic
def exp(typingctx, lanes):
    """Exponential of every lane, for lanes <= 0; exactly 0 below -87."""
    count = lanes.count

    def codegen(context, builder, signature, args):
        lowest = _constant(_LOWEST, count)
        normal = builder.fcmp_ordered(">=", args[0], lowest)
        x = builder.select(normal, args[0], lowest)
        rounder = _constant(_ROUNDER, count)
        n = builder.fsub(builder.fadd(builder.fmul(x, _constant(_LOG2_E, count)), rounder), rounder)
        r = builder.fsub(x, builder.fmul(n, _constant(_LN2_HIGH, count)))
        r = builder.fsub(r, builder.fmul(n, _constant(_LN2_LOW, count)))
        result = _constant(_TAYLOR[0], count)
        for coefficient in _TAYLOR[1:]:
            product = builder.fmul(result, r, flags=("contract",))
            result = builder.fadd(product, _constant(coefficient, count), flags=("contract",))
        integers = ir.VectorType(_INT, count)
        biased = builder.add(builder.fptosi(n, integers), _constant(127, count, _INT))
        power = builder.bitcast(builder.shl(biased, _constant(23, count, _INT)), result.type)
        return builder.select(normal, builder.fmul(result, power), _constant(0.0, count))

    return lanes(lanes), codegen
