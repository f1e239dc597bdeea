"""How fast messages are accepted and delivered, beside raw SQL on the same tables and beside peers with the same durable job."""
