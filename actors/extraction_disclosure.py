"""Whether a text discloses that somebody paid for it."""

from __future__ import annotations

import re

from actors.extraction_tables import words

_TAGS = words(
    """
    ad ads adv advert advertisement advertising sponsored sponsor spon paidad paidpartnership
    paidpromotion paidcollaboration sponsoredpost sponsoredvideo sponsoredcontent brandpartner
    publicidad publi anuncio patrocinado patrocinada colaboracionpagada colaboraciónpagada
    contenidopatrocinado publicidade publipost publicidadepaga parceriapaga anúncio conteúdopatrocinado
    werbung anzeige bezahltewerbung bezahltepartnerschaft gesponsert dauerwerbesendung publicité
    publicite sponsorisé sponsorise sponsorisée partenariatrémunéré collaborationcommerciale pubblicità
    pubblicita sponsorizzato sponsorizzata advertisingpost contenutosponsorizzato pr 広告 タイアップ プロモーション 提供
    案件 スポンサー 광고 유료광고 유료광고포함 협찬 유료협찬 협찬광고 광고포함 제작비지원 реклама нативнаяреклама спонсор विज्ञापन प्रायोजित
    सशुल्कसाझेदारी पेडपार्टनरशिप
    """
)
"""Hashtags that disclose, whole: ``#ad`` but not ``#adventure``; the usual ones of en, es, pt, de, fr, it, ja, ko, ru, hi.

Those of en, de, es and ko were seen in real captions; the others are common wordings that no data at hand confirms.
"""

_PHRASES = (
    r"paid (?:partnership|promotion|collaboration|advertisement|sponsorship)",
    r"(?:includes?|contains?) (?:a )?(?:paid|sponsored) \w+",
    r"(?:is|was|are|been|kindly|proudly) (?:(?!not |never )\w+ )?sponsored by",
    r"(?:^|[\n.!|(\[]\s{0,3})sponsored by",
    r"sponsored (?:post|video|content|ad)\b",
    r"thanks? (?:you )?(?:so much )?to [^\n.!]{1,60} for sponsoring",
    r"thanks? (?:you )?to (?:our|today['’]s|this video['’]s) sponsors?\b",
    r"(?:today|this (?:video|episode))['’]s sponsor\b",
    r"(?:incluye|contiene) (?:promoci[oó]n|promociones|publicidad|contenido) (?:pagad[oa]s?|patrocinad[oa])",
    r"(?:colaboraci[oó]n|asociaci[oó]n|alianza) pagada",
    r"patrocinad[oa] por",
    r"(?:inclui|cont[eé]m) (?:promo[cç][aã]o|publicidade|conte[uú]do) (?:pag[oa]|patrocinad[oa])",
    r"parceria paga",
    r"(?:enth[aä]lt )?bezahlte (?:werbung|partnerschaft|promotion|produktplatzierung|kooperation)",
    r"enth[aä]lt (?:werbung|produktplatzierung)",
    r"gesponsert von",
    r"(?:^|\n|[*\[(])\s{0,3}(?:werbung|anzeige)\s{0,3}(?:$|\n|[:*|/\])-])",
    r"(?:partenariat|collaboration) r[eé]mun[eé]r[eé]e?",
    r"(?:collaboration|communication) commerciale",
    r"sponsoris[eé]e? par",
    r"(?:partnership|collaborazione) (?:pubblicizzata|retribuita|a pagamento)",
    r"(?:include|contiene) (?:contenut[io]|promozion[ei]) (?:promozional[ei] )?(?:a pagamento|sponsorizzat[aio])",
    r"sponsorizzat[oa] da",
    r"(?:プロモーション|広告|タイアップ)(?:を|が)?含(?:みます|む|まれ)",
    r"有料(?:プロモーション|パートナーシップ)|タイアップ(?:動画|投稿|広告)|(?:提供|スポンサー)\s{0,3}[:：]|[【\[]\s{0,3}(?:PR|広告|提供)\s{0,3}[】\]]|の提供でお送り",
    r"유료\s?(?:광고|프로모션|파트너십)(?:를|을|가|이)?\s?(?:포함|입니다|영상)|광고(?:를|가)?\s?포함|협찬(?:을|를)?\s?받|(?:제작\s?)?지원을?\s?받아|[\[(【]\s{0,3}(?:광고|협찬)\s{0,3}[\])】]",
    r"на правах рекламы|рекламная интеграция|партн[её]рский материал|оплаченное партн[её]рство|платное продвижение|\berid\s?[:=]",
    r"(?:^|\n)реклама\.? (?:ооо|ип|ао)\b|спонсор (?:видео|выпуска|ролика)",
    r"सशुल्क (?:साझेदारी|प्रचार|प्रमोशन)|पेड (?:पार्टनरशिप|प्रमोशन)|प्रायोजित|विज्ञापन शामिल",
)
_UNPAID = re.compile(
    r"(?:\bnot|n['’]t|never|non|no|nicht|keine?|un|не) ?(?:a |an |been |is |was |by |está |es |é |eine? )?$",
    re.IGNORECASE,
)
_DISCLOSES = re.compile(
    r"(?<![&/#＃])[#＃](?:" + "|".join(sorted(_TAGS)) + r")(?![\w\u0900-\u097f])|(?<!\w)(?:" + "|".join(_PHRASES) + ")",
    re.IGNORECASE,
)


def is_sponsored(text: str) -> bool:
    """Whether the text says it was paid for, in en, es, pt, de, fr, it, ja, ko, ru or hi; "not sponsored" does not."""
    return any(not _UNPAID.search(text[max(0, m.start() - 24) : m.start()]) for m in _DISCLOSES.finditer(text))
