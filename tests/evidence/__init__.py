"""Check the formats of evidence against slow models, other people's vectors and mutated bytes."""
