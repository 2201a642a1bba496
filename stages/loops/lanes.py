"""Vector operations of the kernel, written as LLVM vectors: every target lowers them to its own instructions."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from stages.loops.constants import LANE, PLACES

_V = ir.VectorType(ir.IntType(8), LANE)
_W = ir.VectorType(ir.IntType(32), PLACES)


def _at(context, builder, kind, array, index, to):
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), to.as_pointer())


def _splat(byte: int) -> ir.Constant:
    return ir.Constant(_V, [byte] * LANE)


@intrinsic
def load8(typing, data, index):
    """uint64: eight bytes of a byte array from any position, first byte lowest."""

    def build(context, builder, signature, args):
        return builder.load(_at(context, builder, signature.args[0], args[0], args[1], ir.IntType(64)), align=1)

    return types.uint64(data, types.intp), build


@intrinsic
def store4(typing, data, index, value):
    """Write a uint32 to any position of a byte array, first byte lowest."""

    def build(context, builder, signature, args):
        builder.store(args[2], _at(context, builder, signature.args[0], args[0], args[1], ir.IntType(32)), align=1)

    return types.void(data, types.intp, types.uint32), build


@intrinsic
def lower_lane(typing, data, index, out, position):
    """Write 64 bytes lower-cased, separators as 0; the bit mask of bytes that are not ASCII."""

    def build(context, builder, signature, args):
        source = _at(context, builder, signature.args[0], args[0], args[1], _V)
        target = _at(context, builder, signature.args[2], args[2], args[3], _V)
        byte = builder.load(source, align=1)
        lower = builder.or_(byte, _splat(0x20))
        letter = builder.icmp_unsigned("<", builder.sub(lower, _splat(ord("a"))), _splat(26))
        digit = builder.icmp_unsigned("<", builder.sub(byte, _splat(ord("0"))), _splat(10))
        other = builder.or_(digit, builder.icmp_unsigned("==", byte, _splat(ord("_"))))
        kept = builder.select(letter, lower, builder.select(other, byte, _splat(0)))
        builder.store(kept, target, align=1)
        high = builder.icmp_signed("<", byte, _splat(0))
        return builder.bitcast(high, ir.IntType(64))

    return types.uint64(data, types.intp, out, types.intp), build


def _bits(holds):
    """An intrinsic (data, index): uint64 bit mask, for which of 64 bytes `holds(builder, bytes)` is true."""

    @intrinsic
    def lane(typing, data, index):
        def build(context, builder, signature, args):
            byte = builder.load(_at(context, builder, signature.args[0], args[0], args[1], _V), align=1)
            return builder.bitcast(holds(builder, byte), ir.IntType(64))

        return types.uint64(data, types.intp), build

    return lane


filled_lane = _bits(lambda builder, byte: builder.icmp_unsigned("!=", byte, _splat(0)))
# Every byte but 10xxxxxx begins a character, or is one.
start_lane = _bits(lambda builder, byte: builder.icmp_signed(">", byte, _splat(0xBF)))


@intrinsic
def lowest(typing, mask):
    """intp: position of the lowest set bit; 64 when there is none."""

    def build(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.intp(types.uint64), build


@intrinsic
def ones(typing, mask):
    """uint64: number of set bits."""

    def build(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), build


def lowers(vectors: int):
    """An intrinsic (values, count, a, b, minima, first): lowers minima[first + i], i < 16 * vectors, to the least of
    values[:count] * a[first + i] + b[first + i]; all uint32.

    The minima stay in registers while the values pass by: no pass over the values for each of them, no sums across a
    vector. LLVM finds this form of the two loops by itself for no target.
    """

    @intrinsic
    def lower(typing, values, count, a, b, minima, first):
        def build(context, builder, signature, args):
            kinds, (value_array, count_, *arrays, first_) = signature.args, args
            number = ir.IntType(64)

            def vector(which, v):
                index = builder.add(first_, ir.Constant(first_.type, v * PLACES))
                return _at(context, builder, kinds[2 + which], arrays[which], index, _W)

            factors, terms, lowest_ = (
                [builder.load(vector(which, v), align=4) for v in range(vectors)] for which in range(3)
            )
            before = builder.block
            body, after = builder.append_basic_block("values"), builder.append_basic_block("done")
            any_ = builder.icmp_signed(">", count_, ir.Constant(count_.type, 0))
            builder.cbranch(any_, body, after)

            builder.position_at_end(body)
            at = builder.phi(number)
            at.add_incoming(ir.Constant(number, 0), before)
            held = [builder.phi(_W) for _ in range(vectors)]
            one = builder.load(_at(context, builder, kinds[0], value_array, at, ir.IntType(32)))
            alone = builder.insert_element(ir.Constant(_W, ir.Undefined), one, ir.Constant(ir.IntType(32), 0))
            spread = builder.shuffle_vector(
                alone, ir.Constant(_W, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), PLACES), [0] * PLACES)
            )
            lowered = []
            for v in range(vectors):
                moved = builder.add(builder.mul(spread, factors[v]), terms[v])
                lowered.append(builder.select(builder.icmp_unsigned("<", moved, held[v]), moved, held[v]))
            onward = builder.add(at, ir.Constant(number, 1))
            at.add_incoming(onward, body)
            for v in range(vectors):
                held[v].add_incoming(lowest_[v], before)
                held[v].add_incoming(lowered[v], body)
            builder.cbranch(builder.icmp_signed("<", onward, count_), body, after)

            builder.position_at_end(after)
            for v in range(vectors):
                last = builder.phi(_W)
                last.add_incoming(lowest_[v], before)
                last.add_incoming(lowered[v], body)
                lowest_[v] = last
            for v in range(vectors):
                builder.store(lowest_[v], vector(2, v), align=4)

        return types.void(values, types.intp, a, b, minima, types.intp), build

    return lower
