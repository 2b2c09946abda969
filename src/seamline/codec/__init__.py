"""Codecs of boundary tensors and camera frames for the wire: raw, lossless, f16, u8, fewer bits, JPEG.

`tensors.py` is the door (`encode`, `decode`); `lossless.py`, `quantise.py` (on `kernels.py`), `symbols.py` and
`jpeg.py` do the work,
`fidelity.py` says which values a lossy codec must leave alone,
`opencv.py` loads OpenCV quietly, and `calibration.py` measures what a codec costs on this machine. Framing of whole
messages is `fabric/wire.py`.
"""

from seamline.codec.calibration import measure_costs, sample_frame
from seamline.codec.jpeg import JPEG_TENSOR
from seamline.codec.tensors import Encoded, decode, encode

__all__ = ["encode", "decode", "Encoded", "measure_costs", "sample_frame", "JPEG_TENSOR"]
