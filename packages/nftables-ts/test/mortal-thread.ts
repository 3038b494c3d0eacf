import { parentPort } from "node:worker_threads";
import { isRequest } from "../src/worker-protocol.ts";

/** Echoes requests with their number in this thread, and dies on demand. */
let calls = 0;
parentPort?.on("message", (request: unknown) => {
  if (!isRequest(request)) throw new TypeError("no request");
  if (request.text === "throw") throw new Error("thrown in the thread");
  if (request.text === "exit") process.exit(3);
  calls += 1;
  parentPort?.postMessage({ output: `thread ${calls}: ${request.text}` });
});
