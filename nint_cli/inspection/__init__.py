"""What the NTK of a run says: evidence from its own checkpoints, and a diagnosis in words."""
