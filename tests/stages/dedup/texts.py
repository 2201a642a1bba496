"""Random texts over the scripts that the kernel treats differently."""

import random

POOLS = (
    "abc ABC_09 -.\n",
    "éÉßẞİΣςıſKÅȺⱥ",
    "漢字かなカナ々〇",
    "ภาษาไทยກຂខ្មែរ",
    "😀🎉𝔘𝒳𐐀𐐨\U0001e922",
    "٠١٢ابج",
    "  \u200b\u00a0\x00-",
)


def text(chance: random.Random) -> str:
    size = chance.choice([0, 1, 3, 5, 8, 40, 200, 3000])
    kind = chance.random()
    if kind < 0.1:  # any code point at all
        return "".join(chr(c) for c in (chance.randrange(0x110000) for _ in range(size)) if c >> 11 != 27)
    if kind < 0.4:
        pool = "abcdefgh     "
    else:
        pool = "".join(chance.sample(POOLS, chance.randint(1, 4))) + " " * chance.choice([0, 3, 10])
    return "".join(chance.choice(pool) for _ in range(size))


def texts(seed: int, count: int) -> list[str]:
    chance = random.Random(seed)
    return [text(chance) for _ in range(count)]
