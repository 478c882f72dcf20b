"""
Run `tradeledger-replicator`, which is `python -m replicator`.
"""

from ledger import start


def main() -> None:
    """
    Load the command line and run it.
    """
    start.run("replicator.cli")


if __name__ == "__main__":
    main()
