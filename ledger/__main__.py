"""
`python -m ledger` is `tradeledger`.
"""

from ledger.cli.app import main

main()
