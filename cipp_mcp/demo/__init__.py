"""An embedded CIPP: a real HTTPS server on loopback with a token endpoint, for newcomers and for tests.

Nothing heavy is imported before a `DemoCipp` is started.
"""

from cipp_mcp.demo.recorded import Recorded
from cipp_mcp.demo.running import DemoCipp

__all__ = ["DemoCipp", "Recorded"]
