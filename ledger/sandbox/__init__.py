"""
Start private servers: a PostgreSQL and a Kafka broker for a first minute, a demo, and tests.

Nothing here knows the ledger's tables or its writer; operators of real systems never need it.
"""
