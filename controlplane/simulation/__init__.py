"""What a change of policy would have done, by kind. Law: history goes through the rules that run live, under both revisions, and
what history cannot tell is said, not guessed."""
