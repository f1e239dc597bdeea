"""What is misconfigured and how to mend it. Law: it looks and never changes anything; a check that breaks is itself an answer, and the
others go on."""
