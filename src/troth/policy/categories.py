"""The tree of data categories that a policy may name, as a table.

Keys follow the data categories of fideslang (https://github.com/ethyca/fideslang, by Ethyca and the IAB Tech Lab,
CC BY 4.0) where it has one; the marked ones are ours and stand below nodes of it or beside them. The descriptions
are our own. A policy can add further categories below these with ``define: {categories: …}``.
"""

from __future__ import annotations

from typing import Final

#: Key -> what it is. Every key's parent is in the table too; whatever is below ``user`` is personal data.
CATEGORIES: Final[dict[str, str]] = {
    "user": "anything about a person",
    "user.account": "an account and what belongs to it",
    "user.account.settings": "settings of an account",
    "user.account.username": "the name a person signs in with",
    "user.authorization": "what proves that somebody may do something",
    "user.authorization.credentials": "credentials, such as a key or a token",
    "user.authorization.password": "a password, or a value made from one",
    "user.behavior": "what a person does",
    "user.behavior.browsing_history": "which pages a person visits",
    "user.behavior.purchase_history": "what a person bought",
    "user.behavior.search_history": "what a person searched for",
    "user.biometric": "features of a body by which a person is known",
    "user.childrens": "data of a child",
    "user.company": "the company a person works for (ours)",
    "user.company.name": "its name (ours)",
    "user.company.size": "how many people work there (ours)",
    "user.company.usage": "what it wants to use a product for (ours)",
    "user.contact": "how a person is reached",
    "user.contact.address": "a postal address",
    "user.contact.address.city": "the city",
    "user.contact.address.country": "the country",
    "user.contact.address.postal_code": "the postal code",
    "user.contact.address.state": "the state or province",
    "user.contact.address.street": "the street and the house",
    "user.contact.email": "an e-mail address",
    "user.contact.fax_number": "a fax number",
    "user.contact.organization": "the organisation an address belongs to",
    "user.contact.phone": "a telephone number (ours; fideslang has phone_number)",
    "user.contact.phone_number": "a telephone number",
    "user.contact.url": "a page or profile of the person's own",
    "user.content": "what a person wrote or made",
    "user.content.private": "content meant for few, such as a message or a chat",
    "user.content.public": "content meant for everybody",
    "user.correspondence": "what a person and the controller wrote to each other (ours)",
    "user.correspondence.chat": "a chat (ours)",
    "user.correspondence.feedback": "an opinion or a report of a fault (ours)",
    "user.correspondence.request": "a question and its answer (ours)",
    "user.demographic": "features of a group a person belongs to",
    "user.demographic.age_range": "whether a person is above some age",
    "user.demographic.date_of_birth": "the date of birth",
    "user.demographic.gender": "the gender",
    "user.demographic.language": "a language",
    "user.device": "a device a person uses",
    "user.device.configuration": "how a device or a product on it is set up (ours)",
    "user.device.cookie": "what is stored in a browser",
    "user.device.cookie_id": "an id stored in a browser",
    "user.device.device_id": "an id of the device",
    "user.device.diagnostics": "logs and findings about a fault (ours)",
    "user.device.hardware_id": "an id made from the hardware (ours)",
    "user.device.ip_address": "the address of a device in the network",
    "user.device.operating_system": "the operating system and its version (ours)",
    "user.device.pseudonym": "a keyed id of a device that joins nothing (ours)",
    "user.device.telemetry": "measurements of a device",
    "user.financial": "a person's money",
    "user.financial.account_number": "a number of an account",
    "user.financial.credit_card": "a payment card",
    "user.government_id": "a number or document from an authority",
    "user.health_and_medical": "health",
    "user.job_title": "what a person does at work",
    "user.location": "where a person is",
    "user.location.country": "the country (ours)",
    "user.location.imprecise": "the region or city",
    "user.location.precise": "the very place",
    "user.name": "a name",
    "user.name.first": "the first name",
    "user.name.last": "the last name",
    "user.payment": "a payment",
    "user.privacy_preferences": "what a person chose about their data",
    "user.sensor": "what a sensor measured",
    "user.social": "whom a person knows",
    "user.telemetry": "how a person uses a product",
    "user.unique_id": "an id that stands for a person",
    "user.unique_id.pseudonymous": "an id that stands for a person without saying who",
    "user.workplace": "where a person works",
    "system": "about systems, not about persons",
    "system.operations": "what a system needs to run",
}


def parent(key: str) -> str | None:
    """The key above, or None for a root."""
    return key.rpartition(".")[0] or None


def under(key: str, root: str) -> bool:
    """Whether a key is this node or lies below it."""
    return key == root or key.startswith(root + ".")
