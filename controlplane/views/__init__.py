"""What people are shown: read models across rooms. Law: views only read, in a fixed number of queries, and never judge anew what a room has judged."""
