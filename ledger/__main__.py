"""
Run `tradeledger`, which is `python -m ledger`.
"""

from ledger import start


def main() -> None:
    """
    Load the command line and run it.
    """
    start.run("ledger.cli.app")


if __name__ == "__main__":
    main()
