"""A target system whose journal on disk is the judge. Law: it shares no code with the plane, and writes down every effect."""
