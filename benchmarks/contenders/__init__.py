"""The peers, each a script that does the whole job in a process of its own and prints one JSON line."""
