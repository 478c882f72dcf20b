"""
Change bytes as a fault or a forger would: along their structure more often than against it.

A mutator holds examples of one format, and makes of one of them, by a handful of changes, an input: bits and bytes
flipped, ranges cut, doubled, moved, spliced with another example, numbers at their limits, lengths that lie, lines
dropped and doubled, base64 changed inside or in its spelling, what JSON and UTF-8 can hold and text does not expect. It
has no clock and no state but its random numbers, so a seed repeats a run.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

INPUT_LIMIT_BYTES: Final = 1 << 17
"""Inputs do not grow beyond this by being changed; examples may be larger."""

_LIMITS: Final = (
    0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32,
    (1 << 63) - 1, 1 << 63, (1 << 64) - 1,
)  # fmt: skip
_SPELT: Final = (
    *(str(number).encode() for number in _LIMITS), b"", b"00", b"01", b"-1", b"+1", b" 1", b"1 ", b"1_0", b"1e9",
    b"0x10", b"1.0", "\u0663".encode(), b"9" * 19, b"9" * 20, b"9" * 5000, str(1 << 128).encode(),
)  # fmt: skip
"""Numbers as no parser expects them: signs, spaces, another script's digits, thousands of digits."""

_TOKENS: Final = (
    b"\n", b"\n\n", b"\r\n", b"\r", b"\0", b"\t", b" ", b"\x7f", b"\x1b[2J", "\u2028".encode(), "\x85".encode(),
    "\ufeff".encode(), "\u2014 ".encode(), b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"=", b"==",
    b"+", b"/", b"..", b"x", b".p/", b"{", b"}", b"[" * 3000, b'{"a":' * 3000, b'"', b"\\ud800", b"\\u0000", b"null",
    b"true", b'"":', b',"a":1', b",", b"1e999", b"NaN", b"quorum none\n", b"index 0\n", b"old 0\n", b"extra AA==\n",
    b"none", b"any", b"all", b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\xff\xff", b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 8,
)  # fmt: skip

_DIGITS: Final = re.compile(rb"[0-9]+")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]{8,}={0,2}")
_MOST_CHANGES: Final = 5

Change = Callable[[bytes], bytes]


