"""What the refusals of a CIPP set-up mean and how they are mended: one table for `doctor` and for failing calls.

Numbers: learn.microsoft.com/entra/identity-platform/reference-error-codes. Remedies: CIPP's pages on its API
(docs.cipp.app, "CIPP-API & MCP" and "Setup & Authentication").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

API_PAGE = "in CIPP under Integrations > CIPP-API"
SAVE_TO_AZURE = f"Enable the client {API_PAGE}, choose Save to Azure, and wait a minute or two for the restart."
_SECRET = (
    "Put the secret's *value* (not its id) into CIPP_CLIENT_SECRET; CIPP shows it once, under Integrations > "
    "CIPP-API > Reset Application Secret."
)
_IDS = "Compare CIPP_CLIENT_ID and CIPP_TENANT_ID with the API client's page in CIPP."
_TENANT = "CIPP_TENANT_ID must be the Entra tenant in which the API client was made, as CIPP's API page shows it."
_EXPOSE = (
    "In Entra, open the app registration > Expose an API, set the Application ID URI to api://<client id>, and wait "
    "a minute or two; or copy the API scope from the client's actions in CIPP into CIPP_SCOPE."
)
_CONSENT = (
    "Grant admin consent under the app registration's API permissions (a set-up with its own scope also needs "
    "access_as_user added there), then wait a minute or two; if it stays so, consent again."
)
_SCOPE = "CIPP_SCOPE must be one scope that ends with /.default; leave it unset to use api://<client id>/.default."
_SERVICE_PRINCIPAL = (
    "The app registration has no enterprise application in this tenant: grant admin consent to it, or let CIPP make "
    "the API client anew."
)
_DISABLED = "In Entra, open the enterprise application > Properties and set 'Enabled for users to sign in' to Yes."
_FEDERATION = (
    "Compare issuer, subject and audience of the app registration's federated credential with those of the workload's "
    "token; they are case-sensitive."
)
_CLOUD = (
    "CIPP_AUTHORITY must be the authority of the tenant's own cloud, such as https://login.microsoftonline.us for "
    "US Government or https://login.partner.microsoftonline.cn for China."
)
_LATER = "This passes by itself; try again in a few minutes."
_CERTIFICATE = "Upload the certificate's public part to the app registration, and check which file is configured here."

# Number → (what it means, remedy).
AADSTS_REMEDIES: dict[str, tuple[str, str]] = {
    # The secret
    "7000215": ("the client secret is not the right one", _SECRET),
    "7000222": ("the client secret has expired", f"Reset the secret of this client {API_PAGE}."),
    "7000218": ("no secret or certificate was sent", "Set CIPP_CLIENT_SECRET, or the certificate, for this client."),
    "70002": ("the credentials were not accepted", _SECRET),
    "700025": (
        "the application is a public client, which has no secret",
        "In Entra, open the app registration > Authentication and set 'Allow public client flows' to No.",
    ),
    # The certificate or the workload's token
    "700027": ("the certificate is not registered with the application", _CERTIFICATE),
    "700024": (
        "the signed assertion is outside its time of validity",
        "Set this machine's clock right (NTP); a certificate or workload identity allows five minutes of difference.",
    ),
    "700021": ("the assertion names another application than the client id", _IDS),
    "70021": ("no federated credential fits the workload's token", _FEDERATION),
    "700211": ("no federated credential has this issuer", _FEDERATION),
    "700212": ("no federated credential has this audience", _FEDERATION),
    "700213": ("no federated credential has this subject", _FEDERATION),
    # Which application, which tenant
    "700016": ("this tenant knows no application with this client id", _IDS),
    "70001": ("this tenant knows no application with this client id, or it is disabled", _IDS),
    "700038": ("the client id is not a valid application id", _IDS),
    "7000229": ("the application has no service principal in this tenant", _SERVICE_PRINCIPAL),
    "7000112": ("the application is disabled", _DISABLED),
    "90002": ("there is no such tenant", _TENANT),
    "900021": ("the tenant id is not valid", _TENANT),
    "900023": ("the tenant id is malformed", "CIPP_TENANT_ID must be a GUID or a verified domain."),
    "50059": ("the tenant is not named", _TENANT),
    "50194": ("the application belongs to one tenant and was asked for in another place", _TENANT),
    "90038": ("the tenant is in another national cloud", _CLOUD),
    "90051": ("the national cloud is not known", _CLOUD),
    "900382": ("the tenant is in another national cloud", _CLOUD),
    # The API that the token is for
    "500011": ("the Application ID URI is missing: Entra knows no resource api://<client id>", _EXPOSE),
    "50001": ("the Application ID URI is missing: Entra knows no such resource", _EXPOSE),
    "500014": ("the service principal of the API is disabled", _DISABLED),
    "1002012": ("the scope is malformed", _SCOPE),
    "70011": ("the scope is malformed", _SCOPE),
    "650053": ("the application asks for a scope that the API does not have", _SCOPE),
    "900144": ("the request was incomplete", _SCOPE),
    "650057": (
        "the application is not registered for this API",
        "Add the API under the client's API permissions (access_as_user, where a set-up needs it), grant admin consent, "
        "and wait a minute or two.",
    ),
    # Consent, assignment, policies
    "65001": ("consent is missing", _CONSENT),
    "650052": ("this tenant has not subscribed to the API", _CONSENT),
    "90094": ("an admin has to consent", _CONSENT),
    "50105": (
        "the application is not assigned",
        "Assign the API client to the enterprise application, or set 'Assignment required' to No there.",
    ),
    "501051": (
        "the application is not assigned to a role of the API",
        "In Entra, open the enterprise application of the API > Properties and set 'Assignment required' to No, or "
        "assign the client.",
    ),
    "53003": (
        "a conditional-access policy blocked the sign-in",
        "Exclude the API client from the conditional-access policy for workload identities, or add this machine's "
        "public address to its locations.",
    ),
    "530032": (
        "a security policy of the tenant blocked the sign-in",
        "Ask the tenant's administrator to exclude the API client from the policy.",
    ),
    "530035": ("security defaults blocked the sign-in", "Ask the tenant's administrator to allow the API client."),
    # On behalf of a person
    "50013": (
        "the person's token was not accepted for an exchange",
        "The token must be for this server's application.",
    ),
    "500131": (
        "the person's token is for another application",
        "The token's audience must be this server's application.",
    ),
    "50076": ("the person has to prove a second factor", "Sign in again in the MCP host, with the second factor."),
    "50079": ("the person has to register a second factor", "Sign in once in a browser and register it."),
    # Passing trouble
    "90033": ("Entra has a passing fault", _LATER),
    "90055": ("Entra limits the tenant's requests", _LATER),
    "50196": ("Entra limits this client, which asked too often", _LATER),
    # Requests that Entra cannot read
    "90014": ("the request was incomplete", "Check the CIPP_* connection settings for empty values."),
    "9002313": ("the request was malformed", "Check the CIPP_* connection settings for stray characters."),
}


def wrong_audience(claims: Mapping[str, Any], client_id: str) -> tuple[str, str] | None:
    """Why CIPP's App Service authentication will refuse a token with these `claims`, and the remedy; None if it fits.

    It accepts ``api://<client id>`` of saved clients and nothing else; a token of version 2 carries the bare id.
    """
    audience = str(claims.get("aud", ""))
    client = client_id.lower()
    if audience.lower() == f"api://{client}":
        return None
    if audience.lower() == client:
        return (
            f"the token is of version {claims.get('ver', '2.0')} and its audience is the bare client id, which CIPP refuses",
            "Use an API client without 'MCP Access Allowed' (that one is for CIPP's own MCP and gets tokens of version "
            "2); otherwise set requestedAccessTokenVersion to 1 or null in the app registration's manifest.",
        )
    return (
        f"the token's audience is {audience[:120] or 'missing'}, not api://{client_id}",
        "Leave CIPP_SCOPE unset, or copy the API scope from the client's actions in CIPP into it.",
    )
