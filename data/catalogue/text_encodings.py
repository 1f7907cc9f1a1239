"""The likeliest encoding of a text that is not UTF-8, by its letters."""

import re

# Encodings that spreadsheets and shops write, the most frequent first. A guess is one of them.
ENCODINGS = (
    "cp1252 cp1251 cp932 gb18030 cp949 big5 cp1250 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp874"
).split()
WITHIN_WORDS = "\u2019\u2018\u00b7\u2013\u2011"  # the apostrophe, the Catalan dot, dashes
NEAR = 0.05  # of the measures of charset_normalizer, within which encodings are as likely


def likely_encoding(text: bytes) -> str:
    """One of `ENCODINGS`: the most frequent one of those that give text of letters as the best does."""
    from charset_normalizer import from_bytes

    matches = list(from_bytes(text, cp_isolation=list(ENCODINGS)))
    if not matches:
        return ENCODINGS[0]
    least, most = matches[0].chaos + NEAR, matches[0].coherence - NEAR
    likely = [match for match in matches if match.chaos <= least and match.coherence >= most]
    names = {name for match in likely for name in (match.encoding, *match.could_be_from_charset)}
    sound = [name for name in ENCODINGS if name in names and not _breaks_words(text.decode(name, "replace"))]
    return next(iter(sound), matches[0].encoding)


def _breaks_words(text: str) -> bool:
    """Whether a sign beyond ASCII stands between two letters, as in a text that is read in a wrong encoding:
    "bawe\u00b3niana".
    """
    inner = re.findall(r"(?<=[^\W\d_])[^\x00-\x7f](?=[^\W\d_])", text)
    return any(not sign.isalpha() and sign not in WITHIN_WORDS for sign in inner)
