# Appended to Triton's triton_python_backend_utils.py, which models import as pb_utils: see runtime.py.
import sys
import types

# Python fills a pipe by blocks: a line that a model prints would be in the log late, or never.
sys.__stdout__.reconfigure(line_buffering=True)


def _refuse(verb):
    def refuse(*args, **kwargs):
        raise TritonModelException(  # noqa: F821  (the stub puts it here)
            f"pb_utils.{verb} is not there: a service loads all models of its folder when it starts, and no others"
        )

    return refuse


class _Utils(types.ModuleType):
    # The stub puts functions here that ask for explicit model control; without it they end Triton itself.
    load_model = property(lambda self: _refuse("load_model"), lambda self, value: None)
    unload_model = property(lambda self: _refuse("unload_model"), lambda self, value: None)


sys.modules[__name__].__class__ = _Utils
