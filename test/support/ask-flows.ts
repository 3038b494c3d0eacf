/*
 * Sends one request for each flow of a JSON file (see AskedFlow), each from its own source port, and prints who answered
 * as a JSON list; "" for a flow that nobody answered. Run in a client's namespace.
 */
import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { z } from "zod";

const TIMEOUT_MS = 3000;
const CONCURRENCY = 64;

const flowsSchema = z.array(
  z.object({
    protocol: z.enum(["tcp", "udp"]),
    source: z.string(),
    sourcePort: z.int(),
    destination: z.string(),
    destinationPort: z.int(),
  }),
);
type AskedFlow = z.infer<typeof flowsSchema>[number];

const nameOf = (answer: Buffer): string => answer.toString("latin1").split("\n")[0] ?? "";

function askTcp({ source, sourcePort, destination, destinationPort }: AskedFlow): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: destination, port: destinationPort, localAddress: source, localPort: sourcePort });
    const timer = setTimeout(() => end(""), TIMEOUT_MS);
    const end = (name: string): void => {
      clearTimeout(timer);
      // Without TIME-WAIT, so that the same ports can be used again at once.
      socket.resetAndDestroy();
      resolve(name);
    };
    socket.once("connect", () => socket.write("who\n"));
    socket.once("data", (data) => end(nameOf(Buffer.from(data))));
    socket.once("error", (error) => ("code" in error && error.code === "EADDRINUSE" ? reject(error) : end("")));
  });
}

function askUdp({ source, sourcePort, destination, destinationPort }: AskedFlow): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(destination.includes(":") ? "udp6" : "udp4");
    const timer = setTimeout(() => end(""), TIMEOUT_MS);
    const end = (name: string): void => {
      clearTimeout(timer);
      socket.close(() => resolve(name));
    };
    socket.once("error", reject);
    socket.once("message", (data) => end(nameOf(data)));
    socket.bind(sourcePort, source, () => socket.send("who\n", destinationPort, destination));
  });
}

const [file = ""] = process.argv.slice(2);
const flows = flowsSchema.parse(JSON.parse(readFileSync(file, "utf8")));
const answers: string[] = flows.map(() => "");
const queue = flows.entries();
await Promise.all(
  Array.from({ length: CONCURRENCY }, async () => {
    for (const [index, flow] of queue) answers[index] = await (flow.protocol === "tcp" ? askTcp(flow) : askUdp(flow));
  }),
);
console.log(JSON.stringify(answers));
