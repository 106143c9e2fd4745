"""Licence products: Microsoft's ids and part numbers (public), names and service plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sku:
    id: str
    part: str
    name: str
    plans: tuple[tuple[str, str], ...]
    mailbox_gb: int = 50
    intune: bool = False
    premium: bool = False


_EXO1 = ("EXCHANGE_S_STANDARD", "9aaf7827-d63c-4b61-89c3-182f06f82e5c")
_EXO2 = ("EXCHANGE_S_ENTERPRISE", "efb87545-963c-4e0d-99df-69c6916d9eb0")
_EXOK = ("EXCHANGE_S_DESKLESS", "4a82b400-a79f-41a4-b4e2-e94f5787b113")
_TEAMS = ("TEAMS1", "57ff2da0-773e-42df-b2af-ffb7a2317929")
_SPO = ("SHAREPOINTSTANDARD", "c7699d2e-19aa-44de-8edf-1736da088ca1")
_SPO2 = ("SHAREPOINTENTERPRISE", "5dbe027f-2339-4123-9542-606e4d348a72")
_INTUNE = ("INTUNE_A", "c1ec4a95-1f05-45b3-a911-aa3fa01094f5")
_P1 = ("AAD_PREMIUM", "41781fb2-bc02-4b7c-bd55-b576c07bb09d")
_P2 = ("AAD_PREMIUM_P2", "eec0eb4f-6444-4f95-aba0-50c24d67f998")
_ATP = ("ATP_ENTERPRISE", "f20fedf3-f3c3-43c3-8267-2bfdd51c0939")

# fmt: off
SKUS = {
    sku.part: sku
    for sku in (
        Sku("cbdc14ab-d96c-4c30-b9f4-6ada7cdc1d46", "SPB", "Microsoft 365 Business Premium",
            (_EXO1, _TEAMS, _SPO, _INTUNE, _P1, _ATP), intune=True, premium=True),
        Sku("f245ecc8-75af-4f8e-b61f-27d8114de5f3", "O365_BUSINESS_PREMIUM", "Microsoft 365 Business Standard",
            (_EXO1, _TEAMS, _SPO)),
        Sku("3b555118-da6a-4418-894f-7df1e2096870", "O365_BUSINESS_ESSENTIALS", "Microsoft 365 Business Basic",
            (_EXO1, _TEAMS, _SPO)),
        Sku("4b9405b0-7788-4568-add1-99614e613b69", "EXCHANGESTANDARD", "Exchange Online (Plan 1)", (_EXO1,)),
        Sku("05e9a617-0261-4cee-bb44-138d3ef5d965", "SPE_E3", "Microsoft 365 E3",
            (_EXO2, _TEAMS, _SPO2, _INTUNE, _P1), 100, intune=True, premium=True),
        Sku("06ebc4ee-1bb5-47dd-8120-11324bc54e06", "SPE_E5", "Microsoft 365 E5",
            (_EXO2, _TEAMS, _SPO2, _INTUNE, _P1, _P2, _ATP), 100, intune=True, premium=True),
        Sku("66b55226-6b4f-492c-910c-a3b7a3c9d993", "SPE_F1", "Microsoft 365 F3",
            (_EXOK, _TEAMS, _INTUNE, _P1), 2, intune=True, premium=True),
        Sku("639dec6b-bb19-468b-871c-c5c441c4b0cb", "Microsoft_365_Copilot", "Microsoft 365 Copilot",
            (("M365_COPILOT_APPS", "a62f8878-de10-42f3-b68f-6149a25ceb97"),), 0),
        Sku("a403ebcc-fae0-4ca2-8c8c-7a907fd6c235", "POWER_BI_STANDARD", "Power BI (free)",
            (("BI_AZURE_P0", "2049e525-b859-401b-b2a0-e0a31c4b1fe4"),), 0),
        Sku("f30db892-07e9-47e9-837c-80727f46fd3d", "FLOW_FREE", "Microsoft Power Automate Free",
            (("FLOW_P2_VIRAL", "50e68c76-46c6-4674-81f9-75456511b170"),), 0),
    )
}
# fmt: on
BY_ID = {sku.id: sku for sku in SKUS.values()}
FREE = ("POWER_BI_STANDARD", "FLOW_FREE")


def assigned(part: str) -> dict[str, Any]:
    """An entry of a user's ``assignedLicenses``."""
    return {"disabledPlans": [], "skuId": SKUS[part].id}


def names(assignments: list[dict[str, Any]]) -> str:
    """Readable names of ``assignedLicenses``, joined as CIPP's LicJoined does."""
    return ", ".join(BY_ID[entry["skuId"]].name for entry in assignments if entry["skuId"] in BY_ID)


def has_mailbox(assignments: list[dict[str, Any]]) -> bool:
    return any(BY_ID[entry["skuId"]].mailbox_gb for entry in assignments if entry["skuId"] in BY_ID)


def has_intune(assignments: list[dict[str, Any]]) -> bool:
    return any(BY_ID[entry["skuId"]].intune for entry in assignments if entry["skuId"] in BY_ID)
