"""Sources of frames: files, cameras, network streams, pipes and pictures, each frame with its stamp.

`opening.py` finds the source that a text names. `frames.py` says what a source is; `video.py`, `pictures.py` and
`playlist.py` are the kinds. What keeps a video going is `healing.py`; a device says only how it is opened and read
(`devices.py`). How a picture becomes the network's input is not known here.
"""
