"""Calls to CIPP over HTTP: tokens, trust, limits, retries."""
