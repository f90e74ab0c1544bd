"""Metrics as tables show them. Their names in JSON and in settings, such as ``hit@10``, differ."""

__all__ = ["metric_title"]

_TITLES = {"hit": "HR", "ndcg": "NDCG", "mrr": "MRR", "arp": "ARP", "gini": "Gini"}


def metric_title(name: str) -> str:
    """The name of a metric as papers write it: ``HR@10`` for ``hit@10``, ``HR`` for ``hit``."""
    metric, at, cutoff = name.partition("@")
    return _TITLES.get(metric, metric) + at + cutoff
