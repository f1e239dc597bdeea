"""snapshot -> align -> diff -> explain. Law: a side that could not be read fails the comparison; it is never zero."""
