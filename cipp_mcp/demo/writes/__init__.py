"""Changes that are carried out on the state, by area; importing this package registers them."""
