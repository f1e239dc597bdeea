"""What it means for several sides to agree about one key, and how a number in a file is read. Pure."""
