import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { Log } from "#shared/process/log.ts";
import { codeOf, removePath, writeWhole } from "#shared/store/atomic-file.ts";

const recordSchema = z.strictObject({
  pod: z.string(),
  path: z.string(),
  /** Device and inode of the network namespace. */
  netns: z.string(),
  /** What settings were before, and what they were made. */
  sysctls: z.record(z.string(), z.strictObject({ before: z.string(), ours: z.string() })),
  /** There is, or may be, an nftables table of ours. */
  filter: z.literal(true).optional(),
});

/** That the agent has changed a network namespace, and what it must put back. */
export type PodRecord = z.infer<typeof recordSchema>;

/**
 * The pods that were changed, as files in a folder, so that an agent that was restarted undoes what its predecessor
 * did. A record is written before the change that it is about.
 */
export class PodRecords {
  readonly #folder: string;
  readonly #records = new Map<string, PodRecord>();

  /** Reads the folder. A record that cannot be read is reported and left out. */
  constructor(folder: string, log: Log) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
    for (const name of readdirSync(folder)) {
      if (!name.endsWith(".json")) continue;
      try {
        const record = recordSchema.parse(JSON.parse(readFileSync(join(folder, name), "utf8")));
        this.#records.set(record.pod, record);
      } catch (error) {
        log.warn(
          { err: error, file: join(folder, name), code: codeOf(error) },
          "cannot read what was changed in a pod's network: what it was before is not restored",
        );
      }
    }
  }

  get(pod: string): PodRecord | undefined {
    return this.#records.get(pod);
  }

  list(): readonly PodRecord[] {
    return [...this.#records.values()];
  }

  /** @throws StoreUnavailableError */
  put(record: PodRecord): void {
    writeWhole(this.#file(record.pod), `${JSON.stringify(record)}\n`);
    this.#records.set(record.pod, record);
  }

  /** @throws StoreUnavailableError */
  remove(pod: string): void {
    removePath(this.#file(pod));
    this.#records.delete(pod);
  }

  #file(pod: string): string {
    return join(this.#folder, `${pod.replace("/", "_")}.json`);
  }
}
