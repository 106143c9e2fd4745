"""The embedded CIPP in a process of its own, so that its work is not counted: prints how to reach it, ends with stdin."""

from __future__ import annotations

import json
import sys
from typing import Any

from cipp_mcp.demo import DemoCipp

SMALL, LARGE = 3, 2000


def rows(demo: DemoCipp, count: int) -> list[dict[str, Any]]:
    """So many users of the first tenants, every one with an id of its own."""
    users = [user for tenant in demo.state.tenants for user in tenant.users.values()]
    return [
        {**users[number % len(users)], "id": f"{number:08d}-0000-4000-8000-000000000000"} for number in range(count)
    ]


def access_token(demo: DemoCipp) -> str:
    """A token that the embedded CIPP accepts, for a server that asks for none by itself."""
    form = {
        "grant_type": "client_credentials",
        "client_id": demo.client_id,
        "client_secret": demo.client_secret,
        "scope": f"api://{demo.client_id}/.default",
    }
    token: str = demo.identity.token(demo.tenant_id, form)[1]["access_token"]
    return token


def main() -> None:
    with DemoCipp() as demo:
        demo.answer("ListUsers", body=rows(demo, LARGE))
        demo.answer("ListGroups", body=rows(demo, SMALL))
        place = {
            "environment": demo.environment(),
            "token": access_token(demo),
            "tenant": demo.state.tenants[0].domain,
        }
        print(json.dumps(place))
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
