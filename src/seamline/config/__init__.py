"""Files that people write, read into frozen values: TOML with helpful errors, testbeds, and where caches live.

Nothing here starts or measures anything; `seamline.testbed` brings a `Testbed` to life.
"""

from seamline.config.paths import cache_dir
from seamline.config.testbed import ChangeSpec, LifeSpec, LinkSpec, LoadSpec, NodeSpec, SceneSpec, Testbed
from seamline.config.testbed_file import load_testbed
from seamline.config.toml import convert, load_toml
from seamline.config.trace import Trace, read_trace, recorded_names, trace_path

__all__ = [
    "Testbed",
    "NodeSpec",
    "LinkSpec",
    "ChangeSpec",
    "LoadSpec",
    "LifeSpec",
    "SceneSpec",
    "load_testbed",
    "Trace",
    "read_trace",
    "recorded_names",
    "trace_path",
    "load_toml",
    "convert",
    "cache_dir",
]
