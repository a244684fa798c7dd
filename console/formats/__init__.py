"""How text files, sizes, durations and numbers of protocol buffers are written. Imports nothing of ours."""
