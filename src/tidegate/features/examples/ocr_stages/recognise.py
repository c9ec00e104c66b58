"""Second stage: a picture to its lines of text, by Tesseract (the program ``tesseract``, with its English model)."""

import os
import subprocess

SECONDS = 120
COMMAND = ("tesseract", "stdin", "stdout", "--psm", "6", "-l", "eng", "--dpi", "200")


class Stage:
    def predict(self, body: bytes) -> tuple[str, str]:
        one_thread = {**os.environ, "OMP_THREAD_LIMIT": "1"}
        done = subprocess.run(COMMAND, input=body, capture_output=True, timeout=SECONDS, env=one_thread)
        if done.returncode:
            reason = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise RuntimeError(f"tesseract ended with {done.returncode}: {''.join(reason)}")
        return done.stdout.decode("utf-8", "replace"), "text/plain"
