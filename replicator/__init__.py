"""
Stream a chain to other regions through Kafka, and apply it there.

The topic is not trusted: segments and acknowledgements are signed by keys that the chain names, and a replica hashes
and replays everything again before it is applied.
"""
