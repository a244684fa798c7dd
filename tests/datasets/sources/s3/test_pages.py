"""Pages of listings are what the official client makes of them."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import ParseError

import pytest
from botocore.parsers import RestXMLParser
from botocore.session import Session

from datasets.sources.s3.pages import likely_next, read_page

ROWS = """
<Contents><Key>{key}</Key><LastModified>2026-11-01T10:00:00.000Z</LastModified><ETag>&quot;abc-2&quot;</ETag>
<Size>16384</Size><StorageClass>STANDARD</StorageClass></Contents>
<Contents><Key>empty</Key><ETag>"d41d"</ETag><Size>0</Size></Contents>
<CommonPrefixes><Prefix>a/{key}/</Prefix></CommonPrefixes>
"""


def listing(rows: str, more: str = "", space: str = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"') -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult{space}><Name>models</Name>{more}{rows}'
        "</ListBucketResult>"
    ).encode()


def official(text: bytes) -> dict[str, Any]:
    model = Session().get_service_model("s3").operation_model("ListObjectsV2")
    parsed = RestXMLParser(timestamp_parser=str).parse(
        {"body": text, "headers": {}, "status_code": 200}, model.output_shape
    )
    return {name: parsed[name] for name in ("Contents", "CommonPrefixes") if name in parsed}


@pytest.mark.parametrize("key", ["1/weights.bin", "a&amp;b &lt;c&gt;", "模型/权重", "&#xFFFD;", " two  spaces "])
def test_rows_are_those_of_the_official_client(key: str) -> None:
    text = listing(ROWS.format(key=key))
    page = read_page(text)
    assert {name: page[name] for name in ("Contents", "CommonPrefixes")} == official(text)


def test_names_that_were_sent_encoded_are_decoded() -> None:
    text = listing(ROWS.format(key="a%2Fb+c%20%E6%A8%A1"), "<EncodingType>url</EncodingType>")
    page = read_page(text)
    assert page["Contents"][0]["Key"] == "a/b c 模"
    assert page["CommonPrefixes"][0]["Prefix"] == "a/a/b c 模/"
    assert page["Contents"][0]["ETag"] == '"abc-2"'


def test_names_that_look_encoded_and_are_not_stay() -> None:
    assert read_page(listing(ROWS.format(key="a%2Fb+c")))["Contents"][0]["Key"] == "a%2Fb+c"


@pytest.mark.parametrize("space", ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', ' xmlns="urn:other"'])
def test_a_listing_says_whether_it_goes_on(space: str) -> None:
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>abc=</NextContinuationToken>"
    page = read_page(listing("", more, space))
    assert (page["IsTruncated"], page["NextContinuationToken"], page["Contents"]) == (True, "abc=", [])
    assert read_page(listing("", "", space))["IsTruncated"] is False


@pytest.mark.parametrize("token", ["abc=", "1/a+b/c==", "&amp;", "ab c", "模", "", "&#65;"])
def test_the_likely_next_page_is_the_next_one_or_none(token: str) -> None:
    text = listing("", f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>")
    assert likely_next(text) in {"", read_page(text)["NextContinuationToken"]}
    assert bool(likely_next(text)) == (token in {"abc=", "1/a+b/c=="})


@pytest.mark.parametrize("text", [b"", b"<html><body>Welcome</body></html>", b"{}", b"<ListBucketResult>", b"\xff\xfe"])
def test_what_is_no_listing_is_refused(text: bytes) -> None:
    with pytest.raises((ParseError, ValueError)):
        read_page(text)


def test_a_size_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="many"):
        read_page(listing("<Contents><Key>a</Key><Size>many</Size></Contents>"))


def test_entities_that_grow_without_end_are_refused() -> None:
    head = (
        '<!DOCTYPE x [<!ENTITY a "'
        + "a" * 1000
        + '">'
        + "".join(f'<!ENTITY {to} "{f"&{of};" * 100}">' for of, to in ("ab", "bc", "cd"))
        + "]>"
    )
    with pytest.raises(ParseError):
        read_page(f"{head}<ListBucketResult>&d;</ListBucketResult>".encode())
