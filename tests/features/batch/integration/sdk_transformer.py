"""Run by the Python of the SageMaker SDK v2: ``sdk_transformer.py URL BUCKET INPUT OUTPUT``.

A user's own lines: a Transformer on a session whose clients go to URL; its job is waited for with its logs.
"""

import sys

import boto3
import sagemaker
from sagemaker.transformer import Transformer


def main(url: str, bucket: str, source: str, output: str) -> None:
    boto_session = boto3.Session(region_name="us-east-1")
    session = sagemaker.Session(
        boto_session=boto_session,
        sagemaker_client=boto_session.client("sagemaker", endpoint_url=url),
        default_bucket=bucket,
    )
    transformer = Transformer(
        model_name="m",
        instance_count=1,
        instance_type="ml.m5.large",
        strategy="MultiRecord",
        assemble_with="Line",
        accept="text/csv",
        output_path=output,
        max_concurrent_transforms=2,
        max_payload=1,
        sagemaker_session=session,
        base_transform_job_name="by-sdk",
    )
    transformer.transform(
        source,
        content_type="text/csv",
        split_type="Line",
        input_filter="$[1:]",
        join_source="Input",
        output_filter="$[0,-1]",
        wait=True,
        logs=True,
    )
    attached = Transformer.attach(transformer.latest_transform_job.name, sagemaker_session=session)
    print("job", transformer.latest_transform_job.name, attached.output_path)


if __name__ == "__main__":
    main(*sys.argv[1:])
