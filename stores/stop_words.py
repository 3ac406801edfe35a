"""Function words that say nothing about a creator: articles, prepositions, conjunctions, pronouns, question words.

A list and not a rule by frequency, so that what a query means does not change with the collection, and "music" stays a
word where everybody makes music. Left out on purpose: words that mean something in another of these languages or in a
name ("it", "us", "me", "son", "sin", "mit", "man", "war", "art", "or", "tu", "die", "she", "he").
"""

from __future__ import annotations

from stores.analysis import fold

_BY_LANGUAGE = {
    "en": "a an the of and in on to for with from by at as is are was were be been being what which who whom whose when"
    " where why how that this these those there their they them its not do does did has have had having could should"
    " would might must about into than then such some any between through during i my we our you your",
    "es": "el la los las un una unos unas de del y e en que con para por al como se su sus o es son lo sobre cual cuales",
    "pt": "o os as um uma uns umas do da dos das em no na nos nas com para por ao aos que e ou seu sua como sobre",
    "fr": "le les des du et en au aux pour par sur dans qui que avec est sont ce cette ces quel quelle quels quelles",
    "de": "der das dem den des ein eine einer eines einem einen und oder von zu zum zur im für auf aus bei über wie"
    " ist sind",
    "it": "il lo gli i un una di del della dei delle e ed in per con che da dal nel nella come",
    "ru": "и в во на с со к по о об от до для из у за не что как это или",
}


STOP_WORDS = frozenset(fold(word) for words in _BY_LANGUAGE.values() for word in words.split())
