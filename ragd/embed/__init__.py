"""Texts to unit vectors: on ONNX Runtime, on torch, or by an endpoint, behind one Protocol."""
