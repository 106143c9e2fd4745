"""Examines a set-up step by step and names what is wrong with its remedy."""

from cipp_mcp.doctor.case import Finding, State
from cipp_mcp.doctor.examination import CHECKS, examine

__all__ = ["CHECKS", "Finding", "State", "examine"]
