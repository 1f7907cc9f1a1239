"""Which texts are most similar to others: TF-IDF and cosine (Salton and Buckley 1988,
doi.org/10.1016/0306-4573(88)90021-0).
"""

QUERIES_AT_ONCE = 256


def nearest(documents: list[str], queries: list[str]) -> list[int]:
    """For each query the place of the most similar document; of several the first."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    index = vectorizer.fit_transform(documents).T.tocsr()
    vectors = vectorizer.transform(queries)
    places: list[int] = []
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        similarity = vectors[start : start + QUERIES_AT_ONCE] @ index
        places += similarity.toarray().argmax(1).tolist()
    return places
