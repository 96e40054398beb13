"""Everything that differentiates a field: one block, sweeps over blocks, the NTK, the probe."""
