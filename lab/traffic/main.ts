import { parseTrafficOptions } from "./options.ts";
import { renderReport } from "./report.ts";
import { runTraffic } from "./run-traffic.ts";

/** @returns 0 when nothing was lost and nothing broke, else 1. Ctrl-C ends the traffic and prints the report. */
export async function trafficMain(given: Readonly<Record<string, unknown>>): Promise<number> {
  const options = parseTrafficOptions(given);
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort());
  const report = await runTraffic(options, interrupted.signal);
  console.log(options.json ? JSON.stringify(report, null, 2) : renderReport(report));
  return report.sent > 0 && report.lost === 0 && (report.broken?.length ?? 0) === 0 ? 0 : 1;
}
