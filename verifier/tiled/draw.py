"""
Draw tiles that nobody could foresee, and say how likely it is that they show what was changed.

The numbers follow from the root that others have cosigned and from a nonce. Whoever changed the history before the root
was cosigned could not know it, whoever chose the nonce could not choose the root; and anybody who has both can draw
again and see that no other tiles were looked at. docs/FORMAT.md states the draw and has a known answer.

Probabilities are decimals, rounded so that they never promise more than there is.
"""

from __future__ import annotations

import decimal
import itertools
from decimal import Decimal
from hashlib import sha256
from typing import Final

from ledger.errors import InvalidInput, shown

DOMAIN: Final = b"trade-ledger/dr1"
NONCE_LIMIT_BYTES: Final = 1024
DIGITS_LIMIT: Final = 30
"""How many digits a share or a confidence may have: more than anybody means, few enough to reckon exactly."""
_RANGE: Final = 1 << 64
_EXACT: Final = decimal.Context(prec=80, rounding=decimal.ROUND_FLOOR)


def draw(root: bytes, nonce: bytes, tiles: int, count: int) -> list[int]:
    """
    Return the numbers of *count* different tiles of *tiles*, in the order drawn; all of them where there are no more.

    Each follows from SHA-256 over the domain string, the *root* (32 bytes) and the *nonce*, which the auditor chooses.
    """
    if count >= tiles:
        return list(range(tiles))
    seed = sha256(DOMAIN + root + nonce).digest()
    # Past the last multiple of the number of tiles, the first ones would come up more often than the others.
    fair = _RANGE - _RANGE % tiles
    drawn: dict[int, None] = {}
    for place in itertools.count():
        number = int.from_bytes(sha256(seed + place.to_bytes(8, "big")).digest()[:8], "big")
        if number < fair:
            drawn[number % tiles] = None
        if len(drawn) == count:
            return list(drawn)
    raise AssertionError("counting ends")


def read_share(text: str, what: str) -> Decimal:
    """
    Return the number between 0 and 1, both left out, that *text* writes in decimal digits.

    Raises:
        InvalidInput: it is none, or has more digits than are reckoned with.
    """
    try:
        found = Decimal(text)
    except decimal.InvalidOperation as error:
        raise InvalidInput(f"found {what} {shown(text)}; expected a number between 0 and 1, such as 0.001") from error
    if not found.is_finite() or not 0 < found < 1:
        raise InvalidInput(f"found {what} {shown(text)}; expected a number between 0 and 1, such as 0.001")
    exponent = found.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > DIGITS_LIMIT:
        raise InvalidInput(f"found {what} {shown(text)}; at most {DIGITS_LIMIT} decimals are reckoned with")
    return found


def detection(share: Decimal, count: int) -> Decimal:
    """
    Return 1 - (1 - share)^count: how likely *count* tiles show at least one of those of which *share* were changed.
    """
    with decimal.localcontext(_EXACT):
        return 1 - (1 - share) ** count


def enough(share: Decimal, confidence: Decimal) -> int:
    """
    Return the smallest count of tiles with which `detection` is at least *confidence*.
    """
    with decimal.localcontext(_EXACT):
        missed, allowed = 1 - share, 1 - confidence
        # A logarithm is rounded, a power of so few digits is not where it matters: it decides. Without its decimals
        # the quotient is never too many.
        count = int(allowed.ln() / missed.ln())
        while missed**count > allowed:
            count += 1
        return count


def percent(probability: Decimal) -> str:
    """
    Return a probability in percent with four decimals, rounded down.
    """
    with decimal.localcontext(_EXACT):
        return f"{(probability * 100).quantize(Decimal('0.0001'))} %"
