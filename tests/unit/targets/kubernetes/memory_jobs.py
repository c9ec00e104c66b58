"""The API server in memory, with a controller of Jobs without completions, which is all that tidegate makes."""

import copy
from dataclasses import dataclass

import httpx2

from tests.unit.targets.kubernetes.memory_api_server import MemoryApiServer, Object, is_leaving


@dataclass
class MemoryJobServer(MemoryApiServer):
    def settle(self) -> None:
        super().settle()
        for job in [one for (plural, _), one in self.objects.items() if plural == "jobs"]:
            self._follow_job(job)

    def _store(self, plural: str, given: Object, old: Object | None, manager: str) -> Object:
        fresh = super()._store(plural, given, old, manager)
        if plural == "jobs":
            self._follow_job(fresh)
        return fresh

    def _delete(self, request: httpx2.Request, plural: str, name: str) -> httpx2.Response:
        answer = super()._delete(request, plural, name)
        if plural == "jobs":
            self._let_go()
        return answer

    def _follow_job(self, job: Object) -> None:
        """Once a pod has succeeded no other is started, and the Job ends with the last one."""
        name, labels = job["metadata"]["name"], job["spec"]["template"]["metadata"]["labels"]
        pods = [one for one in self.pods() if one["metadata"].get("of") == name]
        phases = [one["status"].get("phase") for one in pods if not is_leaving(one)]
        active = sum(phase not in ("Succeeded", "Failed") for phase in phases)
        if "Succeeded" in phases:
            if not active:
                job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
            return
        for _ in range(job["spec"]["parallelism"] - active):
            number = next(self._addresses)
            about = {"name": f"{name}-{number}", "uid": f"pod-{number}", "of": name, "labels": labels}
            spec = copy.deepcopy(job["spec"]["template"]["spec"])
            pod = {"metadata": about, "spec": spec, "status": {"phase": "Running", "podIP": f"10.9.0.{number}"}}
            self.start(pod)
            self.objects["pods", about["name"]] = pod

    def _let_go(self) -> None:
        """Pods whose Deployment or Job is gone."""
        names = {name for plural, name in self.objects if plural in ("deployments", "jobs")}
        for pod in self.pods():
            if pod["metadata"].get("of") not in names:
                pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
