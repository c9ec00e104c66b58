"""The process that runs one batch transform job: reads objects, invokes the job's workers, writes their answers."""
