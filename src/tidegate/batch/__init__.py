"""The process that runs one batch transform job: reads objects, asks the job's workers, writes what they answer."""
