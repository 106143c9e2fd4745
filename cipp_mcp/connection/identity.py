"""Who a request comes from, as far as everything behind the door needs to know."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Identity:
    """One person, agent or host.

    `name` is unique and never given to somebody else: a policy file, confirmations, results and the audit go by it.
    """

    name: str
    label: str = ""
    """How the audit shows it; never trusted for a decision, since display names can be changed."""
    groups: frozenset[str] = frozenset()
    """Groups and app roles, as a policy file names them."""
    groups_known: bool = True
    """False when the token says that there are groups which it does not name."""
    assertion: str | None = field(default=None, repr=False, compare=False)
    """The access token, where CIPP is called on this person's behalf."""

    @property
    def shown(self) -> str:
        return f"{self.label} ({self.name})" if self.label and self.label != self.name else self.name


LOCAL = Identity("local")
"""The one host behind stdin, or whoever reaches a server without authentication on loopback."""
