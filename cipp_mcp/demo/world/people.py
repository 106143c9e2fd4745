"""The accounts of a tenant: staff, leavers, administrators, service and shared accounts, rooms, guests."""

from __future__ import annotations

import datetime
import random
import unicodedata
from typing import TYPE_CHECKING, Any

from cipp_mcp.demo.world import names, skus
from cipp_mcp.demo.world.seeds import days_before, draw_guid, source, stamp

if TYPE_CHECKING:
    from cipp_mcp.demo.world.tenant import Tenant

User = dict[str, Any]
_FOLD = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ı": "i", "ş": "s", "'": ""})
_STREET_NUMBERS = range(2, 300)


def make_users(tenant: Tenant) -> dict[str, User]:
    """All accounts by object id; exactly `tenant.size` of them."""
    maker = _Maker(tenant)
    for kind, count in _shares(tenant.size).items():
        for number in range(count):
            maker.add(kind, number)
    return maker.users


def _shares(size: int) -> dict[str, int]:
    rest = size
    shares = {}
    wanted = {
        "admin": 2 if size > 8 else 1 if size > 2 else 0,
        "service": 1 if size > 15 else 0,
        "room": min(len(names.ROOMS), size // 15),
        "shared": size // 14,
        "guest": round(size * 0.06),
        "leaver": round(size * 0.04),
    }
    for kind, count in wanted.items():
        shares[kind] = min(count, rest)
        rest -= shares[kind]
    return {"staff": rest, **shares}


def ascii_name(name: str) -> str:
    """A name as it stands in an address."""
    folded = name.lower().translate(_FOLD)
    return unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode().replace(" ", ".")


class _Maker:
    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.profile = tenant.profile
        self.chance = source(tenant.seed, tenant.number, "people")
        self.users: dict[str, User] = {}
        self.taken: set[str] = set()

    def add(self, kind: str, number: int) -> None:
        user = getattr(self, f"_{kind}")(number)
        self.users[user["id"]] = user

    def _staff(self, number: int) -> User:
        chance, profile = self.chance, self.profile
        given, surname, local = self._person()
        department = chance.choices(list(names.DEPARTMENTS), (1, 2, 3, 6, 1, 1, 1, 1))[0]
        # The third of every forty is licensed, without MFA and has not signed in for months; the fourth never has.
        stale = number % 40 == 3 or chance.random() < 0.03
        sku = profile.main_sku if number % 5 else profile.other_sku
        licences = [skus.assigned(sku)]
        if number % 9 == 4:
            licences.append(skus.assigned(chance.choice(skus.FREE)))
        if department == "Management" and skus.SKUS[sku].premium and number % 2:
            licences.append(skus.assigned("Microsoft_365_Copilot"))
        if number % 23 == 11:
            licences = []
        # Most people sign in on every working day; a few are on long leave.
        recent = chance.uniform(0, 3) if chance.random() < 0.9 else chance.uniform(4, 45)
        idle = chance.uniform(95, 400) if stale else recent
        last = None if number % 40 == 4 else idle
        user = self._base(local, f"{given} {surname}", licences, last)
        user.update(
            givenName=given,
            surname=surname,
            department=department,
            jobTitle=chance.choice(names.DEPARTMENTS[department]),
            employeeId=f"{1000 + number}" if chance.random() < 0.7 else None,
            mobilePhone=self._phone() if chance.random() < 0.6 else None,
            businessPhones=[self._phone()] if chance.random() < 0.7 else [],
        )
        if number % 12 == 7:
            user["proxyAddresses"].append(f"smtp:{given.lower()[0]}{ascii_name(surname)}@{self.tenant.domain}")
        return user

    def _leaver(self, number: int) -> User:
        user = self._staff(number + 5000)
        user["accountEnabled"] = False
        # Forgotten licences of people who have left are what technicians look for first.
        user["assignedLicenses"] = user["assignedLicenses"][:1] if number % 2 == 0 else []
        user["signInActivity"] = _activity(self.tenant.today, self.chance, self.chance.uniform(60, 500))
        return user

    def _admin(self, number: int) -> User:
        title = ("Break Glass", "CIPP Admin")[number]
        local = ("breakglass", "admin")[number]
        user = self._base(local, title, [], (120.0, 1.0)[number], domain=self.tenant.initial)
        return {**user, "department": "IT", "jobTitle": "Administrator"}

    def _service(self, number: int) -> User:
        user = self._base("svc-scanner", "Scanner Service", [skus.assigned("EXCHANGESTANDARD")], 0.2)
        return {**user, "passwordPolicies": "DisablePasswordExpiration", "department": "IT"}

    def _shared(self, number: int) -> User:
        name = names.SHARED_MAILBOXES[number % len(names.SHARED_MAILBOXES)]
        local = ascii_name(name).replace(".", "") + ("" if number < len(names.SHARED_MAILBOXES) else str(number))
        user = self._base(local, name, [], None)
        # One shared mailbox can be signed in to, which nobody means to happen.
        return {**user, "accountEnabled": number == 1}

    def _room(self, number: int) -> User:
        name = names.ROOMS[number]
        return {**self._base(ascii_name(name).replace(".", ""), name, [], None), "accountEnabled": False}

    def _guest(self, number: int) -> User:
        given, surname, local = self._person()
        company = names.GUEST_COMPANIES[number % len(names.GUEST_COMPANIES)]
        mail = f"{local}@{company}"
        upn = f"{local}_{company}#EXT#@{self.tenant.initial}"
        last = None if number % 4 == 3 else self.chance.choice((2.0, 40.0, 200.0))
        user = self._base(local, f"{given} {surname}", [], last)
        accepted = number % 4 != 3
        return {
            **user,
            "userPrincipalName": upn,
            "mail": mail,
            "mailNickname": f"{local}_{company}#EXT#",
            "proxyAddresses": [f"SMTP:{mail}"],
            "userType": "Guest",
            "creationType": "Invitation",
            "externalUserState": "Accepted" if accepted else "PendingAcceptance",
            "externalUserStateChangeDateTime": user["createdDateTime"],
            "companyName": company.split(".")[0].replace("-", " ").title(),
            "givenName": given,
            "surname": surname,
            "usageLocation": None,
        }

    def _person(self) -> tuple[str, str, str]:
        country = self.profile.country
        given = self.chance.choice(names.FIRST_NAMES[country])
        surname = self.chance.choice(names.LAST_NAMES[country])
        local = f"{ascii_name(given)}.{ascii_name(surname)}"
        count = 2
        while local in self.taken:
            local = f"{ascii_name(given)}.{ascii_name(surname)}{count}"
            count += 1
        self.taken.add(local)
        return given, surname, local

    def _phone(self) -> str:
        return f"{names.DIALLING[self.profile.country]} 555 01{self.chance.randrange(100000):05d}"

    def _base(
        self, local: str, name: str, licences: list[dict[str, Any]], last: float | None, domain: str | None = None
    ) -> User:
        tenant, profile, chance = self.tenant, self.profile, self.chance
        upn = f"{local}@{domain or tenant.domain}"
        age = chance.uniform(410, 2200)
        has_mail = domain is None
        address = f"{chance.choice(_STREET_NUMBERS)} {profile.streets[0]}"
        return new_user(tenant, draw_guid(chance), upn, name) | {
            "createdDateTime": days_before(tenant.today, age),
            "assignedLicenses": licences,
            "city": profile.city,
            "state": profile.state,
            "postalCode": profile.postcode,
            "streetAddress": address,
            "country": names.COUNTRIES[profile.country],
            "companyName": profile.name,
            "officeLocation": "Head office" if chance.random() < 0.8 else "Branch office",
            "mail": upn if has_mail else None,
            "proxyAddresses": [f"SMTP:{upn}", f"smtp:{local}@{tenant.initial}"] if has_mail else [],
            "lastPasswordChangeDateTime": days_before(tenant.today, chance.uniform(5, min(age, 700))),
            "signInActivity": None if last is None else _activity(tenant.today, chance, last),
        }


def new_user(tenant: Tenant, user_id: str, upn: str, name: str) -> User:
    """An account as Graph returns it right after it was made."""
    now = stamp(tenant.today)
    return {
        "id": user_id,
        "accountEnabled": True,
        "ageGroup": None,
        "assignedLicenses": [],
        "businessPhones": [],
        "city": None,
        "companyName": None,
        "country": None,
        "createdDateTime": now,
        "creationType": None,
        "department": None,
        "displayName": name,
        "employeeId": None,
        "employeeType": None,
        "externalUserState": None,
        "externalUserStateChangeDateTime": None,
        "faxNumber": None,
        "givenName": None,
        "jobTitle": None,
        "lastPasswordChangeDateTime": now,
        "mail": None,
        "mailNickname": upn.partition("@")[0],
        "mobilePhone": None,
        "officeLocation": None,
        "onPremisesImmutableId": None,
        "onPremisesLastSyncDateTime": None,
        "onPremisesSyncEnabled": None,
        "otherMails": [],
        "passwordPolicies": None,
        "postalCode": None,
        "preferredLanguage": names.LANGUAGES[tenant.profile.country],
        "proxyAddresses": [],
        "refreshTokensValidFromDateTime": now,
        "showInAddressList": None,
        "signInSessionsValidFromDateTime": now,
        "state": None,
        "streetAddress": None,
        "surname": None,
        "usageLocation": tenant.profile.country,
        "userPrincipalName": upn,
        "userType": "Member",
        "signInActivity": None,
    }


def _activity(today: datetime.datetime, chance: random.Random, days: float) -> dict[str, Any]:
    when = days_before(today, days)
    return {
        "lastSignInDateTime": when,
        "lastSignInRequestId": draw_guid(chance),
        "lastNonInteractiveSignInDateTime": days_before(today, max(0.0, days - 0.1)),
        "lastNonInteractiveSignInRequestId": draw_guid(chance),
        "lastSuccessfulSignInDateTime": when,
        "lastSuccessfulSignInRequestId": draw_guid(chance),
    }
