"""Readers of single files: what each format says of itself. They know nothing of servers.

onnx.py         inputs, outputs, opset, files of weights; protobuf.py walks the wire format
safetensors.py gguf.py   the headers of these formats
pickles.py      follows a pickle; pickle_files.py and keras.py unwrap
"""
