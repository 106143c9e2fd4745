"""What the instances of one server share, so that it does not matter which of them a request meets."""

from cipp_mcp.state.state import ProcessState, State, StateLost, open_state

__all__ = ["ProcessState", "State", "StateLost", "open_state"]
