"""boto3 as its guide has it: list the bucket, and download_file for each object. Keys come from the environment.

python boto_mover.py <bucket> <folder>
"""

import os
import sys
from pathlib import Path

import boto3

bucket, folder = sys.argv[1], Path(sys.argv[2])
client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
    for row in page.get("Contents", []):
        target = folder / row["Key"]
        target.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, row["Key"], str(target))
