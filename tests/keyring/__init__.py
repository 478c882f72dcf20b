"""Check that keys are made, kept, changed and brought back, and never seen by who may not."""
