"""The shop: a subset of Shopify's GraphQL Admin API 2026-04."""
