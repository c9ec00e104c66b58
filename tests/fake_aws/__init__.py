"""AWS in memory, as far as the SageMaker target uses it, with AWS's unpleasant sides.

boto3's real clients talk to it: ``FakeAws.session()`` answers their HTTP requests before these leave the process.
Visibility is delayed, rollbacks are silent, creations hang, calls are throttled, and answers get lost after the call
was carried out. Time is virtual: ``FakeClock.sleep`` moves it.

It is not AWS. What it does is what AWS's documentation, botocore's models and users' reports say
(docs/targets-sagemaker.md has the list).
"""

from tests.fake_aws.account import FakeAws
from tests.fake_aws.clock import FakeClock
from tests.fake_aws.faults import AwsRefusal

__all__ = ["AwsRefusal", "FakeAws", "FakeClock"]
