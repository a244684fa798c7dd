"""What model files say of themselves, read on a CPU without the libraries that would load them. No Django.

recognise.py    what a folder is, from its listing and a few small files; not_models.py what only looks like one
folder.py       inspect(path): one look at a folder, in bounded time and memory
listing.py      the files below it
report.py       what comes of it, as plain values and JSON
executable.py   what would run as code
triton/ huggingface/   models for Triton and for vLLM
config_pbtxt/   config.pbtxt by itself
formats/        single files: ONNX, safetensors, GGUF, Keras, pickles
windows_text.py          text files that a server cannot read because of how Windows writes them
budget.py errors.py      what one look may cost, and what readers raise
"""
