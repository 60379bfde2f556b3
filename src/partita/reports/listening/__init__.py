"""Blind listening tests: pages for listeners, and the key that names what they heard."""

from partita.reports.listening.key import (
    KEY_FILE,
    Item,
    Kind,
    ListeningKey,
    Pair,
    Trial,
    read_json,
    read_key,
)
from partita.reports.listening.pages import write_listening_page

__all__ = [
    "KEY_FILE",
    "Item",
    "Kind",
    "ListeningKey",
    "Pair",
    "Trial",
    "read_json",
    "read_key",
    "write_listening_page",
]
