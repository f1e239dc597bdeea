"""How much a target takes, measured before it is relied on. Law: never production unless somebody insists; what it writes is marked
DRILL-, bounded in number, and put back where it can be."""
