"""ONNX files: read, folded, brought into normal form, cut into segments."""
