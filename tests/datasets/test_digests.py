from __future__ import annotations

import pytest

from datasets.digests import agrees, digest_for

CHECKS = {  # of b"123456789", as the catalogues of CRCs and git have them
    "crc32": "cbf43926",
    "crc32c": "e3069283",
    "crc64nvme": "ae8b14860a799888",
    "md5": "25f9e794323b453885f5181f1b624d0b",
    "sha1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
    "git-sha1": "e2e107ac61ac259b87c544f6e7a4eb03422c6c21",
}


@pytest.mark.parametrize("algorithm", CHECKS)
def test_a_digest_is_what_the_catalogues_say_also_of_pieces_and_copies(algorithm: str) -> None:
    check = f"{algorithm}:{CHECKS[algorithm]}"
    digest = digest_for(check, 9)
    assert digest is not None
    digest.update(b"1234")
    other = digest.copy()
    digest.update(b"")
    digest.update(memoryview(b"56789"))
    assert agrees(check, digest)
    assert agrees(check.upper().replace(algorithm.upper(), algorithm), digest)
    other.update(b"5678 ")
    assert not agrees(check, other)


def test_what_nobody_knows_is_not_computed() -> None:
    assert digest_for("", 9) is None
    assert digest_for("md4:00", 9) is None
