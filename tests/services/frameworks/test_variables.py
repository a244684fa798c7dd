"""Environment variables: a list of what passes without trust, not of what does not."""

from __future__ import annotations

import pytest

from console.home import CHECKOUT
from services.frameworks import registry, variables
from services.frameworks.vllm.framework import LOGGED

HARMFUL = [
    "OPENSSL_CONF",
    "OPENSSL_MODULES",
    "OPENSSL_ENGINES",
    "SSL_CERT_FILE",
    "GCONV_PATH",
    "LOCPATH",
    "NLSPATH",
    "MALLOC_CONF",
    "GLIBC_TUNABLES",
    "NCCL_NET_PLUGIN",
    "NCCL_CONF_FILE",
    "NCCL_DEBUG_FILE",
    "https_proxy",
    "ALL_PROXY",
    "OMP_TOOL_LIBRARIES",
    "KMP_SETTINGS",
    "CUDA_INJECTION64_PATH",
    "CUDA_CACHE_PATH",
    "NUMBA_CACHE_DIR",
    "TZDIR",
    "TORCH_HOME",
    "TRITON_CACHE_DIR",
    "HOSTALIASES",
    "RES_OPTIONS",
    "GETCONF_DIR",
    "MAGIC",
    "PERL5OPT",
    "NODE_OPTIONS",
    "JAVA_TOOL_OPTIONS",
    "AWS_ACCESS_KEY_ID",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "TF_CONFIG",
    "anything",
    "model_x",
]
HARMLESS = {
    "OMP_NUM_THREADS": "4",
    "TOKENIZERS_PARALLELISM": "false",
    "LANG": "de_DE.UTF-8",
    "TZ": "Europe/Berlin",
    "KMP_AFFINITY": "granularity=fine,compact,1,0",
    "MODEL_THRESHOLD": "0.5",
    "APP_URL": "https://a.example/x",
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    "OMP_PLACES": "{0:4}",
}


@pytest.mark.parametrize("framework", ["triton", "vllm"])
def test_a_name_that_is_not_listed_needs_trust(framework: str) -> None:
    implementation = registry.get(framework)
    names = [name for name in HARMFUL if not implementation.refused_env([name])]
    assert sorted(implementation.unlisted_env(dict.fromkeys(names, "1"))) == sorted(names)
    assert implementation.unlisted_env(HARMLESS) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TZ", "/etc/passwd"),
        ("TZ", ":/etc/x"),
        ("TZ", "../x"),
        ("LANG", "../../x"),
        ("LANG", "/x"),
        ("LC_ALL", "a/b"),
        ("OMP_NUM_THREADS", "1 --x"),
        ("OMP_NUM_THREADS", ""),
        ("NCCL_DEBUG", "/tmp/x"),
        ("OMP_PLACES", "a\nb"),
    ],
)
def test_a_value_that_could_name_a_file_needs_trust(name: str, value: str) -> None:
    assert "Without trust in the dataset its value must be" in variables.unlisted({name: value})[name]


@pytest.mark.parametrize("framework", ["triton", "vllm"])
@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "TMPDIR",
        "LD_PRELOAD",
        "LD_AUDIT",
        "PYTHONPATH",
        "PYTHONINSPECT",
        "CUDA_VISIBLE_DEVICES",
    ],
)
def test_what_is_ours_is_nobodys_trusted_or_not(framework: str, name: str) -> None:
    assert registry.get(framework).refused_env([name, "MODEL_X"]) == [name]


@pytest.mark.parametrize(
    ("value", "leads"),
    [
        ("/srv/home/store/trees/1/x.so", True),
        ("a=/srv//home/./store", True),
        ("repository/../../x", True),
        ("repository/mine/1/settings.txt", False),
        ("/srv/homework", False),
        ("..", False),
        ("http://a.example/", False),
    ],
)
def test_a_value_that_leads_to_files_of_others_is_told(value: str, leads: bool) -> None:
    assert variables.leads_to(value, ["/srv/home"]) is leads


def test_the_documentation_lists_what_is_listed() -> None:
    text = (CHECKOUT / "docs" / "services.md").read_text()
    names = [name for name in {**variables.LISTED, **LOGGED} if not name.startswith("LC_")]
    assert [name for name in names if f"`{name}`" not in text] == []
    assert all(f"`{prefix}*`" in text for prefix in variables.OWN_PREFIXES)
