"""Many app hosts as one: their batches, what each of them has, and where they differ. Controller only."""
