"""Many app hosts as one: in which batches they switch, what each of them has, and where they differ. Controller only."""
