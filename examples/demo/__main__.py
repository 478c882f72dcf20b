"""
Run the demo: `python -m examples.demo`, which `make demo` does.
"""

from ledger import start

if __name__ == "__main__":
    start.run("examples.demo.run")
