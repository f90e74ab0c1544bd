"""The public data sets that seqzoo knows by name: where they are and how they are verified.

Plain data, so that listing it imports nothing. The md5 sums are GroupLens's own; the sha256 sums
were computed from archives whose md5 agreed. ``counts`` are users, items and interactions after
the iterative 5-core filter.
"""

from typing import TypedDict

__all__ = ["DATASETS", "CatalogueEntry"]


class CatalogueEntry(TypedDict):
    """The fields of one data set, as ``seqzoo.specs.DatasetSpec`` reads them."""

    name: str
    url: str | None
    size: int | None
    md5: str | None
    sha256: str | None
    licence: str
    terms: str
    citation: str
    target: str | None
    counts: tuple[int, int, int] | None
    description: str


_GROUPLENS = "https://files.grouplens.org/datasets/movielens"
_SNAP = "http://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
_AMAZON_PAGE = "https://jmcauley.ucsd.edu/data/amazon/"

_RESEARCH_ONLY = (
    "GroupLens: research use; no redistribution and no commercial use without permission"
)
_SAME_TERMS = (
    "GroupLens: research use; redistribution under the same terms; "
    "no commercial use without permission"
)
_AMAZON = "no licence stated by the publisher; research use"

_HARPER = (
    "F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. "
    "ACM TiiS 5, 4, Article 19. https://doi.org/10.1145/2827872"
)
_MCAULEY = (
    "Julian McAuley, Christopher Targett, Qinfeng Shi and Anton van den Hengel. 2015. Image-Based "
    "Recommendations on Styles and Substitutes. SIGIR 2015. https://doi.org/10.1145/2766462.2767755"
)

DATASETS: list[CatalogueEntry] = [
    {
        "name": "ml-100k",
        "url": f"{_GROUPLENS}/ml-100k.zip",
        "size": 4_924_029,
        "md5": "0e33842e24a9c977be4e0107933c0723",
        "sha256": "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        "licence": _RESEARCH_ONLY,
        "terms": f"{_GROUPLENS}/ml-100k-README.txt",
        "citation": _HARPER,
        "target": None,
        "counts": (943, 1_349, 99_287),
        "description": "MovieLens-100K: 100,000 film ratings, 1997 to 1998",
    },
    {
        "name": "ml-1m",
        "url": f"{_GROUPLENS}/ml-1m.zip",
        "size": None,
        "md5": "c4d9eecfca2ab87c1945afe126590906",
        "sha256": "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        "licence": _RESEARCH_ONLY,
        "terms": f"{_GROUPLENS}/ml-1m-README.txt",
        "citation": _HARPER,
        "target": None,
        "counts": (6_040, 3_416, 999_611),
        "description": "MovieLens-1M: a million film ratings, 2000 to 2003",
    },
    {
        "name": "ml-20m",
        "url": f"{_GROUPLENS}/ml-20m.zip",
        "size": 198_702_078,
        "md5": "cd245b17a1ae2cc31bb14903e1204af3",
        "sha256": "96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3",
        "licence": _SAME_TERMS,
        "terms": f"{_GROUPLENS}/ml-20m-README.html",
        "citation": _HARPER,
        "target": None,
        "counts": None,
        "description": "MovieLens-20M: 20 million film ratings, 1995 to 2015",
    },
    {
        "name": "ml-latest-small",
        "url": f"{_GROUPLENS}/ml-latest-small.zip",
        "size": None,
        "md5": None,
        "sha256": None,
        "licence": _SAME_TERMS,
        "terms": f"{_GROUPLENS}/ml-latest-small-README.html",
        "citation": _HARPER,
        "target": None,
        "counts": None,
        "description": "MovieLens latest-small: 100,000 film ratings; the publisher updates it",
    },
    {
        "name": "amazon-beauty",
        "url": f"{_SNAP}/ratings_Beauty.csv",
        "size": None,
        "md5": None,
        "sha256": None,
        "licence": _AMAZON,
        "terms": _AMAZON_PAGE,
        "citation": _MCAULEY,
        "target": None,
        "counts": (22_363, 12_101, 198_502),
        "description": "Amazon Beauty 2014: product ratings, timestamps are dates, no titles",
    },
    {
        "name": "amazon-video-games",
        "url": f"{_SNAP}/ratings_Video_Games.csv",
        "size": None,
        "md5": None,
        "sha256": None,
        "licence": _AMAZON,
        "terms": _AMAZON_PAGE,
        "citation": _MCAULEY,
        "target": None,
        "counts": (24_303, 10_672, 231_780),
        "description": "Amazon Video Games 2014: product ratings, timestamps are dates, no titles",
    },
]
