import { createInterface } from "node:readline";
import { cidr } from "#shared/net/ip.ts";
import { FanOut, type FanOutDomain } from "../../discovery/fan-out/fan-out.ts";

/*
 * The fan-out as a process of its own: `fan-out-child.ts ID`. Reads what is wanted as lines of JSON (see fan-out-bed.ts), and
 * answers the line "status" with its status.
 */

const [, , id = ""] = process.argv;
let domains: readonly FanOutDomain[] | undefined;
const stop = new AbortController();
process.on("SIGTERM", () => stop.abort());
const log = { debug: () => undefined, info: () => undefined, warn: console.error, error: console.error };
const fanOut = new FanOut({
  domains: () => domains,
  id,
  log,
  nowMs: () => performance.now(),
  signal: stop.signal,
});
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  if (line === "status") {
    process.stdout.write(`${JSON.stringify(fanOut.status())}\n`);
    return;
  }
  const { networks, domainIds, participants, policy } = JSON.parse(line);
  domains =
    networks.length === 0
      ? []
      : [
          {
            networks,
            allowed: { domains: new Set(domainIds), groups: [cidr("239.255.0.0/16")] },
            policy,
            participants,
            endpointsOf: () => undefined,
          },
        ];
  fanOut.wake();
});
await fanOut.done;
lines.close();
