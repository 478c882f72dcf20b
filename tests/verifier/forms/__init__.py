"""Check each form in which a verification is told."""
