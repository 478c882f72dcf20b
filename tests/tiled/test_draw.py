"""
Draw by hand as docs/FORMAT.md says, and reckon the probabilities with fractions.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidInput
from verifier.tiled import draw

FORMAT = Path(__file__).parents[2] / "docs" / "FORMAT.md"


def test_the_page_s_known_answer_is_drawn() -> None:
    """Root, nonce, number of tiles and the first numbers, as they stand on the page."""
    page = FORMAT.read_text().partition("## Draw")[2].partition("\n## ")[0]
    root, nonce, tiles, numbers = re.findall(r"^    (?:root|nonce|tiles|drawn) +(.+)$", page, re.M)
    expected = [int(number) for number in numbers.split(", ")]
    assert draw.draw(bytes.fromhex(root), bytes.fromhex(nonce), int(tiles), len(expected)) == expected


@pytest.mark.parametrize(("tiles", "count"), [(39_063, 4603), (2**63 + 1, 20)])
def test_a_draw_can_be_made_again_by_whoever_has_the_page(tiles: int, count: int) -> None:
    """Here, in ten lines that share nothing with the program. Of so many tiles every other number is passed over."""
    root, nonce = bytes(range(32)), b"an auditor's own"
    seed, numbers, place = sha256(b"trade-ledger/dr1" + root + nonce).digest(), [], 0
    while len(numbers) < count:
        number = int.from_bytes(sha256(seed + place.to_bytes(8, "big")).digest()[:8], "big")
        place += 1
        if number < 2**64 - 2**64 % tiles and number % tiles not in numbers:
            numbers.append(number % tiles)
    assert draw.draw(root, nonce, tiles, count) == numbers


def test_all_are_taken_in_their_order_where_there_are_no_more() -> None:
    assert draw.draw(bytes(32), b"", 9, 9) == draw.draw(bytes(32), b"", 9, 10) == list(range(9))


@given(st.binary(max_size=40), st.integers(1, 500), st.integers(1, 600))
def test_a_draw_is_of_different_tiles_and_of_all_where_there_are_no_more(nonce: bytes, tiles: int, count: int) -> None:
    drawn = draw.draw(bytes(32), nonce, tiles, count)
    assert len(set(drawn)) == len(drawn) == min(tiles, count)
    assert set(drawn) <= set(range(tiles))


def test_another_root_or_nonce_draws_others() -> None:
    drawn = {tuple(draw.draw(root, nonce, 10**6, 5)) for root in (bytes(32), b"r" * 32) for nonce in (b"", b"n")}
    assert len(drawn) == 4


def test_the_design_s_figure_is_reached() -> None:
    """99 % for a share of 0.1 % takes 4,603 tiles, and 4,602 are too few."""
    assert draw.enough(Decimal("0.001"), Decimal("0.99")) == 4603
    assert draw.percent(draw.detection(Decimal("0.001"), 4603)) == "99.0001 %"
    assert draw.percent(draw.detection(Decimal("0.001"), 4602)) == "98.9991 %"


@given(st.integers(1, 999), st.integers(1, 999))
def test_enough_is_the_smallest_count_by_fractions(share: int, confidence: int) -> None:
    """Ties included: a quarter is what two halves leave."""
    count = draw.enough(Decimal(share) / 1000, Decimal(confidence) / 1000)
    missed, allowed = Fraction(1000 - share, 1000), Fraction(1000 - confidence, 1000)
    assert missed**count <= allowed
    assert count == 1 or missed ** (count - 1) > allowed
    assert draw.enough(Decimal("0.5"), Decimal("0.75")) == 2


@pytest.mark.parametrize(("missed", "count"), [("0.02", 3), ("0.02", 8), ("0.04", 9), ("0.05", 8), ("0.7", 1)])
def test_where_a_power_is_what_is_allowed_it_is_enough(missed: str, count: int) -> None:
    """Though the quotient of the logarithms is a little more than that."""
    allowed = Decimal(missed) ** count
    assert draw.enough(1 - Decimal(missed), 1 - allowed) == count


def test_the_last_of_thirty_digits_counts() -> None:
    """Two halves leave a quarter, which is more than is allowed here."""
    assert draw.enough(Decimal("0.5"), Decimal("0.75" + "0" * 27 + "1")) == 3


@given(st.integers(1, 999), st.integers(1, 60))
def test_a_probability_is_never_rounded_up(share: int, count: int) -> None:
    exact = (1 - Fraction(1000 - share, 1000) ** count) * 100
    shown = Fraction(draw.percent(draw.detection(Decimal(share) / 1000, count)).removesuffix(" %"))
    assert 0 <= exact - shown < Fraction(1, 10_000)


@pytest.mark.parametrize("text", ["", "1", "0", "-0.1", "nan", "inf", "1/3", "0." + "1" * 31, "1e-40", "x"])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        draw.read_share(text, "share")


@pytest.mark.parametrize("text", ["0.001", "1e-30", "0." + "1" * 30, "0.9"])
def test_a_share_is_read_as_it_is_written(text: str) -> None:
    assert draw.read_share(text, "share") == Decimal(text)
