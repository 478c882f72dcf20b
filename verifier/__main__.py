"""
Run `tradeledger-verify`, which is `python -m verifier`.
"""

from ledger import start


def main() -> None:
    """
    Load the command line and run it.
    """
    start.run("verifier.cli")


if __name__ == "__main__":
    main()
