"""The warehouse: a ShipHero-shaped GraphQL API over the physical stock."""
