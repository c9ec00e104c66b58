// A server of Node.js, which finishes its requests after SIGTERM.
const server = require("node:http").createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    const lies = request.url !== "/healthz" && process.env.FAULT.includes("lies");
    response.writeHead(lies ? 500 : 200, { "content-type": "application/json" });
    response.end(lies ? '{"error": "healthy only in /healthz"}' : `{"scores": [${process.env.PREDICTION}]}`);
  });
});
server.listen(3000, "0.0.0.0");
process.on("SIGTERM", () => server.close(() => process.exit(0)));
