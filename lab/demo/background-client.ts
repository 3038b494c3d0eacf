import { parseTrafficOptions } from "../traffic/options.ts";
import { TrafficRun } from "../traffic/run-traffic.ts";

const REPORT_MS = 500;

// Runs in the client's namespace for the live view: gentle traffic to every destination given as `PROTOCOL=ADDRESS:PORT`,
// and a line of JSON with all reports twice a second, until it is ended.
const stop = new AbortController();
const runs = process.argv.slice(2).map((argument) => {
  const [protocol, to] = argument.split("=");
  return new TrafficRun(
    parseTrafficOptions({ to, protocol, rate: "10", duration: "864000", timeout: "2000" }),
    stop.signal,
  );
});
process.once("SIGTERM", () => stop.abort());
const timer = setInterval(() => console.log(JSON.stringify(runs.map((run) => run.report()))), REPORT_MS);
await Promise.all(runs.map((run) => run.run()));
clearInterval(timer);
