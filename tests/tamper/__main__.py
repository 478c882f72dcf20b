"""
Go the ways to tamper: `python -m tests.tamper [WORD…]`, which `make tamper` does.
"""

from ledger import start

if __name__ == "__main__":
    start.run("tests.tamper.run")
