"""Inventory, fulfilment, accounting: messages in, messages out. Law: committed rows only; a process never calls a system."""
