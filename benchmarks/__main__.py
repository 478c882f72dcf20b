"""
Run the benchmarks: `python -m benchmarks`, which `make bench` does.
"""

from ledger import start

if __name__ == "__main__":
    start.run("benchmarks.run")
