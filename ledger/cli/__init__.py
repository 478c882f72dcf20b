"""
The command line: `tradeledger`, for engines' operators.
"""
