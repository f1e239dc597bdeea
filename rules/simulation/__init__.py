"""What a policy would have done: history replayed through the rules that run live, under one revision and under another."""
