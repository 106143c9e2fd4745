"""The declarative tool registry: CIPP's endpoints as data."""

from cipp_mcp.registry.loader import Registry
from cipp_mcp.registry.models import AREAS, NEVER_CALLABLE, RISKS, Area, Endpoint, Parameter, Risk

__all__ = ["AREAS", "NEVER_CALLABLE", "RISKS", "Area", "Endpoint", "Parameter", "Registry", "Risk"]
