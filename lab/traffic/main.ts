import { parseTrafficOptionsOfAll, type TrafficOptions } from "./options.ts";
import { renderReport, type TrafficReport } from "./report.ts";
import { runTraffic } from "./run-traffic.ts";

/**
 * Sends to every destination at once. Ctrl-C ends the traffic and prints the reports: as JSON one object, or a list when
 * there is more than one.
 * @returns 0 when nothing was lost and nothing broke, else 1.
 */
export async function trafficMain(given: Readonly<Record<string, unknown>>): Promise<number> {
  const all = parseTrafficOptionsOfAll(given);
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort());
  const reports = (
    await Promise.all(all.map((options) => runTraffic(options, interrupted.signal, () => sayHeld(options))))
  ).flat();
  if (given.json === true) console.log(JSON.stringify(reports.length === 1 ? reports[0] : reports, null, 2));
  else console.log(reports.map(renderReport).join("\n"));
  return reports.every(isWhole) ? 0 : 1;
}

/** On standard error, so that a script knows when what it holds can be put to the test. */
function sayHeld({ connections, address, port }: TrafficOptions): void {
  console.error(`holding ${connections} connections to ${address} port ${port}`);
}

const isWhole = ({ sent, lost, broken = [] }: TrafficReport): boolean => sent > 0 && lost === 0 && broken.length === 0;
