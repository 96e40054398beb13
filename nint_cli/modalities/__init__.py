"""What can be fitted: a package per modality, behind one interface."""
