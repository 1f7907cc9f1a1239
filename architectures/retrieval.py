"""Which texts are most like another: TF-IDF and cosine (Salton and Buckley 1988, doi.org/10.1016/0306-4573(88)90021-0)."""

AT_ONCE = 256  # queries that are compared at a time


def nearest(documents: list[str], queries: list[str]) -> list[int]:
    """For each query the place of the document that is most like it; of several the first."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    known = vectorizer.fit_transform(documents).T.tocsr()
    asked = vectorizer.transform(queries)
    found: list[int] = []
    for start in range(0, len(queries), AT_ONCE):
        found += (asked[start : start + AT_ONCE] @ known).toarray().argmax(1).tolist()
    return found
