"""Vector operations of the kernel, written as LLVM vectors: every target lowers them to its own instructions."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from stages.loops.constants import EIGHT, FIRST, LANE, NEXT, PLACES

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_V = ir.VectorType(_I8, LANE)
_W = ir.VectorType(_I32, PLACES)
_WORDS = ir.VectorType(_I64, EIGHT)
_HALVES = ir.VectorType(_I64, 2)  # of the first sixteen bytes of a word


def _at(context, builder, kind, array, index, to):
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), to.as_pointer())


def _splat(number: int, kind: ir.VectorType = _V) -> ir.Constant:
    return ir.Constant(kind, [number] * kind.count)


def _spread(builder, one, count: int):
    """A vector of `count` times one value."""
    nothing = ir.Constant(ir.VectorType(one.type, count), ir.Undefined)
    alone = builder.insert_element(nothing, one, ir.Constant(_I32, 0))
    return _picked(builder, alone, nothing, [0] * count)


def _picked(builder, a, b, which: list[int]):
    """A vector of the elements of a, then b, that stand at `which`."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, len(which)), which))


@intrinsic
def load8(typing, data, index):
    """uint64: eight bytes of a byte array from any position, first byte lowest."""

    def build(context, builder, signature, args):
        return builder.load(_at(context, builder, signature.args[0], args[0], args[1], _I64), align=1)

    return types.uint64(data, types.intp), build


@intrinsic
def store4(typing, data, index, value):
    """Write a uint32 to any position of a byte array, first byte lowest."""

    def build(context, builder, signature, args):
        builder.store(args[2], _at(context, builder, signature.args[0], args[0], args[1], _I32), align=1)

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
        return builder.bitcast(high, _I64)

    return types.uint64(data, types.intp, out, types.intp), build


def _bits(holds):
    """An intrinsic (data, index): uint64 bit mask, for which of 64 bytes `holds(builder, bytes)` is true."""

    @intrinsic
    def lane(typing, data, index):
        def build(context, builder, signature, args):
            byte = builder.load(_at(context, builder, signature.args[0], args[0], args[1], _V), align=1)
            return builder.bitcast(holds(builder, byte), _I64)

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


@intrinsic
def unpack(typing, table, mask, base, out, at):
    """Write base + the place of each set bit of a mask of eight bits to uint16s out[at], out[at + 1], ...

    table: `SET_BITS`. Eight numbers are written, whatever the mask; behind those of its bits they mean nothing.
    """

    def build(context, builder, signature, args):
        kinds, (table_, mask_, base_, out_, at_) = signature.args, args
        places = ir.VectorType(_I8, 8)
        first = builder.shl(mask_, ir.Constant(mask_.type, 3))
        bits = builder.load(_at(context, builder, kinds[0], table_, first, places), align=1)
        wide = ir.VectorType(_I16, 8)
        moved = builder.add(builder.zext(bits, wide), _spread(builder, builder.trunc(base_, _I16), 8))
        builder.store(moved, _at(context, builder, kinds[3], out_, at_, wide), align=2)

    return types.void(table, types.intp, types.intp, out, types.intp), build


@intrinsic
def hash_words(typing, data, base, bounds, first, tokens, at):
    """Write the hashes of eight words to tokens[at], ...; the bit mask of those of more than 16 bytes, whose hashes
    are those of their first 16.

    bounds uint16: from `first` on, where each word begins and ends, counted from data[base].
    """

    def build(context, builder, signature, args):
        kinds, (data_, base_, bounds_, first_, tokens_, at_) = signature.args, args
        pairs = builder.load(_at(context, builder, kinds[2], bounds_, first_, ir.VectorType(_I16, 16)), align=2)
        starts, stops = (
            builder.zext(_picked(builder, pairs, pairs, list(range(odd, 16, 2))), _WORDS) for odd in (0, 1)
        )
        bits = builder.shl(builder.sub(stops, starts), _splat(3, _WORDS))

        # Sixteen bytes of each word, wherever it begins.
        sixteen = []
        for word in range(EIGHT):
            bound = builder.add(first_, ir.Constant(_I64, 2 * word))
            start = builder.load(_at(context, builder, kinds[2], bounds_, bound, _I16), align=2)
            place = _at(context, builder, kinds[0], data_, builder.add(base_, builder.zext(start, _I64)), _HALVES)
            sixteen.append(builder.load(place, align=1))

        def joined(words):
            a, b, c, d = (sixteen[word] for word in words)
            four = [0, 1, 2, 3]
            return _picked(builder, _picked(builder, a, b, four), _picked(builder, c, d, four), list(range(8)))

        even, odd = joined((0, 2, 4, 6)), joined((1, 3, 5, 7))
        low = _picked(builder, even, odd, [0, 8, 2, 10, 4, 12, 6, 14])
        high = _picked(builder, even, odd, [1, 9, 3, 11, 5, 13, 7, 15])

        # All bits, moved down by as many as are too many, keep what is of the word and cut off what lies behind it.
        # Only the low six bits of that number count; a word without bytes has no meaning here.
        def kept(half_bits):
            too_many = builder.and_(builder.sub(_splat(0, _WORDS), half_bits), _splat(63, _WORDS))
            return builder.lshr(_splat(-1, _WORDS), too_many)

        def more_than(number):
            return builder.icmp_signed(">", bits, _splat(number, _WORDS))

        in_two, longer = more_than(64), more_than(128)
        low = builder.and_(low, kept(builder.select(in_two, _splat(64, _WORDS), bits)))
        second = kept(builder.select(longer, _splat(128, _WORDS), bits))
        high = builder.and_(high, builder.select(in_two, second, _splat(0, _WORDS)))

        def folded(x):
            return builder.xor(x, builder.lshr(x, _splat(32, _WORDS)))

        x = folded(builder.mul(low, _splat(FIRST, _WORDS)))
        x = folded(builder.mul(builder.add(x, high), _splat(NEXT, _WORDS)))
        builder.store(x, _at(context, builder, kinds[4], tokens_, at_, _WORDS), align=8)
        return builder.zext(builder.bitcast(longer, _I8), _I64)

    return types.intp(data, types.intp, bounds, types.intp, tokens, types.intp), build


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
            at = builder.phi(_I64)
            at.add_incoming(ir.Constant(_I64, 0), before)
            held = [builder.phi(_W) for _ in range(vectors)]
            one = builder.load(_at(context, builder, kinds[0], value_array, at, _I32))
            spread = _spread(builder, one, PLACES)
            lowered = []
            for v in range(vectors):
                moved = builder.add(builder.mul(spread, factors[v]), terms[v])
                lowered.append(builder.select(builder.icmp_unsigned("<", moved, held[v]), moved, held[v]))
            onward = builder.add(at, ir.Constant(_I64, 1))
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
