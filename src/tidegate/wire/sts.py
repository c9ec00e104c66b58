"""STS: who the caller is."""

from tidegate.domain.access import Access
from tidegate.domain.arns import iam_arn
from tidegate.wire.operation import AsyncOperation, OperationCall, Operations, Params


async def get_caller_identity(call: OperationCall, params: Params) -> Params:
    """Each access key is a user of the single account; a caller without a key is the account itself."""
    region, account = call.ctx.region, call.ctx.account
    if not call.caller:
        return {"UserId": account, "Account": account, "Arn": iam_arn(region, account, "root")}
    user = iam_arn(region, account, f"user/{call.caller}")
    return {"UserId": call.caller, "Account": account, "Arn": user}


OPERATIONS: Operations = {"GetCallerIdentity": AsyncOperation(get_caller_identity, Access.READ)}
