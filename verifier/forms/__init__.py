"""
Write what a verification came to, in the form that its reader needs: each form is a pure function of the outcome.

What is written is about a ledger that somebody may have tampered with, so every text in it is hostile: a form shows
it and never lets it be read as its own markup, and whoever adds a form adds it to tests/verifier/forms.
"""
