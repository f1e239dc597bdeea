"""A store that speaks Adobe Commerce's REST."""
