"""The size of the caches is read from Linux, and survives systems that tell nothing or nonsense."""

from pathlib import Path

from seamline.meters.caches import DEFAULT_BYTES, MAX_BYTES, CacheFlusher, last_cache_bytes


def cache(folder: Path, **sizes: str) -> Path:
    for name, size in sizes.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "size").write_text(size)
    return folder


def test_the_largest_cache_counts(tmp_path: Path) -> None:
    assert last_cache_bytes(cache(tmp_path, index0="64K\n", index2="1024K\n", index3="32768K\n")) == 32 << 20


def test_a_usual_size_stands_for_an_unknown_one(tmp_path: Path) -> None:
    assert last_cache_bytes(tmp_path / "missing") == DEFAULT_BYTES
    assert last_cache_bytes(cache(tmp_path, index0="plenty")) == DEFAULT_BYTES


def test_an_enormous_cache_is_refused(tmp_path: Path) -> None:
    assert last_cache_bytes(cache(tmp_path, index3="9999999K")) == MAX_BYTES


def test_flushing_works_on_any_size() -> None:
    for n_bytes in (1, 64, 1000):
        CacheFlusher(n_bytes)()
