"""ShipHero, GraphQL public API. Verified against prose and the sandbox only: the vendor publishes no contract."""
