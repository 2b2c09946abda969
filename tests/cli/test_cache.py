"""`seamline cache` says what is on the disk, and removes what can be fetched again."""

from __future__ import annotations

from pathlib import Path

from seamline.model import ModelStore
from seamline.model.store.space import RECEIVED, folder_bytes


def test_what_is_kept_is_listed_and_what_peers_sent_is_pruned(seamline, model_path: Path, open_model_path: Path):
    store = ModelStore()
    own = store.add(model_path)
    sent = store.add(open_model_path, shapes={"image": (1, 3, 32, 32)})
    (sent.folder / RECEIVED).touch()
    before = seamline("cache", "--json").json
    assert {(model["id"], model["name"], model["bytes"], model["is_received"]) for model in before["models"]} == {
        (own.model_id, "tiny", folder_bytes(own.folder), False),
        (sent.model_id, "open", folder_bytes(sent.folder), True),
    }
    assert before["free_bytes"] > 0
    after = seamline("cache", "--json", "--prune").json
    assert after["removed"] == [sent.model_id]
    assert [model["id"] for model in after["models"]] == [own.model_id]
    shown = seamline("cache", "--prune")
    assert shown.exit_code == 0
    assert own.model_id[:12] in shown.stdout
    assert "removed 0 models" in shown.stdout


def test_a_damaged_manifest_is_named_and_stops_nothing(seamline, model_path: Path):
    (ModelStore().add(model_path).folder / "manifest.json").write_bytes(b"\0" * 10)
    assert [model["name"] for model in seamline("cache", "--json").json["models"]] == [""]
    assert "damaged" in seamline("cache").stdout


def test_a_folder_that_is_not_there_holds_nothing_and_is_not_made(seamline, tmp_path: Path):
    found = seamline("cache", "--json", "--prune", "--cache", str(tmp_path / "none")).json
    assert found["models"] == found["removed"] == []
    assert not (tmp_path / "none").exists()
