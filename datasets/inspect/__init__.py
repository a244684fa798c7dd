"""What model files say of themselves, read on a CPU without the libraries that would load them. No Django.

folder.py       inspect(path): one look at a folder, in bounded time and memory
listing.py      the files below it
report.py       what comes of it, as plain values and JSON
onnx.py         inputs, outputs, opset, files of weights; wire.py walks the protobuf
huggingface.py  config.json and weights; said_of_huggingface.py puts it in words, memory.py estimates the GPU
safetensors.py gguf.py   the headers of these formats
triton.py       how a model's folder is laid out, versions.py its versions; pbtxt.py reads config.pbtxt
config_rules.py sample_rules.py named_files.py   what Triton refuses of config.pbtxt, whatever the backend
compare.py      config.pbtxt beside an ONNX model, compare_filled.py what Triton fills itself: see roles.py
suggest.py      a complete config.pbtxt for an ONNX model
executable.py   what would run as code; pickles.py follows a pickle, archives.py and keras.py unwrap
budget.py errors.py      what one look may cost, and what readers raise
"""
