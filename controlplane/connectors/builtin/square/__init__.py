"""Square, point of sale."""
