"""The codes of lid.176, the names by which people call the most frequent of them, and how other models write them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

CODES = frozenset(
    "af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb co cs cv cy da de "
    "diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he hi hif hr hsb ht hu hy ia id ie ilo "
    "io is it ja jbo jv ka kk km kn ko krc ku kv kw ky la lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms "
    "mt mwl my myv mzn nah nap nds ne new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn "
    "sco sd sh si sk sl so sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu xal xmf "
    "yi yo yue zh".split()
)
NAMES = {
    "afrikaans": "af", "albanian": "sq", "amharic": "am", "arabic": "ar", "armenian": "hy", "azerbaijani": "az",
    "basque": "eu", "belarusian": "be", "bengali": "bn", "bosnian": "bs", "breton": "br", "bulgarian": "bg",
    "burmese": "my", "cantonese": "yue", "catalan": "ca", "chinese": "zh", "croatian": "hr", "czech": "cs",
    "danish": "da", "deutsch": "de", "dutch": "nl", "english": "en", "esperanto": "eo", "estonian": "et",
    "farsi": "fa", "filipino": "tl", "finnish": "fi", "french": "fr", "galician": "gl", "georgian": "ka",
    "german": "de", "greek": "el", "gujarati": "gu", "hebrew": "he", "hindi": "hi", "hungarian": "hu",
    "icelandic": "is", "indonesian": "id", "irish": "ga", "italian": "it", "japanese": "ja", "kannada": "kn",
    "kazakh": "kk", "khmer": "km", "korean": "ko", "kurdish": "ku", "lao": "lo", "latin": "la", "latvian": "lv",
    "lithuanian": "lt", "macedonian": "mk", "malay": "ms", "malayalam": "ml", "mandarin": "zh", "marathi": "mr",
    "mongolian": "mn", "nepali": "ne", "norwegian": "no", "bokmal": "no", "nynorsk": "nn", "persian": "fa",
    "polish": "pl", "portuguese": "pt", "punjabi": "pa", "romanian": "ro", "russian": "ru", "serbian": "sr",
    "sinhala": "si", "slovak": "sk", "slovenian": "sl", "somali": "so", "spanish": "es", "swahili": "sw",
    "swedish": "sv", "tagalog": "tl", "tamil": "ta", "telugu": "te", "thai": "th", "tibetan": "bo", "turkish": "tr",
    "ukrainian": "uk", "urdu": "ur", "uzbek": "uz", "vietnamese": "vi", "welsh": "cy", "yiddish": "yi",
}  # fmt: skip


# ISO 639-3 codes, as GlotLID and others have them (`deu_Latn`), of the languages above.
_LONG = (
    "ara:ar arb:ar bul:bg cat:ca ces:cs dan:da deu:de ell:el eng:en spa:es est:et ekk:et eus:eu fas:fa pes:fa "
    "fin:fi fra:fr glg:gl heb:he hin:hi hrv:hr hun:hu ind:id ita:it jpn:ja kor:ko lit:lt lav:lv lvs:lv nld:nl "
    "nor:no nob:no pol:pl por:pt ron:ro rus:ru slk:sk slv:sl swe:sv tur:tr ukr:uk vie:vi zho:zh cmn:zh "
).split()
SHORT = {long: name for long, _, name in (pair.partition(":") for pair in _LONG)}
# A label of GlotLID and its likes: a code of ISO 639-3 and a script of ISO 15924.
_LABEL = re.compile(r"([a-z]{2,3})(?:_[a-z]{4})?")


def short(label: str) -> str:
    """`deu_Latn`, `DEU` and `de` -> `de`: the name that a language has in the tables here."""
    found = _LABEL.fullmatch(label.lower())
    return SHORT.get(found[1], found[1]) if found else label.lower()


def same(code: str, label: str) -> bool:
    """Whether a code asks for a label: equal but for case, or the same language where one of them names no script."""
    if code.lower() == label.lower():
        return True
    return not ("_" in code and "_" in label) and short(code) == short(label)


def nearest(code: str, labels: Collection[str] = CODES) -> str | None:
    """Return the label that is probably meant: by the name of the language, or the most similar one."""
    name = difflib.get_close_matches(code.lower(), NAMES, n=1, cutoff=0.75)
    meant = NAMES[name[0]] if name else code.lower().replace("_", "-").partition("-")[0]
    for label in sorted(labels):
        if same(meant, label):
            return label
    close = difflib.get_close_matches(meant, sorted(labels), n=1)
    return close[0] if close else None
