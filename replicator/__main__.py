"""
`python -m replicator` is `tradeledger-replicator`.
"""

from replicator.cli import main

main()
