"""What people look at: pictures of results and of what was chosen, a module per modality."""
