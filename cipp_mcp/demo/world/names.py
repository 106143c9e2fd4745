"""Tables of invented names: customers, people, departments. Domains are under .example, so nobody owns them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """One customer."""

    name: str
    slug: str
    domain: str
    country: str
    city: str
    state: str
    postcode: str
    streets: tuple[str, ...]
    main_sku: str
    other_sku: str
    weight: float


# fmt: off
PROFILES = (
    Profile("Hartwell Dental Group", "hartwelldental", "hartwelldental.example", "US", "Portland", "OR", "97205",
            ("SW Alder Street", "NW Lovejoy Street"), "SPB", "EXCHANGESTANDARD", 1.0),
    Profile("O'Brien & Sons Plumbing", "obrienplumbing", "obrienplumbing.example", "US", "Albany", "NY", "12207",
            ("Broadway", "Pearl Street"), "O365_BUSINESS_PREMIUM", "O365_BUSINESS_ESSENTIALS", 0.6),
    Profile("Kestrel Accounting LLP", "kestrelaccounting", "kestrelaccounting.example", "GB", "Leeds", "West Yorkshire",
            "LS1 4AP", ("Park Row", "Wellington Street"), "SPE_E3", "SPB", 1.3),
    Profile("Müller Präzisionstechnik GmbH", "muellerpraezision", "mueller-praezision.example", "DE", "Ulm",
            "Baden-Württemberg", "89073", ("Olgastraße", "Neue Straße"), "SPB", "SPE_F1", 1.1),
    Profile("Lakeshore Veterinary Clinic", "lakeshorevet", "lakeshorevet.example", "US", "Duluth", "MN", "55802",
            ("Superior Street", "Lake Avenue"), "SPB", "EXCHANGESTANDARD", 0.5),
    Profile("Summit Ridge Roofing", "summitridge", "summitridge.example", "US", "Boise", "ID", "83702",
            ("Idaho Street", "Main Street"), "O365_BUSINESS_PREMIUM", "O365_BUSINESS_ESSENTIALS", 0.7),
    Profile("Northgate Legal Partners", "northgatelegal", "northgatelegal.example", "GB", "York", "North Yorkshire",
            "YO1 7HH", ("Stonegate", "Coney Street"), "SPE_E5", "SPB", 1.0),
    Profile("Bright Futures Nursery School", "brightfutures", "brightfutures.example", "US", "Tulsa", "OK", "74103",
            ("Boston Avenue", "Elgin Avenue"), "O365_BUSINESS_ESSENTIALS", "O365_BUSINESS_PREMIUM", 0.6),
    Profile("Delta Freight Logistics", "deltafreight", "deltafreight.example", "US", "Memphis", "TN", "38103",
            ("Union Avenue", "Front Street"), "SPE_E3", "SPE_F1", 1.8),
    Profile("Ellington Architects", "ellingtonarch", "ellington-architects.example", "GB", "Bath", "Somerset", "BA1 1LZ",
            ("Milsom Street", "George Street"), "SPB", "EXCHANGESTANDARD", 0.7),
    Profile("Green Valley Farms Co-op", "greenvalleyfarms", "greenvalleyfarms.example", "US", "Salina", "KS", "67401",
            ("Santa Fe Avenue", "Iron Avenue"), "O365_BUSINESS_PREMIUM", "EXCHANGESTANDARD", 0.9),
    Profile("Harbor Light Brewing", "harborlight", "harborlight.example", "US", "Rockland", "ME", "04841",
            ("Main Street", "Park Drive"), "SPB", "O365_BUSINESS_ESSENTIALS", 0.5),
)
# fmt: on


def _words(text: str) -> list[str]:
    return text.split()


_MORE_FIRST = ("Cedar", "Granite", "Silver", "Maple", "Redwood", "Copper", "Willow", "Amber", "Prairie", "Canyon")
_MORE_SECOND = ("Creek", "Point", "Bridge", "Field", "Gate", "Haven", "Hollow", "Grove")
_MORE_TRADE = ("Insurance", "Engineering", "Catering", "Physiotherapy", "Printing", "Motors", "Joinery", "Optics")


def profile(number: int) -> Profile:
    """The customer with this number; beyond the written ones they are put together from word lists."""
    if number < len(PROFILES):
        return PROFILES[number]
    extra = number - len(PROFILES)
    first = _MORE_FIRST[extra % len(_MORE_FIRST)]
    second = _MORE_SECOND[extra // len(_MORE_FIRST) % len(_MORE_SECOND)]
    trade = _MORE_TRADE[extra // 3 % len(_MORE_TRADE)]
    turn = extra // (len(_MORE_FIRST) * len(_MORE_SECOND))
    suffix = f" {turn + 1}" if turn else ""
    slug = f"{first}{second}{trade}{suffix.strip()}".lower()
    base = PROFILES[number % len(PROFILES)]
    return Profile(
        f"{first} {second} {trade}{suffix}",
        slug,
        f"{slug}.example",
        base.country,
        base.city,
        base.state,
        base.postcode,
        base.streets,
        base.main_sku,
        base.other_sku,
        0.8,
    )


_ENGLISH_FIRST = _words(
    "Olivia James Amelia Henry Grace Samuel Chloe Daniel Hannah Marcus Zoe Nathan Ruth Peter Alice Victor Naomi Oscar "
    "Priya Arjun Fatima Omar Wei Mei Sofia Mateo Carmen Diego Ingrid Lars Aisha Kofi Elena Dmitri Megan Callum Siobhan "
    "Patrick Rosa Hugo Leah Simon Tessa Graham Yvonne Derek Bethany Colin Imogen Ross Paula Trevor Gemma Stuart Noor "
    "Hassan Kerry Dylan Audrey Felix"
)
_ENGLISH_LAST = _words(
    "Adams Bennett Carter Dawson Ellis Fletcher Grant Hughes Iverson Jensen Keller Lawson Mercer Norris Osborne Parker "
    "Quinn Reyes Shaw Turner Underwood Vaughn Walsh Young Zimmerman Abbott Barlow Chandra Desai Evans Fisher Gupta "
    "Hobbs Ibrahim Jordan Khan Lambert Mitchell Nguyen Okafor Patel Ramirez Singh Tran Ueda Vega Whitaker Yates "
    "Archer Brady Coleman Doyle Eaton Frost Goodwin Hale Ingram Jarvis Kerr Lynch Moss Nolan Orr Pike Reid Stone Tate "
    "Voss Ward York O'Connor McKay Fernandez Silva Costa Rossi Novak Kovacs Petrov Yamada"
)
_GERMAN_FIRST = _words(
    "Anna Lukas Julia Felix Sabine Jürgen Katrin Stefan Heike Thomas Monika Bernd Claudia Uwe Petra Ralf Nadine Jan "
    "Silke Markus Birgit Holger Jana Tobias Renate Dirk Svenja Matthias Anke Florian Ayşe Mehmet Zeynep Emre Ines Björn "
    "Greta Moritz Lena Konrad"
)
_GERMAN_LAST = _words(
    "Schmidt Schneider Fischer Weber Wagner Becker Hoffmann Schäfer Koch Bauer Richter Klein Wolf Schröder Neumann "
    "Schwarz Zimmermann Braun Krüger Hartmann Lange Werner Krause Lehmann Köhler Maier Herrmann König Walter Mayer "
    "Huber Kaiser Fuchs Peters Lang Scholz Möller Weiß Jung Hahn Vogel Friedrich Keller Günther Frank Berger Winkler "
    "Roth Beck Lorenz Baumann Franke Albrecht Yılmaz Kaya Demir"
)
FIRST_NAMES = {"US": _ENGLISH_FIRST, "GB": _ENGLISH_FIRST, "DE": _GERMAN_FIRST}
LAST_NAMES = {"US": _ENGLISH_LAST, "GB": _ENGLISH_LAST, "DE": _GERMAN_LAST}
COUNTRIES = {"US": "United States", "GB": "United Kingdom", "DE": "Germany"}
LANGUAGES = {"US": "en-US", "GB": "en-GB", "DE": "de-DE"}
DIALLING = {"US": "+1", "GB": "+44", "DE": "+49"}
TIME_ZONES = {"US": "Eastern Standard Time", "GB": "GMT Standard Time", "DE": "W. Europe Standard Time"}

DEPARTMENTS = {
    "Management": ("Managing Director", "Operations Manager", "Office Manager"),
    "Finance": ("Accountant", "Payroll Clerk", "Finance Manager"),
    "Sales": ("Account Manager", "Sales Representative", "Sales Director"),
    "Operations": ("Technician", "Team Lead", "Scheduler", "Field Engineer"),
    "Reception": ("Receptionist", "Front Desk Coordinator"),
    "Human Resources": ("HR Manager", "Recruiter"),
    "Marketing": ("Marketing Manager", "Content Editor"),
    "IT": ("IT Coordinator", "Systems Administrator"),
}
SHARED_MAILBOXES = (
    "Info",
    "Accounts Payable",
    "Support",
    "Careers",
    "Sales",
    "Reception",
    "Billing",
    "Scheduling",
    "Marketing",
    "Facilities",
    "Training",
    "Orders",
    "Returns",
    "Events",
    "Compliance",
    "Press",
)
ROOMS = ("Boardroom", "Meeting Room 1", "Meeting Room 2", "Training Room")
GUEST_COMPANIES = ("fabricam-consulting.example", "tailwind-audit.example", "woodgrove-law.example")
