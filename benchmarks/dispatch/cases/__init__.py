"""What is measured, a module each with `run(bench)`; the readings of one case share their rounds."""
