"""The plane: what was promised, what moves, what is known of it. See docs/house.md for the map."""
