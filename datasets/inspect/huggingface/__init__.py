"""Models for vLLM: model.py reads config.json and weights, memory.py estimates the GPU, summary.py puts it in words."""
