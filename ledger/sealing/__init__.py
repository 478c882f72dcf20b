"""
Keep the promises that checkpoints are: a signer, a witness, and those who ask them.

What is signed and refused is decided by pure functions (`ledger.evidence`); here are the file in which a promise
outlives its process, the server that answers one request after the other, and the client with its deadlines.
"""
