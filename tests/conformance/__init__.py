"""The official MCP conformance suite and the Inspector against this server; `python -m tests.conformance.run`."""
