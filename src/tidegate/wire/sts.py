"""STS: who the caller is."""

from tidegate.wire.operation import Call, Free, Params, Rows


async def get_caller_identity(call: Call, params: Params) -> Params:
    """An access key is a user of the one account; a caller without one is the account itself."""
    account = call.ctx.account
    if not call.access_key:
        return {"UserId": account, "Account": account, "Arn": f"arn:aws:iam::{account}:root"}
    arn = f"arn:aws:iam::{account}:user/{call.access_key}"
    return {"UserId": call.access_key, "Account": account, "Arn": arn}


ROWS: Rows = {"GetCallerIdentity": Free(get_caller_identity)}