class Mutator:
    """
    Make inputs of *examples*, by the random numbers of *random*.
    """

    def __init__(self, examples: Sequence[bytes], random: Random) -> None:
        self.examples = list(examples)
        self._random = random
        self._changes: tuple[Change, ...] = (
            self._flip, self._flip, self._byte, self._cut, self._end, self._double, self._move, self._splice,
            self._noise, self._length, self._length, self._number, self._number, self._line, self._line, self._token,
            self._token, self._base64, self._base64, self._repeat,
        )  # fmt: skip

    def make(self) -> bytes:
        """
        Return the next input: an example with one change, seldom with more.
        """
        random = self._random
        data = random.choice(self.examples)
        for _ in range(min(_MOST_CHANGES, 1 + int(random.expovariate(1.2)))):
            data = random.choice(self._changes)(data)[: max(INPUT_LIMIT_BYTES, len(data))]
        return data

    def take(self, data: bytes, most: int) -> None:
        """
        Keep an input that was accepted as one more example to start from; there are at most so many.
        """
        if len(self.examples) < most:
            self.examples.append(data)
        else:
            self.examples[self._random.randrange(len(self.examples) // 2, len(self.examples))] = data

    def _range(self, data: bytes) -> tuple[int, int]:
        """Return a range of *data*, short ones and those at field boundaries of 2, 8, 16 and 32 bytes more often."""
        start = self._random.randint(0, len(data))
        length = self._random.choice((1, 1, 2, 4, 8, 16, 32, 64, self._random.randint(0, len(data) + 1)))
        return start, min(len(data), start + length)

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return b"\0"
        place = self._random.randrange(len(data))
        return data[:place] + bytes([data[place] ^ 1 << self._random.randrange(8)]) + data[place + 1 :]

    def _byte(self, data: bytes) -> bytes:
        place = self._random.randint(0, len(data))
        return data[:place] + bytes([self._random.choice((0, 0xFF, 0x7F, 0x80, 10, 32))]) + data[place + 1 :]

    def _cut(self, data: bytes) -> bytes:
        start, end = self._range(data)
        return data[:start] + data[end:]

    def _end(self, data: bytes) -> bytes:
        place = self._random.randint(0, len(data))
        return data[:place] if self._random.random() < 0.8 else data[place:]

    def _double(self, data: bytes) -> bytes:
        start, end = self._range(data)
        return data[:end] + data[start:end] + data[end:]

    def _repeat(self, data: bytes) -> bytes:
        start, end = self._range(data)
        most = max(2, min(4000, INPUT_LIMIT_BYTES // 4 // max(1, end - start)))
        times = self._random.choice((3, 16, 65, 257, most)) if self._random.random() < 0.3 else 2
        return data[:end] + data[start:end] * min(times, most) + data[end:]

    def _move(self, data: bytes) -> bytes:
        start, end = self._range(data)
        rest = data[:start] + data[end:]
        place = self._random.randint(0, len(rest))
        return rest[:place] + data[start:end] + rest[place:]

    def _splice(self, data: bytes) -> bytes:
        other = self._random.choice(self.examples)
        if self._random.random() < 0.3:
            return data + other
        return data[: self._random.randint(0, len(data))] + other[self._random.randint(0, len(other)) :]

    def _noise(self, data: bytes) -> bytes:
        start, end = self._range(data)
        return data[:start] + self._random.randbytes(self._random.choice((1, 2, 8, 32))) + data[end:]

    def _length(self, data: bytes) -> bytes:
        """Put a number at its limit, or one beside what stands there, where a binary one may stand."""
        width, order = self._random.choice((1, 2, 2, 4, 4, 8)), self._random.choice(("big", "big", "little"))
        place = self._random.randint(0, max(0, len(data) - width))
        there = int.from_bytes(data[place : place + width], "big" if order == "big" else "little")
        near = (there + 1, there - 1, there * 2, len(data), len(data) - place)
        number = self._random.choice((*_LIMITS, *near)) & (1 << 8 * width) - 1
        return data[:place] + number.to_bytes(width, "big" if order == "big" else "little") + data[place + width :]

    def _number(self, data: bytes) -> bytes:
        """Put another number in the place of one that is written in digits."""
        match = self._one(_DIGITS, data)
        if match is None:
            return self._length(data)
        start, end = match
        there = int(data[start:end][:30])
        near = tuple(str(max(0, there + step)).encode() for step in (-1, 1, 256))
        return data[:start] + self._random.choice((*_SPELT, *near)) + data[end:]

    def _line(self, data: bytes) -> bytes:
        """Drop, double or move a line, or put it in the place of another."""
        lines = data.split(b"\n")
        one, other = self._random.randrange(len(lines)), self._random.randrange(len(lines))
        what = self._random.randrange(5)
        if what == 0:
            del lines[one]
        elif what == 1:
            lines.insert(other, lines[one])
        elif what == 2:
            lines[one], lines[other] = lines[other], lines[one]
        elif what == 3:
            lines[one] = lines[other]
        else:
            lines[one:one] = [lines[one]] * self._random.choice((15, 63, 64, 65))
        return b"\n".join(lines)

    def _token(self, data: bytes) -> bytes:
        start, end = self._range(data)
        return data[:start] + self._random.choice(_TOKENS) + data[start if self._random.random() < 0.5 else end :]

    def _base64(self, data: bytes) -> bytes:
        """Change what a base64 text stands for, so that it is still one, or its spelling alone."""
        match = self._one(_BASE64, data)
        if match is None:
            return self._flip(data)
        start, end = match
        text = data[start:end]
        try:
            inner = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            inner = b""
        if inner and self._random.random() < 0.7:
            change = self._random.choice((self._flip, self._cut, self._double, self._noise, self._length))
            made = base64.b64encode(change(inner))
        else:
            broken = text[:4] + b"\n" + text[4:]
            spelt = (text.rstrip(b"="), text + b"=", text[:-1], text.replace(b"+", b"-"), broken, text * 2)
            made = self._random.choice(spelt)
        return data[:start] + made + data[end:]

    def _one(self, pattern: re.Pattern[bytes], data: bytes) -> tuple[int, int] | None:
        """Return where *pattern* is met in *data*, after a random place if it can."""
        place = self._random.randint(0, len(data))
        match = pattern.search(data, place) or pattern.search(data)
        return None if match is None else match.span()
