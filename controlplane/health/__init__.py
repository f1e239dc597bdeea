"""What is known of the plane and its retailer: observations, verdicts over them, incidents that people are told of."""
