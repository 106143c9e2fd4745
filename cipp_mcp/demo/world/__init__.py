"""The estate that the embedded CIPP manages: tenants and what is in them, made from a seed."""
