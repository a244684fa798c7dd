"""Programs that `make bench-preheat` measures, each as a process of its own."""
