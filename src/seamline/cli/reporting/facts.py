"""Parts that several kinds of chapters share: facts, and who measured."""

from __future__ import annotations

from collections.abc import Mapping

from seamline.core.recording.provenance import Provenance
from seamline.core.vocabulary.quantities import gigabytes
from seamline.report.document import Parts, heading, table


def fact_table(facts: Mapping[str, object]) -> Parts:
    """Names and values; what is None is left out."""
    return table(("", ""), ((name, str(value)) for name, value in facts.items() if value is not None))


def provenance_parts(made_by: Provenance | None, facts: Mapping[str, object]) -> Parts:
    """Which machine and versions, and what else it takes to run it again."""
    found: dict[str, object] = dict(facts)
    if made_by is None:
        found["versions"] = "not said by the file: an older version wrote it"
    else:
        found |= {
            "Seamline": made_by.version,
            "date": made_by.date,
            "machine": f"{made_by.cpu}, {made_by.n_cores} cores, {gigabytes(made_by.memory_bytes)}",
            "system": f"{made_by.platform}, Python {made_by.python}, ONNX Runtime {made_by.onnxruntime}",
        }
    return heading("Machine, versions and settings") + fact_table(found)
