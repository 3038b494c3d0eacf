import { waitAnyReadable } from "#shared/kernel/libc.ts";
import { Prober } from "../../proxy/health/prober.ts";

/*
 * A prober for the network namespace that it is started in: asks what its argument, a JSON list of probes, says, for as many
 * milliseconds as the second one says, and prints each piece of news as a line of JSON. The third: every so many milliseconds
 * it stands still for as many more.
 */
const [probes = "[]", lastsMs = "1000", pauseMs = "0"] = process.argv.slice(2);
const { stdout } = process;
const news: string[] = [];
const prober = new Prober({
  nowMs: () => performance.now(),
  random: Math.random,
  onNews: (one) => news.push(`${JSON.stringify({ atMs: Date.now(), ...one })}\n`),
});
prober.want(JSON.parse(probes));
const end = performance.now() + Number(lastsMs);
while (performance.now() < end) {
  waitAnyReadable([], Math.ceil(prober.turn()));
  if (Number(pauseMs) > 0) waitAnyReadable([], Number(pauseMs));
  for (const line of news.splice(0)) stdout.write(line);
  // Output is written by the event loop.
  await new Promise((resolve) => setImmediate(resolve));
}
prober.close();
