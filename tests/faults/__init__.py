"""The fault suite: a proxy that breaks answers in every way, and runs that check what is claimed of them."""
