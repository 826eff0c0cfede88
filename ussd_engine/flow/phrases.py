"""The engine's own words, in the languages that it speaks. A flow may replace each under `texts`."""

from __future__ import annotations

from collections.abc import Mapping

PHRASES: Mapping[str, Mapping[str, str]] = {
    "back": {"en": "Back", "sw": "Rudi", "fr": "Retour"},
    "home": {"en": "Home", "sw": "Mwanzo", "fr": "Accueil"},
    "more": {"en": "More", "sw": "Zaidi", "fr": "Suite"},
    "wrong_choice": {
        "en": "That is not one of the choices.",
        "sw": "Hilo si mojawapo ya machaguo.",
        "fr": "Ce choix n'existe pas.",
    },
    "wrong_answer": {
        "en": "That answer cannot be used.",
        "sw": "Jibu hilo haliwezi kutumika.",
        "fr": "Cette réponse ne convient pas.",
    },
    "sorry": {
        "en": "Sorry, something went wrong. Please dial again later.",
        "sw": "Samahani, kuna hitilafu. Tafadhali piga tena baadaye.",
        "fr": "Désolé, une erreur est survenue. Veuillez rappeler plus tard.",
    },
}
