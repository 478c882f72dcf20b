"""
`python -m verifier` is `tradeledger-verify`.
"""

from verifier.cli import main

main()
