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
    "resume_question": {
        "en": "You were not done when the line dropped.",
        "sw": "Hukuwa umemaliza laini ilipokatika.",
        "fr": "Vous n'aviez pas fini quand la ligne a coupé.",
    },
    "resume_continue": {"en": "Go on", "sw": "Endelea", "fr": "Continuer"},
    "resume_restart": {"en": "Start again", "sw": "Anza upya", "fr": "Recommencer"},
    "sorry": {
        "en": "Sorry, something went wrong. Please dial again later.",
        "sw": "Samahani, kuna hitilafu. Tafadhali piga tena baadaye.",
        "fr": "Désolé, une erreur est survenue. Veuillez rappeler plus tard.",
    },
}

RESUME_KEYS: Mapping[str, str] = {"1": "resume_continue", "2": "resume_restart"}
"""What to press after the line dropped, and the words beside it."""
OF_RESUME = frozenset({"resume_question", "resume_continue", "resume_restart"})
"""Words of a screen that a flow shows with 'resume: ask' alone."""


def needed(resume: str) -> list[str]:
    """The engine's words that a flow with this 'resume' comes to show."""
    return [key for key in PHRASES if resume == "ask" or key not in OF_RESUME]
