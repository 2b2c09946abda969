"""How boundary tensors and camera frames are put on the wire: raw, f16, u8 and JPEG.

`tensors.py` is the door (`encode`, `decode`); `kernels.py` holds the arithmetic, `jpeg.py` the camera frame and
`calibration.py` what a codec costs on this machine. Framing of whole messages is `fabric/wire.py`.
"""

from seamline.codec.calibration import measure_costs
from seamline.codec.jpeg import JPEG_TENSOR
from seamline.codec.tensors import Encoded, decode, encode

__all__ = ["encode", "decode", "Encoded", "measure_costs", "JPEG_TENSOR"]
