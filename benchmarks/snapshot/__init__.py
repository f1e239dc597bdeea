"""Reading a whole snapshot through a connector, beside plain httpx and json."""
