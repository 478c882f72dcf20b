"""
Keep the chain and its read models in PostgreSQL.

The only part of the ledger that speaks SQL. It stores and reads what it is given; it knows no rule of trading.
"""
