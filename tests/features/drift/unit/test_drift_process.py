"""Processes of analyses: what ends the server's does not end theirs by chance, and none is left behind."""

import asyncio
import os
import socket
from contextlib import suppress

import psutil

from tidegate.features.drift.process import ProcessAnalyst
from tidegate.features.monitor.processing_loop import MonitorProcesses
from tidegate.features.monitor.processing_records import BaselineJob, BaselineTask, DatasetFormat, StorageAccess


async def find_child(before: set[int]) -> psutil.Process:
    async with asyncio.timeout(300):
        while True:
            for child in psutil.Process().children():
                if child.pid not in before:
                    return child
            await asyncio.sleep(0.01)


async def test_ctrl_c_at_the_servers_terminal_is_not_sent_to_an_analysis() -> None:
    """It would end with an error, and a job with it, before the server breaks it off to run it again."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        access = StorageAccess(f"http://127.0.0.1:{silent.getsockname()[1]}", "us-east-1")
        work = BaselineJob("s3://data/train.csv", DatasetFormat(), "s3://data/base")
        before = {child.pid for child in psutil.Process().children()}
        analyst = MonitorProcesses(ProcessAnalyst(dict(os.environ)))
        task = asyncio.create_task(analyst.baseline(BaselineTask(work, access), 60.0))
        child = await find_child(before)
        apart = os.getpgid(child.pid) != os.getpgid(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert apart and not child.is_running()
