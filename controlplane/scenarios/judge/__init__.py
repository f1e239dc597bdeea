"""Pure judgement: the sandbox's journal and truth, and what the plane says, in; a report out. No I/O here."""
