"""What is done with a fitted field: open it from a run or a file, and write what it gives."""
