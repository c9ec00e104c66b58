// Resumes a batch job, after a confirmation; what becomes of it is told by the page's stream.
import { confirmCommands, find, show } from "./confirmation.js";

confirmCommands({
  attribute: "resume",
  record: "list",
  describe: ({ label, resume, records }) => ({
    title: `${label}: ${resume}?`,
    about: `${records} objects are finished. It goes on after them, with the same model, input and output.`,
    line: `tidegate batch resume ${resume}`,
  }),
  request: ({ resume }) => ({ path: `/tidegate/v1/transforms/${encodeURIComponent(resume)}/resume`, body: {} }),
  finish: ({ resume }, told) => show(find("done"), `${resume}: resumed. Now: ${told.status}`),
});
