"""What PyTorch is told about processors, threads, precision and memory."""
