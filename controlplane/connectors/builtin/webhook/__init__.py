"""The inlet of an incident tool: one POST per notification."""
