"""
Ends while processes of a pool wait for more to do, as a program does that found what it looked for.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor


def main() -> None:
    """
    Have a pool add, and leave it as it is.
    """
    pool = ProcessPoolExecutor(2)
    print(sum(pool.map(abs, range(-3, 3))))
    _left.append(pool)


_left: list[ProcessPoolExecutor] = []

if __name__ == "__main__":
    main()
