import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { sh } from "./fan-out-bed.ts";

/** Settings of Cyclone DDS, as XML below `Domain`. */
export const cycloneUri = (settings: string): string => `<CycloneDDS><Domain>${settings}</Domain></CycloneDDS>`;

/** A `ddsperf` of Cyclone DDS in a namespace, and what it has said last. */
export class DdsPerf {
  readonly namespace: string;
  readonly #child: ChildProcessByStdio<null, Readable, null>;
  /** Samples that have arrived, and are known to be missing, since the start: a subscriber says so each second. */
  total = 0;
  lost = 0;
  /** Samples in the last second, in thousands. */
  kiloSamples = 0;

  constructor(namespace: string, settings: string, ...args: readonly string[]) {
    this.namespace = namespace;
    this.#child = spawn("ip", ["netns", "exec", namespace, "ddsperf", "-1", ...args], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, CYCLONEDDS_URI: cycloneUri(settings) },
    });
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      const [, total, lost, rate] = /total (\d+) lost (\d+) .*rate ([\d.]+) kS\/s/.exec(line) ?? [];
      if (total === undefined) return;
      this.total = Number(total);
      this.lost = Number(lost);
      this.kiloSamples = Number(rate);
    });
  }

  /** CPU time of the process so far, in seconds. */
  cpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.#child.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    // utime and stime are the 14th and 15th field of proc(5), in ticks of 10 ms.
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGKILL");
    await once(this.#child, "exit");
  }
}

/** Packets that a pod has sent. */
export function packetsSent(namespace: string): number {
  const [link] = JSON.parse(sh(`ip -n ${namespace} -j -s link show eth0`));
  return link.stats64.tx.packets;
}
